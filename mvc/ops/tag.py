"""List, create and delete tags."""

from __future__ import annotations

from dataclasses import dataclass

from mvc.base.errors import NegativeAnswer, NotFoundError
from mvc.base.ids import ObjectId
from mvc.objects.history import Tag
from mvc.repo import revisions
from mvc.repo.names import check_branch
from mvc.repo.refs import TAGS
from mvc.repo.repository import Repository
from mvc.store.locks import pinned
from mvc.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class NamedTag:
    """A tag's name, the commit it leads to, and the annotation if it has one."""

    name: str
    commit: ObjectId
    annotation: Tag | None


def tags(repo: Repository) -> tuple[NamedTag, ...]:
    """Return all tags in order of their names."""
    found = []
    for ref, target in repo.refs.all(TAGS).items():
        annotation = repo.tag(target) if repo.store.kind(target) == "tag" else None
        name = ref.removeprefix(TAGS)
        found.append(NamedTag(name, revisions.peel(repo, target), annotation))
    return tuple(found)


def create(
    repo: Repository, name: str, revision: str = "HEAD", *, message: str | None = None
) -> ObjectId:
    """Name a version, with an annotation if there is a message; return its commit."""
    ref = TAGS + check_branch(name)
    if repo.refs.get(ref) is not None:
        raise NegativeAnswer(
            f"there is a tag {name!r} already", hint=f"`mvc tag -d {name}` deletes it"
        )
    with pinned(repo.scratch):
        commit = target = revisions.resolve(repo, revision)
        if message is not None:
            tag = Tag(commit, name, repo.author(), repo.environment.clock(), message)
            with Transaction(repo.store, repo.scratch) as tx:
                target = tx.put(tag)
                tx.commit()
        repo.refs.update(ref, None, target, repo.change(None, target, f"tag: {revision}"))
    return commit


def delete(repo: Repository, name: str) -> ObjectId:
    """Delete a tag and return what it pointed to."""
    ref = TAGS + check_branch(name)
    target = repo.refs.get(ref)
    if target is None:
        raise NotFoundError(f"there is no tag {name!r}", hint="`mvc tag` lists them")
    repo.refs.update(ref, target, None, repo.change(target, None, "tag: deleted"))
    return target
