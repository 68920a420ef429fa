"""What there is to send, in an order in which it can be sent (docs/protocol.md, "plan")."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from mvc.base.ids import ObjectId
from mvc.repo.repository import Repository
from mvc.sync.closure import Found
from mvc.sync.messages import Planned


def plan(
    repo: Repository,
    wanted: Iterable[Found],
    theirs: Callable[[ObjectId], bool],
    *,
    heads: bool = False,
) -> Iterator[Planned]:
    """Yield the records that bring `wanted` to who holds what is `theirs`, bases before deltas.

    Metadata keeps the order of `wanted`. A factor that a low-rank delta needs comes along. With
    `heads` sizes are those of top segments.
    """
    raise NotImplementedError


def batches(planned: Iterable[Planned], part_bytes: int) -> Iterator[list[Planned]]:
    """Yield runs of a plan whose records take less than `part_bytes` together, or one record."""
    raise NotImplementedError


def versions_between(
    repo: Repository, new: Iterable[ObjectId], theirs: Iterable[ObjectId]
) -> tuple[list[Found], list[ObjectId]]:
    """Return the commits and tags to send, and commits that the other side holds, best first.

    Those to send are what `new` leads to and `theirs` do not; of these, unknown ones are passed
    over. The others are at most MAX_BASES.
    """
    raise NotImplementedError


def objects_to_send(
    repo: Repository, versions: Iterable[Found], boundary: Iterable[ObjectId]
) -> list[Found]:
    """Return `versions` and what they hold that the commits of the boundary do not."""
    raise NotImplementedError
