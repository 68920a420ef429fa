from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base import hashing
from mvc.base.hashing import LEAST, ROOM, Sha256

SIZES = st.sampled_from([0, 1, 100, LEAST - 1, LEAST, LEAST + 1, 3 * LEAST])


@given(st.lists(SIZES, max_size=12), st.booleans())
def test_the_hash_is_that_of_all_pieces_in_order(sizes: list[int], threads: bool) -> None:
    whole, expected = Sha256(), hashlib.sha256()
    with pytest.MonkeyPatch.context() as patch:
        if not threads:
            patch.setattr(hashing, "_hasher", lambda: None)
        for number, size in enumerate(sizes):
            piece = bytes([number]) * size
            whole.update(memoryview(piece))
            expected.update(piece)
            if number % 5 == 4:
                assert whole.digest() == expected.digest()
    assert whole.digest() == expected.digest()


class Slow:
    """A thread that begins when it is told to."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.held: list[Future[None]] = []

    def submit(self, function: object, pieces: list[bytes]) -> Future[None]:
        future: Future[None] = Future()
        self.held.append(future)

        def run() -> None:
            self.go.wait(30)
            future.set_result(None)

        threading.Thread(target=run).start()
        return future


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    made = Slow()
    monkeypatch.setattr(hashing, "_hasher", lambda: made)
    yield made
    made.go.set()


def test_no_more_waits_than_there_is_room_for(slow: Slow) -> None:
    whole = Sha256()
    piece = bytes(ROOM)
    whole.update(piece)
    whole.update(piece)
    late = threading.Thread(target=whole.update, args=(piece,))
    late.start()
    late.join(0.2)
    assert late.is_alive()
    assert len(slow.held) == 2
    slow.go.set()
    late.join(30)
    assert len(slow.held) == 3
