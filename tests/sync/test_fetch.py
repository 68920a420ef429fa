"""Fetching: one request where nothing is new, parts that are kept, refs of a remote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError, IntegrityError, LimitError, NetworkError
from mvc.base.ids import ObjectId
from mvc.ops import fetch as ops
from mvc.ops.checkout import switch
from mvc.ops.fetch import FetchRequest, FetchResult, fetch
from mvc.ops.fsck import fsck
from mvc.ops.tag import create as tag
from mvc.repo import remotes
from mvc.repo.remotes import Remote
from mvc.repo.repository import Repository
from mvc.sync import fetch as flow
from mvc.sync.fetch import entries
from mvc.sync.link import Answer, Link
from mvc.sync.listing import listed
from mvc.sync.messages import Named, Planned, PlanReply, RefsReply, Request
from mvc.sync.push import Move
from tests.e2e.world import World, contents
from tests.sync.flows import MAIN, Breaking, Counting, Narrow, bare, linked, local, pushed, tuned

ORIGIN = "refs/remotes/origin/"


class Pair:
    """A repository that fetches through links made here, from a bare one that a third fills."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.source = World(folder / "source")
        self.there = bare(folder / "there")
        self.here = World(folder / "here")
        remotes.add(self.here.repo, Remote("origin", str(self.there.folder)))
        self.link: Link = linked(self.there)

        @contextmanager
        def opened(*_: object) -> Iterator[Link]:
            yield self.link

        monkeypatch.setattr(ops, "opened", opened)

    def publish(self, count: int = 1, size: int = 200_000) -> ObjectId:
        start = getattr(self, "number", 0)
        self.number = start + count
        head = tuned(self.source, count, size, start)[-1]
        pushed(self.source, linked(self.there))
        return head

    def fetch(self, link: Link | None = None, **options: bool) -> FetchResult:
        self.link = link or linked(self.there)
        return fetch(self.here.repo, FetchRequest(**options))

    @property
    def asked(self) -> dict[str, int]:
        assert isinstance(self.link, Counting)
        return dict(self.link.asked)

    def whole(self, revision: str = "origin/main") -> None:
        repo = self.here.repo
        fresh = Repository(repo.folder, repo.worktree, repo.environment)
        report = fsck(fresh)
        assert report.ok, report.problems
        self.here.repo = fresh
        found = self.here.exported(revision, self.here.root.parent / "out")
        assert found == contents(self.source.root)


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    return Pair(tmp_path, monkeypatch)


def test_a_first_fetch_brings_everything_and_leaves_branches_alone(pair: Pair) -> None:
    head = pair.publish(2)
    done = pair.fetch()
    assert [(row.ref, row.local, row.status) for row in done.refs] == [
        (MAIN, ORIGIN + "main", "new")
    ]
    assert pair.asked == {"refs": 1, "plan": 1, "give": 1}
    assert pair.here.repo.refs.all() == {ORIGIN + "main": head}
    pair.whole()


def test_a_fetch_of_nothing_new_is_one_request(pair: Pair) -> None:
    pair.publish()
    pair.fetch()
    done = pair.fetch()
    assert done.refs == ()
    assert pair.asked == {"refs": 1}
    assert isinstance(pair.link, Counting)
    assert pair.link.requests[0].value()["known"] is not None


def test_only_the_difference_comes(pair: Pair) -> None:
    pair.publish(1, 4_000_000)
    pair.fetch()
    before = pair.source.stored()
    pair.publish(1, 4_000_000)
    done = pair.fetch()
    assert [row.status for row in done.refs] == ["forward"]
    assert done.sent.bytes <= (pair.source.stored() - before) * 1.02 + (64 << 10)
    pair.whole()


def test_a_reflog_tells_fetches_from_pushes(pair: Pair) -> None:
    pair.publish()
    pair.fetch()
    (line,) = pair.here.repo.refs.history(ORIGIN + "main")
    assert line.reason == "fetch origin: new"


def test_a_branch_that_was_rewritten_there_is_followed(pair: Pair) -> None:
    pair.publish(2)
    pair.fetch()
    old = pair.there.refs.get(MAIN)
    first = pair.source.repo.commit(old).parents[0] if old else None
    pair.there.refs.update(MAIN, old, first, pair.there.change(old, first, "test"))
    assert [row.status for row in pair.fetch().refs] == ["forced"]


