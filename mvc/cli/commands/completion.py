"""`mvc completion`."""

from __future__ import annotations

import click

from mvc.base.errors import UsageError
from mvc.cli.arguments import examples
from mvc.cli.session import Session, pass_session

_INSTALL = {
    "bash": "mvc completion bash > ~/.local/share/bash-completion/completions/mvc",
    "zsh": 'mvc completion zsh > "${fpath[1]}/_mvc"',
    "fish": "mvc completion fish > ~/.config/fish/completions/mvc.fish",
}


@click.command("completion", epilog=examples(*_INSTALL.values()))
@click.argument("shell", type=click.Choice(list(_INSTALL)))
@pass_session
def command(session: Session, shell: str) -> None:
    """Print the completion script of a shell.

    Once it is installed, the shell completes commands, options, branches, tags and the files of
    versions.
    """
    from click.shell_completion import get_completion_class

    from mvc.cli.group import mvc

    found = get_completion_class(shell)
    if found is None:
        raise UsageError(f"{shell} is not a shell that can be completed")
    session.write(found(mvc, {}, "mvc", "_MVC_COMPLETE").source())
    session.note(f"to install it: {_INSTALL[shell]}")
