"""Bringing versions from there (docs/protocol.md): planned, given in parts, joined when whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field, replace

from mvc.base.errors import FormatError, IntegrityError, LimitError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.repo.repository import Repository
from mvc.repo.scope import scope_of
from mvc.sync.counted import Counted
from mvc.sync.early import Early
from mvc.sync.heads import exact_chunks, receive_heads, with_whole_bases
from mvc.sync.joining import receive
from mvc.sync.limits import MAX_BASES, MAX_IDS, MAX_PART, MAX_PLAN
from mvc.sync.link import Answer, Link
from mvc.sync.listing import LEAST_PART
from mvc.sync.messages import (
    Asked,
    GiveReply,
    GiveRequest,
    Planned,
    PlanReply,
    PlanRequest,
    planned,
)
from mvc.sync.quarantine import Quarantine
from mvc.sync.settling import Settling
from mvc.sync.transfer import Sums, Watched, in_parts

_KINDS = frozenset(("commit", "tag", "tree", "checkpoint", "layout", "tensor", "blob", "chunk"))


@contextmanager
def fetched(
    repo: Repository,
    link: Link,
    wants: Sequence[ObjectId],
    haves: Sequence[ObjectId],
    held: Quarantine,
    part_bytes: int,
    progress: Progress = SILENT,
    source: str | None = None,
    depth: int | None = None,
    more: Sequence[str] | None = None,
) -> Iterator[Sums]:
    """Bring what commits and annotated tags lead to; refs are to move inside.

    `wants` and `haves`, what this repository holds completely, are at most MAX_BASES each. What an
    earlier try has brought is not brought again. With `source`, the name of the remote, the lower
    bits of floats stay there; `held` is to be a quarantine of heads then. With
    `depth` so many versions of each line are to be here (0: all), and `haves` do not count; without
    it, history ends where it did. Of the files those come that this repository has of others; with
    `more` `wants` are commits that are here, and of each of them the files of these paths come
    (without any: all), and nothing else. Raises what `receive` raises, and failures of the link.
    """
    with closing(Early(repo, held)) as early:
        haves = haves if depth is None and more is None else ()
        paths = repo.chosen.patterns if more is None else tuple(more)
        bringing = _Bringing(
            repo, link, wants, haves, held, part_bytes, progress, source, depth, early, paths
        )
        if more is not None:
            bringing.alone()
        bringing.run()
        joining = bringing.joining()
        try:
            joining.__enter__()
        except IntegrityError:
            # What lay here from an earlier try may stand on what has gone since.
            held.drop(held.parts())
            bringing.run()
            joining = bringing.joining()
            joining.__enter__()
    try:
        yield bringing.sums
    except BaseException as error:
        joining.__exit__(type(error), error, error.__traceback__)
        raise
    joining.__exit__(None, None, None)


@dataclass(slots=True)
class _Bringing:
    """Fills a quarantine with what is planned and not here yet."""

    repo: Repository
    link: Link
    wants: Sequence[ObjectId]
    haves: Sequence[ObjectId]
    held: Quarantine
    part_bytes: int
    progress: Progress
    source: str | None
    depth: int | None
    early: Early
    paths: tuple[str, ...]
    sums: Sums = field(default_factory=Sums)
    # Where history is to end, if not where it did.
    ends: frozenset[ObjectId] | None = None

    def alone(self) -> None:
        """Take no heed of history: it is here."""
        self.depth, self.ends = 1, frozenset(self.wants)

    def run(self) -> None:
        """Bring it, in parts."""
        found = self._plan()
        lacking = _lacking(self.repo, found)
        if self.source is None:
            self._take(lacking)
            return
        objects = [item for item in lacking if item.kind != "chunk"]
        chunks = [item for item in lacking if item.kind == "chunk"]
        # What chunks are part of tells which must come whole.
        self._take(objects)
        exact = exact_chunks(self.held, objects)
        self._take(with_whole_bases(self.repo.store, chunks, exact))
        self._take([item for item in chunks if item.id not in exact], heads=True)

    def _plan(self) -> Plan:
        how = Filter(self.source is not None, self.depth or 0, self.paths)
        if self.depth is None:
            shallow = sorted(self.repo.shallow.commits())[:MAX_IDS]
            found = plan_of(self.link, self.wants, self.haves, how, shallow)
        else:
            found = plan_of(self.link, self.wants, (), how)
            self.ends = found.shallow if self.ends is None else self.ends
        if found.shallow and not self.depth:
            raise FormatError(
                "the history there does not go back to its start",
                hint="`--depth N` takes a part of it",
            )
        return found

    def joining(self) -> AbstractContextManager[None]:
        """Return what lets it join; refs are to move inside."""
        repo, held, wants, haves = self.repo, self.held, self.wants, self.haves
        scope = scope_of(self.paths)
        if self.source is None:
            self.early.close()
            sound = self.early.sound
            names = held.parts()
            return receive(repo, held, names, wants, haves, self.progress, sound, self.ends, scope)
        return receive_heads(repo, held, wants, haves, self.source, self.progress, self.ends, scope)

    def _take(self, planned: Sequence[Planned], *, heads: bool = False) -> None:
        entries = [item for item in planned if not self.held.holds(item.id)]
        given(
            self.link,
            GiveRequest(tuple(self.wants), (), heads),
            entries,
            self.held,
            self.part_bytes,
            self.sums,
            progress=self.progress,
            settled=self._settled,
        )

    def _settled(self, part: ObjectId) -> None:
        """Look into a part while others arrive; what is here was verified when it came."""
        if self.source is None:
            self.early.add(part, lambda: Counted(self.repo, (), whole=True))


def given(
    link: Link,
    request: GiveRequest,
    planned: Sequence[Planned],
    held: Quarantine,
    part_bytes: int,
    sums: Sums,
    *,
    progress: Progress = SILENT,
    settled: Callable[[ObjectId], None] = lambda _: None,
) -> None:
    """Have entries of a plan given in parts, as `request` says without naming them.

    `settled` is told of each part that is durable, in another thread.
    """

    def part(batch: list[Planned]) -> None:
        asked = tuple(Asked(item.id, item.base) for item in batch)
        answer = link.ask(replace(request, objects=asked))
        reply = answer.reply
        assert isinstance(reply, GiveReply)  # noqa: S101
        length = reply.head + reply.tail
        if length > MAX_PART:
            raise LimitError("the server gives a part that is too large")
        told = sum(item.size for item in batch)
        settling.take(reply, iter(Watched(lambda: answer.body, length, told, progress)))
        sums.parts += 1
        sums.bytes += length

    if not planned:
        return
    progress.start("receiving", sum(item.size for item in planned))
    try:
        with Settling(held, settled) as settling:
            # Two are under way at a time, and must not be more to lose than one was.
            in_parts(planned, max(part_bytes // 2, LEAST_PART), part)
    finally:
        progress.finish()


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is to fetch, read once; of commits that are `shallow` the parents are left out."""

    shallow: frozenset[ObjectId]
    entries: Iterator[Planned]

    def __iter__(self) -> Iterator[Planned]:
        return self.entries


