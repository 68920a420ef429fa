"""What the shell offers for an argument: refs and tracked files of the repository around it.

A completion never fails: where anything is wrong, there is nothing to offer.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mvc.base.errors import MvcError

if TYPE_CHECKING:
    from mvc.repo.repository import Repository

MAX_OFFERS = 1000


def revisions(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Offer HEAD, branches and tags; after `REV:` the files of that version."""
    return _offers(ctx, incomplete, _files if ":" in incomplete else _names)


def branches(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Offer branches."""
    return _offers(ctx, incomplete, _branches)


def tags(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Offer tags."""
    return _offers(ctx, incomplete, _tags)


def remotes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Offer the names of remotes."""
    return _offers(ctx, incomplete, _remotes)


def settings(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Offer the keys that are set, and those that everybody sets."""
    keys = _offers(ctx, incomplete, _settings)
    return keys or [key for key in ("user.name", "user.email") if key.startswith(incomplete)]


def _offers(
    ctx: click.Context, incomplete: str, source: Callable[[Repository, str], list[str]]
) -> list[str]:
    from mvc.repo.repository import Repository

    given = ctx.find_root().params.get("directory")
    try:
        with Repository.discover(Path.cwd() / (given or ".")) as repo:
            found = source(repo, incomplete)
    except (MvcError, OSError):
        return []
    return [item for item in found if item.startswith(incomplete)][:MAX_OFFERS]


def _names(repo: Repository, incomplete: str) -> list[str]:
    from mvc.repo.revisions import names

    return names(repo)


def _branches(repo: Repository, incomplete: str) -> list[str]:
    from mvc.repo.refs import BRANCHES

    return [ref.removeprefix(BRANCHES) for ref in repo.refs.all(BRANCHES)]


def _tags(repo: Repository, incomplete: str) -> list[str]:
    from mvc.repo.refs import TAGS

    return [ref.removeprefix(TAGS) for ref in repo.refs.all(TAGS)]


def _remotes(repo: Repository, incomplete: str) -> list[str]:
    return sorted(repo.config.named("remote", "url"))


def _settings(repo: Repository, incomplete: str) -> list[str]:
    return sorted({"user.name", "user.email", *(item.key for item in repo.config.all())})


def _files(repo: Repository, incomplete: str) -> list[str]:
    from mvc.repo import trees
    from mvc.repo.revisions import resolve

    revision = incomplete.partition(":")[0]
    tree = repo.commit(resolve(repo, revision or "HEAD")).tree
    return [f"{revision}:{path}" for path in trees.files(repo.store, tree)]
