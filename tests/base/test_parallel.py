from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from mvc.base import parallel
from mvc.base.parallel import in_place, ordered_map, pool, worker_count


def test_results_come_in_the_order_of_the_items() -> None:
    gate = threading.Event()

    def slow_first(item: int) -> int:
        if item == 0:
            gate.wait(5)
        else:
            gate.set()
        return item * 2

    assert list(ordered_map(slow_first, range(20))) == [item * 2 for item in range(20)]


def test_nothing_comes_of_nothing() -> None:
    assert list(ordered_map(str, [])) == []


def test_no_more_items_are_drawn_than_asked_for() -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            drawn.append(item)
            yield item

    results = ordered_map(lambda item: item, items(), ahead=3)
    for taken in range(1, 50):
        next(results)
        assert len(drawn) <= taken + 3
    results.close()  # type: ignore[attr-defined]


def test_items_are_drawn_in_the_calling_thread() -> None:
    here = threading.get_ident()
    seen: list[int] = []

    def items() -> Iterator[int]:
        for item in range(8):
            seen.append(threading.get_ident())
            yield item

    threads = set(ordered_map(lambda _: threading.get_ident(), items()))
    assert set(seen) == {here}
    assert here not in threads


def test_an_error_of_the_function_reaches_the_caller() -> None:
    def fail(item: int) -> int:
        if item == 5:
            raise ValueError("five")
        return item

    got: list[int] = []
    with pytest.raises(ValueError, match="five"):
        got.extend(ordered_map(fail, range(10_000)))
    assert got == [0, 1, 2, 3, 4]


def test_after_an_error_nothing_is_left_running() -> None:
    running = 0
    guard = threading.Lock()
    release = threading.Event()

    def work(item: int) -> int:
        nonlocal running
        if item == 0:
            raise ValueError
        with guard:
            running += 1
        release.wait(0.05)
        with guard:
            running -= 1
        return item

    with pytest.raises(ValueError):  # noqa: PT011
        list(ordered_map(work, range(50), ahead=20))
    assert running == 0


def test_an_error_of_the_items_reaches_the_caller_after_work_has_ended() -> None:
    done: list[int] = []

    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("no more")

    def work(item: int) -> int:
        done.append(item)
        return item

    with pytest.raises(KeyError):
        list(ordered_map(work, items(), ahead=10))
    before = list(done)
    assert list(ordered_map(str, [1, 2, 3])) == ["1", "2", "3"]
    assert done == before


def test_a_consumer_may_stop_early() -> None:
    results = ordered_map(lambda item: item, iter(range(10**9)))
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]


def test_small_items_go_on_while_a_large_one_takes_long() -> None:
    gate = threading.Event()

    def large_first(item: int) -> int:
        if item == 0:
            assert gate.wait(10)
        elif item == 7:
            gate.set()
        return item

    items = range(2000)
    assert list(ordered_map(large_first, items, ahead=2, size=lambda _: 1)) == list(items)


def test_what_is_computed_ahead_has_bounded_bytes() -> None:
    drawn: list[int] = []
    gate = threading.Event()

    def items() -> Iterator[int]:
        for item in range(100):
            drawn.append(item)
            yield item

    def slow_first(item: int) -> int:
        if item == 0:
            gate.wait(0.3)
        return item

    results = ordered_map(slow_first, items(), ahead=2, size=lambda _: parallel.ROOM // 3 + 1)
    assert next(results) == 0
    assert len(drawn) == 3
    results.close()  # type: ignore[attr-defined]


def test_an_eager_map_works_ahead_of_a_slow_consumer_within_bounds() -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for item in range(1000):
            drawn.append(item)
            yield item

    results = ordered_map(lambda item: item, items(), ahead=2, size=lambda _: 1, eager=True)
    assert next(results) == 0
    assert len(drawn) == 2 * parallel.PATIENCE
    assert list(results) == list(range(1, 1000))


def test_a_map_within_work_of_the_pool_does_not_wait_for_itself() -> None:
    def outer(item: int) -> list[int]:
        return list(ordered_map(lambda inner: inner * item, range(5), ahead=1))

    assert list(ordered_map(outer, range(20))) == [
        [item * n for n in range(5)] for item in range(20)
    ]


def test_a_thread_that_the_pool_waits_for_computes_by_itself() -> None:
    ready = threading.Event()
    waiting = [pool().submit(ready.wait, 60) for _ in range(worker_count())]
    with in_place():
        assert list(ordered_map(lambda item: item + 1, range(50))) == list(range(1, 51))
    ready.set()
    assert all(future.result() for future in waiting)


def test_a_pool_has_all_its_threads_from_the_start_and_none_was_started_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starters = []
    original = threading.Thread.start

    def noted(thread: threading.Thread) -> None:
        starters.append((thread.name, threading.current_thread().name))
        original(thread)

    monkeypatch.setattr(threading.Thread, "start", noted)
    made = parallel.pool.__wrapped__()
    try:
        workers = [by for name, by in starters if name != "mvc-start"]
        assert workers == ["mvc-start"] * parallel.worker_count()
    finally:
        made.shutdown()