@dataclass(frozen=True, slots=True)
class Filter:
    """What is left out of what there is to fetch: see docs/protocol.md, "plan"."""

    heads: bool = False
    depth: int = 0
    paths: tuple[str, ...] = ()


WHOLE = Filter()


def plan_of(
    link: Link,
    wants: Sequence[ObjectId],
    haves: Sequence[ObjectId] = (),
    how: Filter = WHOLE,
    shallow: Sequence[ObjectId] = (),
) -> Plan:
    """Ask what there is to fetch; entries are checked as they come."""
    few = tuple(wants[:MAX_BASES]), tuple(haves[:MAX_BASES])
    answer = link.ask(PlanRequest(*few, how.depth, how.paths, how.heads, tuple(shallow)))
    reply = answer.reply
    assert isinstance(reply, PlanReply)  # noqa: S101
    return Plan(frozenset(reply.shallow), _announced(reply, answer))


def _announced(reply: PlanReply, answer: Answer) -> Iterator[Planned]:
    count = total = 0
    for item in entries(answer):
        count += 1
        total += item.size
        if count > min(reply.objects, MAX_PLAN):
            raise LimitError("a plan has more objects than were announced")
        yield item
    if (count, total) != (reply.objects, reply.bytes):
        raise FormatError("a plan is not what was announced")


def entries(answer: Answer) -> Iterator[Planned]:
    """Yield the entries of a plan from the body of its reply, or raise FormatError."""
    import msgpack

    unpacker = msgpack.Unpacker(
        raw=False,
        max_buffer_size=4 << 20,
        max_str_len=32,
        max_bin_len=64,
        max_array_len=4,
        max_map_len=0,
        max_ext_len=0,
    )
    fed = 0
    for piece in answer.body:
        try:
            unpacker.feed(piece)
            fed += len(piece)
            for value in unpacker:
                yield _entry(value)
        except (ValueError, msgpack.UnpackException, RecursionError, OverflowError) as error:
            raise FormatError("a plan is malformed") from error
    if unpacker.tell() != fed:
        raise FormatError("a plan ends within an entry")


def _entry(value: object) -> Planned:
    item = planned(value)
    if item.kind not in _KINDS or item.size > MAX_PART or (item.base and item.kind != "chunk"):
        raise FormatError("a plan has an entry that cannot be")
    return item


def _lacking(repo: Repository, found: Iterable[Planned]) -> list[Planned]:
    """Return the entries of a plan whose objects are not part of the repository yet."""
    store = repo.store
    store.refresh()
    lacking = []
    for item in found:
        here = store.has_chunk(item.id) if item.kind == "chunk" else store.contains(item.id)
        if not here:
            lacking.append(item)
    return lacking
