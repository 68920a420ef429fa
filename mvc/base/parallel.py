"""Threads. NumPy, zstandard, pcodec, BLAKE3 and file reads release the interpreter lock."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from threading import Barrier, Thread, local
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

ROOM = 32 << 20
PATIENCE = 4


def worker_count() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def pool() -> ThreadPoolExecutor:
    """Return the process-wide pool, made at first use with all its threads."""
    return started(worker_count(), "mvc", _begin)


def started(
    count: int, name: str, begin: Callable[[], object] = lambda: None
) -> ThreadPoolExecutor:
    """Return an executor all of whose threads run already; each calls `begin` first."""
    made = ThreadPoolExecutor(count, thread_name_prefix=name, initializer=begin)
    everyone = Barrier(count)

    def start() -> None:
        try:
            for _ in range(count):
                made.submit(everyone.wait)
        except RuntimeError:
            # The system gives no more threads; those there are will do.
            everyone.abort()

    # Ctrl-C interrupts the main thread alone. Had it started the others, one could be missing
    # from the executor's list then, and the process would wait for it for ever at its end.
    starter = Thread(target=start, name=f"{name}-start")
    starter.start()
    starter.join()
    return made


_here = local()


def _begin() -> None:
    _here.works = True


@contextmanager
def in_place() -> Iterator[None]:
    """Keep maps of this thread out of the pool while inside, where the pool may wait for it."""
    before = getattr(_here, "works", False)
    _here.works = True
    try:
        yield
    finally:
        _here.works = before


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    ahead: int | None = None,
    size: Callable[[Item], int] | None = None,
    eager: bool = False,
) -> Iterator[Result]:
    """Yield `function(item)` in the order of `items`, computing a bounded number ahead.

    Items are drawn in the calling thread, so a generator that reads a file bounds the memory:
    at most `ahead` items and results exist at a time (default: twice the workers). Where `size`
    tells the bytes of an item, up to `PATIENCE` times as many are computed while an earlier one
    takes long, as long as they have `ROOM` bytes together: no worker waits for a slow neighbour.
    If `eager`, they are computed whether or not one does, for a consumer that is slow at times.
    An error stops the iteration after work under way has ended. Within work of the pool, which
    would wait for itself, items are computed one after another.
    """
    if getattr(_here, "works", False):
        yield from map(function, items)
        return
    limit = ahead or 2 * worker_count()
    waiting: deque[Future[Result]] = deque()
    sizes: deque[int] = deque()
    executor = pool()
    try:
        for item in items:
            waiting.append(executor.submit(function, item))
            sizes.append(size(item) if size else ROOM)
            while len(waiting) >= limit:
                held, most = sum(sizes), PATIENCE * limit
                if eager and held < ROOM and len(waiting) < most:
                    break
                if _idle(waiting, held, most):
                    break
                sizes.popleft()
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        for future in waiting:
            if not future.cancelled():
                future.exception()


def _idle(waiting: deque[Future[Result]], held: int, most: int) -> bool:
    """Wait for the first result; tell whether the workers ran out of other work before."""
    while not waiting[0].done():
        if held >= ROOM or len(waiting) >= most:
            return False
        busy = [future for future in waiting if not future.done()]
        if len(busy) <= worker_count():
            return True
        wait(busy, return_when=FIRST_COMPLETED)
    return False
