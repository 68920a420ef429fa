"""The `mvc` command itself: its global options, and sub-commands that load when they are run."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

from mvc._version import VERSION
from mvc.cli.session import Session, wants_colour
from mvc.cli.table import COMMANDS, SECTIONS

EPILOG = """\
`mvc help COMMAND` shows the options of a command, with examples.

\b
Exit status: 0 done, 1 the answer is no, 2 usage, 3 not found, 4 a ref moved,
5 not allowed, 6 damaged data, 7 network, 128 anything else, 130 interrupted.
"""


class LazyGroup(click.Group):
    """A group that knows its commands from a table and loads only the one it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command."""
        if cmd_name not in COMMANDS:
            return None
        found = import_module(f"mvc.cli.commands.{COMMANDS[cmd_name][0]}").command
        assert isinstance(found, click.Command)  # noqa: S101
        return _with_quiet(found)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first argument names, or say which one is meant."""
        name = args[0]
        if name in COMMANDS or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        if name.startswith("-"):
            raise click.NoSuchOption(name, ctx=ctx)
        from mvc.cli.elsewhere import not_a_command, wanted_help

        if name == "help":
            wanted = wanted_help(args[1:], COMMANDS)
            if wanted is None:
                click.echo(ctx.get_help())
                ctx.exit()
            return super().resolve_command(ctx, [wanted, "--help"])
        raise not_a_command(name, COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table."""
        for section, verbs in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(verb, text) for verb, (_, text) in verbs.items()])

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Complete a verb from the table, or a global option."""
        from click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [
            CompletionItem(verb, help=text)
            for verb, (_, text) in COMMANDS.items()
            if verb.startswith(incomplete)
        ]


def _with_quiet(command: click.Command) -> click.Command:
    """Let `-q` stand behind the verb as well, where people of git write it."""
    if not any({"-q", "--quiet"} & set(param.opts) for param in command.params):
        flags = ["-q", "--quiet"]
        quiet = click.Option(
            flags, is_flag=True, expose_value=False, hidden=True, callback=_hush, is_eager=True
        )
        command.params.append(quiet)
    return command


def _hush(ctx: click.Context, _: click.Parameter, given: bool) -> None:
    session = ctx.find_object(Session)
    if given and session is not None:
        session.quiet = True


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGUMENTS]...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EPILOG,
)
@click.option("-C", "directory", metavar="DIR", type=click.Path(path_type=Path), help="Run in DIR.")
@click.option("--debug", is_flag=True, help="Show the Python traceback of an error.")
@click.option("--no-pager", is_flag=True, help="Never pass output to a pager.")
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="When to use colours.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress, no remarks, errors only.")
@click.version_option(VERSION, prog_name="mvc", message="%(prog)s %(version)s")
@click.pass_context
def mvc(
    ctx: click.Context,
    directory: Path | None,
    debug: bool,
    no_pager: bool,
    color: str,
    quiet: bool,
) -> None:
    """Version control for models: every version of every model file, byte for byte."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        return
    session = Session(directory, colour=wants_colour(color), pager=not no_pager, quiet=quiet)
    ctx.obj = session
    ctx.call_on_close(session.close)
