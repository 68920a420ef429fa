from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import MissingObjectError, NetworkError, NotAllowedError
from mvc.base.ids import ObjectId
from mvc.sync.link import Answer, FutileError, LaterError, Link, UnreachableError
from mvc.sync.messages import Done, GiveReply, PartRequest, RefsRequest, Reply, Request
from mvc.sync.retry import FIRST_TRIES, LARGE, MOST_PATIENCE, PatientLink, ShortLivedError

REQUEST = RefsRequest(("refs/",))
PART = PartRequest(ObjectId(bytes(32)), 1, 2)


class Scripted:
    """Does one thing after another, whichever link is asked."""

    def __init__(self, *steps: object, cuts: Iterable[int] = ()) -> None:
        self.steps = list(steps)
        self.made = self.closed = 0
        self.received: list[bytes] = []
        self.pauses: list[float] = []
        self.told: list[str] = []
        self.cuts = list(cuts)

    def make(self) -> Link:
        self.made += 1
        return _Link(self)

    def patient(self, tries: int = 4, large_tries: int = 4, chance: float = 1.0) -> PatientLink:
        return PatientLink(
            self.make,
            tries=tries,
            large_tries=large_tries,
            pause=self.pauses.append,
            chance=lambda: chance,
            told=self.told.append,
        )


class _Link:
    def __init__(self, script: Scripted) -> None:
        self._script = script

    def ask(self, request: Request, body: Iterable[bytes] = ()) -> Answer:
        step = self._script.steps.pop(0) if self._script.steps else Done()
        if self._script.cuts and body:
            return self._cut(body, self._script.cuts.pop(0))
        self._script.received.append(b"".join(body))
        if isinstance(step, Exception):
            raise step
        if isinstance(step, Answer):
            return step
        assert isinstance(step, Done | GiveReply)
        return Answer(step, iter(()))

    def _cut(self, body: Iterable[bytes], after: int) -> Answer:
        taken = 0
        for piece in body:
            taken += len(piece)
            if taken >= after:
                raise NetworkError("cut off")
        return Answer(Done(), iter(()))

    def close(self) -> None:
        self._script.closed += 1


def cut(pieces: Iterable[bytes], after: int, reply: Reply | None = None) -> Answer:
    """An answer whose body breaks off behind so many bytes."""

    def body() -> Iterator[bytes]:
        left = after
        for piece in pieces:
            if len(piece) > left:
                yield piece[:left]
                raise NetworkError("cut off")
            left -= len(piece)
            yield piece

    return Answer(reply or GIVEN, body())


GIVEN = GiveReply(ObjectId(bytes(32)), 1, 2)


def test_pauses_double_up_to_a_bound_and_each_try_has_a_link_of_its_own() -> None:
    script = Scripted(*[NetworkError("no route")] * 9)
    assert script.patient(tries=10).ask(REQUEST).reply == Done()
    assert script.pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert (script.made, script.closed) == (10, 9)


def test_chance_takes_up_to_half_of_a_pause() -> None:
    script = Scripted(NetworkError("no route"), NetworkError("no route"))
    script.patient(chance=0.0).ask(REQUEST)
    assert script.pauses == [0.25, 0.5]


def test_whoever_waits_hears_why() -> None:
    script = Scripted(*[NetworkError("no route")] * 3)
    script.patient().ask(REQUEST)
    assert script.told[1:] == ["trying again in 1 s: no route", "trying again in 2 s: no route"]


def test_it_gives_up_after_so_many_tries_and_begins_anew_with_the_next_request() -> None:
    script = Scripted(*[NetworkError(f"try {number}") for number in range(5)])
    link = script.patient(tries=4)
    with pytest.raises(NetworkError, match="try 3"):
        link.ask(REQUEST)
    assert link.ask(REQUEST).reply == Done()
    assert script.closed == 5
    link.close()
    assert script.closed == script.made == 6


@pytest.mark.parametrize(
    "error",
    [FutileError("no mvc there"), NotAllowedError("no"), MissingObjectError("gone"), ValueError()],
)
def test_what_another_try_would_not_mend_is_told_at_once(error: Exception) -> None:
    script = Scripted(error)
    link = script.patient()
    with pytest.raises(type(error)):
        link.ask(REQUEST)
    assert (script.pauses, script.closed) == ([], 1)


def test_one_link_serves_as_long_as_nothing_fails() -> None:
    script = Scripted()
    link = script.patient()
    for _ in range(3):
        link.ask(REQUEST)
    assert (script.made, script.closed) == (1, 0)


def test_a_body_is_sent_anew_from_its_beginning() -> None:
    script = Scripted(cuts=[3, 5])
    script.patient().ask(PART, [b"ab", b"cd", b"ef"])
    assert script.received == [b"abcdef"]


