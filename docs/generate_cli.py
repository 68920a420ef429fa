"""Print docs/cli.md: a head written by hand, then the help of every command.

`make docs` writes the page anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from mvc.cli.group import mvc
from mvc.cli.table import SECTIONS

WIDTH = 90

HEAD = """\
# Command line

<!-- Written by docs/generate_cli.py from the commands' own help; `make docs` writes it anew. -->

What a command finds goes to stdout, everything else (remarks, progress, errors) to stderr. An
error is one sentence, and mostly a hint that names the next command:

```
error: there is no branch 'car-71'
hint: `mvc branch` lists them
```

With `--json` a command prints JSON ([json.md](json.md)), errors too. Progress bars and the
pager appear on a terminal only.

## Exit codes

| code | meaning |
| ---: | --- |
| 0 | done |
| 1 | the answer is no, or local work is in the way |
| 2 | the request makes no sense as it stands |
| 3 | no such repository, revision, path or object |
| 4 | a ref was moved by somebody else meanwhile |
| 5 | permission denied |
| 6 | stored bytes are damaged or malformed |
| 7 | the network failed |
| 128 | anything else, for example a full disk; also a mistake in mvc itself |
| 129 | the terminal was closed (SIGHUP); no file is left half written |
| 130 | interrupted by Ctrl-C or SIGTERM; no file is left half written |
| 141 | whoever read the output stopped, as in `mvc log \\| head` |

## Revisions

| written | means |
| --- | --- |
| `HEAD`, `@` | the version that the working copy is based on |
| `main`, `devices/car-17` | a branch |
| `v1.0` | a tag |
| `origin/main` | a branch of a remote, as of the last fetch or push |
| `3f2a91` | the version whose id starts like this, four digits at least |
| `-` | where HEAD was before (`switch`, `checkout`) |
| `HEAD@{2}`, `main@{1}`, `@{1}` | where HEAD or a branch was so many steps ago (`mvc reflog`) |
| `REV~3` | three versions back, along first parents |
| `REV^`, `REV^2` | the first, the second parent |
| `REV:path` | a file or folder of a version; `REV:` is its top folder |
| `A..B` | what is in B and not in A (`log`, `diff`); a side left out is HEAD |
| `A...B` | what is in one of the two and not in both (`log`) |
| `^A` | without what is in A (`log`) |

A name is looked for as a branch, then as a tag, then as a branch of a remote, then as the beginning
of an id.

## Environment

| variable | meaning |
| --- | --- |
| `MVC_AUTHOR_NAME`, `MVC_AUTHOR_EMAIL` | who commits; the e-mail counts only beside a name |
| `XDG_CONFIG_HOME` | where the user's `mvc/config.toml` is, instead of `~/.config` |
| `MVC_TOKEN` | the token for servers, instead of the remote's `token_file` |
| `MVC_SSH` | the program and options that reach hosts, instead of `core.ssh_command` |
| `SSH_ORIGINAL_COMMAND` | what a client asked ssh to run ([`mvc serve --stdio`](devices.md)) |
| `MVC_PAGER`, `PAGER` | the pager, `less` with `LESS=FRX` by default; `cat` is none |
| `NO_COLOR`, `FORCE_COLOR`, `TERM=dumb` | colours off, on, off; `--color` wins over them |

## Configuration

`mvc config --global` writes the user's file, `mvc config` that of the repository, which wins.
Both are TOML.

| setting | default | meaning |
| --- | --- | --- |
| `user.name`, `user.email` | login and host | the author of commits |
| `user.signing_key` | `default` | the key of your own that signs commits |
| `commit.sign` | `false` | whether every commit is signed (`commit -S`) |
| `sign.key` | `bundle` | the key of your own that `mvc sign` signs with |
| `sign.required` | none | on a server: the refs that take [signed commits](signing.md) only |
| `commit.base` | none | a revision that commits resemble more than HEAD (`commit --base`) |
| `core.sync_worktree` | `true` | checkout waits until files are on disk (fsync) |
| `core.ssh_command` | `ssh` | the program that reaches hosts; the user's file alone counts |
| `core.idle_seconds` | 60 | for how long nothing may move on a connection |
| `core.trust_other_owners` | `false` | use others' repositories; the user's file alone counts |
| `http.authorities` | the system's | certificates to trust; the user's file alone counts |
| `http.plain_token` | `false` | send tokens unencrypted; the user's file alone counts |
| `remote.NAME.url`, `branch.NAME.merge`, ... | none | [remotes and upstreams](sync.md#settings) |
| `gc.grace_days` | 14 | how long [garbage](maintenance.md#garbage) is kept |
| `gc.reflog_days` | 90 | how long reflogs keep what they name from being garbage |
| `repack.budget` | 2.0 | the most a version costs to recover, relative to a whole one |
| `repack.max_depth` | 8 | differences in a row, at most, after a repack |

"""


def pages() -> Iterator[str]:
    """Yield the parts of the page."""
    yield HEAD
    with click.Context(
        mvc, info_name="mvc", terminal_width=WIDTH, help_option_names=["-h", "--help"]
    ) as ctx:
        yield f"## mvc\n\n{block(mvc.get_help(ctx))}"
        for section, verbs in SECTIONS.items():
            yield f"\n## {section}\n"
            for verb in verbs:
                command = mvc.get_command(ctx, verb)
                assert command is not None  # noqa: S101 - the table and the folder agree
                below = click.Context(command, parent=ctx, info_name=verb)
                yield f"\n### mvc {verb}\n\n{block(command.get_help(below))}"
                if isinstance(command, click.Group):
                    yield from parts(command, below)


def parts(group: click.Group, above: click.Context) -> Iterator[str]:
    """Yield what a command with commands of its own says of each."""
    for name, command in sorted(group.commands.items()):
        ctx = click.Context(command, parent=above, info_name=name)
        yield f"\n{block(command.get_help(ctx))}"


def block(text: str) -> str:
    """Return text as a code block."""
    lines = "\n".join(line.rstrip() for line in text.rstrip().split("\n"))
    return f"```text\n{lines}\n```\n"


def page() -> str:
    """Return the whole page."""
    return "".join(pages())


if __name__ == "__main__":
    sys.stdout.write(page())