def test_tags_come_and_never_move_by_themselves(pair: Pair) -> None:
    pair.publish()
    tag(pair.source.repo, "v1", message="First")
    tagged = pair.source.repo.refs.get("refs/tags/v1")
    pushed(pair.source, linked(pair.there), Move("refs/tags/v1", tagged, "v1"))
    assert {row.ref: row.status for row in pair.fetch().refs} == {
        MAIN: "new",
        "refs/tags/v1": "new",
    }
    assert pair.here.repo.refs.get("refs/tags/v1") == tagged
    head = pair.publish()
    there = pair.there
    there.refs.update("refs/tags/v1", tagged, head, there.change(tagged, head, "test"))
    rows = {row.ref: row for row in pair.fetch().refs}
    assert rows["refs/tags/v1"].status == "refused"
    assert "--force" in rows["refs/tags/v1"].message
    assert pair.here.repo.refs.get("refs/tags/v1") == tagged
    assert {row.ref: row.status for row in pair.fetch(force=True).refs} == {
        "refs/tags/v1": "forced"
    }
    assert pair.here.repo.refs.get("refs/tags/v1") == head


def test_what_is_gone_there_stays_here_until_it_is_pruned(pair: Pair) -> None:
    head = pair.publish()
    there = pair.there
    there.refs.update("refs/heads/side", None, head, there.change(None, head, "test"))
    pair.fetch()
    there.refs.update("refs/heads/side", head, None, there.change(head, None, "test"))
    assert pair.fetch().refs == ()
    assert pair.here.repo.refs.get(ORIGIN + "side") == head
    pair.fetch()
    assert pair.asked == {"refs": 1}
    (row,) = pair.fetch(prune=True).refs
    assert (row.local, row.status) == (ORIGIN + "side", "deleted")
    assert pair.here.repo.refs.get(ORIGIN + "side") is None
    assert pair.fetch(prune=True).refs == ()


def test_a_branch_may_become_a_folder_of_branches_when_pruned(pair: Pair) -> None:
    head = pair.publish()
    there = pair.there
    there.refs.update("refs/heads/a", None, head, there.change(None, head, "test"))
    pair.fetch()
    there.refs.update("refs/heads/a", head, None, there.change(head, None, "test"))
    there.refs.update("refs/heads/a/b", None, head, there.change(None, head, "test"))
    (row,) = pair.fetch().refs
    assert row.status == "refused"
    assert "beside" in row.message
    assert {row.local: row.status for row in pair.fetch(prune=True).refs} == {
        ORIGIN + "a": "deleted",
        ORIGIN + "a/b": "new",
    }


def test_versions_that_are_here_already_are_not_brought(pair: Pair) -> None:
    pair.publish(2)
    pair.fetch()
    head = pair.there.refs.get(MAIN)
    first = pair.source.repo.commit(head).parents[0] if head else None
    there = pair.there
    there.refs.update("refs/heads/old", None, first, there.change(None, first, "test"))
    assert [row.status for row in pair.fetch().refs] == ["new"]
    assert pair.asked == {"refs": 1}


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("behind", [False, True])
def test_a_fetch_that_breaks_off_gets_no_other_part_again(
    pair: Pair, at: int, behind: bool
) -> None:
    pair.publish(1, 3_000_000)
    small = 1 << 20
    broken = Breaking(local(pair.there, small), verb="give", at=at, behind=behind)
    with pytest.raises(NetworkError):
        pair.fetch(broken)
    assert pair.here.repo.refs.all() == {}
    link = linked(pair.there, small)
    pair.fetch(link)
    stored = sum(size for _, size in pair.source.packs().items())
    assert broken.received + link.received <= stored * 1.03 + (64 << 10)
    pair.whole()
    assert not list((pair.here.repo.folder / "incoming").rglob("*.head"))


def test_parts_become_smaller_where_connections_do_not_last(pair: Pair) -> None:
    pair.publish(1, 6_000_000)
    link = Narrow(local(pair.there), most=4_200_000)
    done = pair.fetch(link)
    assert link.broken == 1
    assert done.sent.parts > 2
    pair.whole()


