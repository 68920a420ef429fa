"""The commit that ends a merge, cherry-pick or revert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mvc.base.ids import ObjectId
from mvc.objects.history import MAX_VALUE, Commit, Scalar
from mvc.objects.tree import Entry
from mvc.ops.merge_files import check_names
from mvc.ops.merge_rules import named
from mvc.repo import trees
from mvc.repo.merging import Merging, Task
from mvc.repo.repository import Repository
from mvc.repo.signing import signed
from mvc.store.transaction import Transaction

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def conclude(
    repo: Repository,
    tx: Transaction,
    files: Mapping[str, Entry],
    found: Merging,
    key: Ed25519PrivateKey | None,
) -> ObjectId:
    """Store the trees of some files and the commit that ends a merge, and return its id."""
    check_names(files)
    made = Commit(
        trees.write_files(tx.put, dict(files)),
        found.parents,
        repo.author(),
        repo.environment.clock(),
        found.message,
        dict(found.params),
    )
    return tx.put(made if key is None else signed(made, key))


def recorded(task: Task) -> dict[str, Scalar]:
    """Return what the commit says of how it was merged (docs/merge.md, "What is recorded")."""
    found: dict[str, Scalar] = {}
    if task.strategy is not None:
        made = named(task.strategy)
        found["merge.strategy"] = task.strategy.name
        for option, value in (made.options() if made else {}).items():
            found[f"merge.{option}"] = value
    if task.strategy is not None or task.rules:
        text = ",".join(_number(weight) for weight in task.weights)
        pieces = [text[at : at + MAX_VALUE] for at in range(0, len(text), MAX_VALUE)]
        for number, piece in enumerate(pieces, 1):
            found["merge.weights" + (f".{number}" if number > 1 else "")] = piece
    if task.rules:
        found["merge.rules"] = task.rules
    if task.literals:
        found["merge.literals"] = task.literals
    if task.takes:
        taken = "; ".join(
            " ".join([take.strategy.name, *take.patterns]) for take in task.takes
        ).encode()
        found["merge.taken"] = taken[:MAX_VALUE].decode("utf-8", "ignore")
    return found


def few(names: Sequence[str]) -> str:
    """Return some names, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _number(value: float) -> str:
    return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