def test_a_body_that_can_be_read_once_is_not_sent_by_halves() -> None:
    script = Scripted(cuts=[3])
    with pytest.raises(NetworkError, match="cut off"):
        script.patient().ask(PART, iter([b"ab", b"cd", b"ef"]))
    assert script.received == []


def test_a_large_body_that_breaks_off_again_and_again_is_told_to_be_too_large() -> None:
    script = Scripted(cuts=[LARGE * 2, LARGE * 3])
    with pytest.raises(ShortLivedError, match="cut off") as caught:
        script.patient(large_tries=2).ask(PART, [bytes(LARGE)] * 5)
    assert caught.value.passed == LARGE * 3


def test_small_bodies_that_break_off_are_sent_as_often_as_anything() -> None:
    script = Scripted(cuts=[10, 10, 10])
    script.patient(large_tries=2).ask(PART, [bytes(10)] * 5)
    assert script.received == [bytes(50)]


@given(
    st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=8),
    st.lists(st.integers(1, 60), max_size=6),
    st.data(),
)
def test_a_body_that_breaks_off_goes_on_where_it_was(
    pieces: list[bytes], cuts: list[int], data: st.DataObject
) -> None:
    whole = b"".join(pieces)
    steps = []
    for after in cuts:
        size = data.draw(st.integers(1, 9))
        again = [whole[at : at + size] for at in range(0, len(whole), size)]
        steps.append(cut(again, after))
    steps.append(cut(pieces, len(whole)))
    script = Scripted(*steps)
    answer = script.patient(tries=len(cuts) + 2).ask(REQUEST)
    assert answer.reply == GIVEN
    assert b"".join(answer.body) == whole


def test_progress_in_a_body_counts_and_standing_still_does_not() -> None:
    pieces = [bytes([number]) for number in range(20)]
    script = Scripted(*[cut(pieces, number) for number in range(1, 21)])
    assert b"".join(script.patient(tries=2).ask(REQUEST).body) == b"".join(pieces)
    script = Scripted(*[cut(pieces, 7) for _ in range(9)])
    answer = script.patient(tries=3).ask(REQUEST)
    with pytest.raises(NetworkError, match="cut off"):
        list(answer.body)
    assert script.made == 3


def test_a_large_reply_that_breaks_off_at_one_place_is_told_to_be_too_large() -> None:
    pieces = [bytes(LARGE)] * 4
    script = Scripted(*[cut(pieces, LARGE * 2) for _ in range(9)])
    answer = script.patient(tries=9, large_tries=2).ask(REQUEST)
    with pytest.raises(ShortLivedError) as caught:
        list(answer.body)
    assert caught.value.passed == LARGE * 2


@pytest.mark.parametrize(
    "second",
    [
        cut([b"abX", b"def"], 99),
        cut([b"ab"], 99),
        cut([b"abc", b"def"], 99, GiveReply(ObjectId(b"\1" * 32), 1, 2)),
    ],
)
def test_a_body_that_is_another_one_the_second_time_is_refused(second: Answer) -> None:
    script = Scripted(cut([b"abc", b"def"], 3), second)
    answer = script.patient().ask(REQUEST)
    with pytest.raises(FutileError, match="answers otherwise"):
        list(answer.body)
    assert script.closed == script.made == 2


def test_a_body_that_nobody_wants_any_more_ends_its_link() -> None:
    script = Scripted(cut([b"abc", b"def"], 99))
    body = script.patient().ask(REQUEST).body
    assert next(body) == b"abc"
    body.close()  # type: ignore[attr-defined]
    assert script.closed == 1


def test_an_address_at_which_nobody_ever_answered_is_given_up_sooner() -> None:
    script = Scripted(*[UnreachableError("no route")] * 9)
    with pytest.raises(UnreachableError):
        script.patient(tries=9).ask(REQUEST)
    assert len(script.pauses) == FIRST_TRIES - 1


def test_a_server_that_answered_before_is_waited_for() -> None:
    script = Scripted(Done(), *[UnreachableError("no route")] * 6)
    link = script.patient(tries=8)
    link.ask(REQUEST)
    assert link.ask(REQUEST).reply == Done()


@pytest.mark.parametrize(("asked", "waited"), [(0.0, 0.5), (7.0, 7.5), (1e9, MOST_PATIENCE + 0.5)])
def test_a_server_that_asks_for_a_longer_pause_gets_it_within_bounds(
    asked: float, waited: float
) -> None:
    script = Scripted(LaterError(NetworkError("busy"), asked))
    script.patient().ask(REQUEST)
    assert script.pauses == [waited]