def test_parts_of_an_earlier_try_that_fit_no_more_are_dropped(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.publish(1, 3_000_000)
    with pytest.raises(NetworkError):
        pair.fetch(Breaking(local(pair.there, 1 << 20), verb="give", at=2))
    real, calls = flow.receive, []

    @contextmanager
    def once(*arguments: Any) -> Iterator[None]:
        calls.append(1)
        if len(calls) == 1:
            raise IntegrityError("a base is gone")
        with real(*arguments):
            yield

    monkeypatch.setattr(flow, "receive", once)
    pair.fetch(linked(pair.there, 1 << 20))
    pair.whole()


def test_many_branches_come_in_groups(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "MAX_BASES", 3)
    pair.publish()
    there = pair.there
    for number in range(7):
        switch(pair.source.repo, f"side-{number}", create=True, start="main")
        head = pair.source.save({"n": str(number).encode()}).id
        ref = f"refs/heads/devices/{number}/main"
        pushed(pair.source, linked(there), Move(ref, head, ref))
    done = pair.fetch()
    assert len(done.refs) == 8
    assert pair.asked["plan"] == 3
    for ref, target in there.refs.all("refs/heads/").items():
        assert pair.here.repo.refs.get(ORIGIN + ref.removeprefix("refs/heads/")) == target
    report = fsck(pair.here.repo)
    assert report.ok, report.problems


class Saying:
    """A server that says what it is told to."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)

    def ask(self, request: Request, body: object = ()) -> Answer:
        return self._answers.pop(0)

    def close(self) -> None:
        pass


ID, OTHER = ObjectId(b"\1" * 32), ObjectId(b"\2" * 32)


def refs(*names: str, more: bool = False, same: bool = False, state: bytes = b"s" * 32) -> Answer:
    named = tuple(Named(name, ID) for name in names)
    return Answer(RefsReply(named, more, None, state, same, 0), iter(()))


@pytest.mark.parametrize(
    "answers",
    [
        [refs("refs/heads/b", "refs/heads/a")],
        [refs("refs/heads/a", "refs/heads/a")],
        [refs("refs/heads/../../x")],
        [refs("refs/heads/a.lock")],
        [refs("refs/remotes/origin/x")],
        [refs("HEAD")],
        [refs("refs/heads/a", more=True), refs("refs/heads/a")],
        [refs(more=True)],
        [refs(same=True)],
        [Answer(refs("refs/heads/a").reply, iter([b"more"]))],
    ],
)
def test_a_list_of_refs_that_cannot_be_is_refused(answers: list[Answer]) -> None:
    with pytest.raises(FormatError):
        listed(Saying(*answers))


def test_a_list_of_refs_has_an_end() -> None:
    pages = [refs(f"refs/heads/{number:04}", more=True) for number in range(100)]
    with pytest.raises(LimitError):
        listed(Saying(*pages))


def test_refs_that_moved_while_they_were_listed_have_no_state() -> None:
    pages = [refs("refs/heads/a", more=True), refs("refs/heads/b", state=b"t" * 32)]
    found = listed(Saying(*pages))
    assert (list(found.refs), found.state) == (["refs/heads/a", "refs/heads/b"], None)


def plan_of(*items: Planned) -> bytes:
    return b"".join(item.encode() for item in items)


ENTRIES = [Planned(ID, "tree", 300, None), Planned(OTHER, "chunk", 70_000, ID)]


@given(cuts=st.lists(st.integers(0, 200), max_size=6))
def test_a_plan_is_read_however_it_is_cut(cuts: list[int]) -> None:
    data = plan_of(*ENTRIES * 3)
    places = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    pieces = [data[a:b] for a, b in pairwise(places)]
    reply = PlanReply(6, 1, ())
    assert list(entries(Answer(reply, iter(pieces)))) == ENTRIES * 3


@given(st.binary(max_size=200), st.booleans())
def test_a_malformed_plan_is_a_format_error(data: bytes, behind: bool) -> None:
    whole = plan_of(*ENTRIES) + data if behind else data
    with suppress(FormatError):
        found = list(entries(Answer(PlanReply(0, 0, ()), iter([whole]))))
        assert all(isinstance(item, Planned) for item in found)


@pytest.mark.parametrize(
    "value",
    [
        [ID, "tree", 1],
        [ID, "tree", -1, None],
        [ID, "tree", 1 << 40, None],
        [ID, "tensors", 1, None],
        [ID, "tree", 1, OTHER],
        [ID[:31], "tree", 1, None],
        {"a": 1},
        [[[[[[]]]]]],
        "x" * 100,
        None,
    ],
)
def test_an_entry_that_cannot_be_is_a_format_error(value: object) -> None:
    with pytest.raises(FormatError):
        list(entries(Answer(PlanReply(0, 0, ()), iter([msgpack.packb(value)]))))
