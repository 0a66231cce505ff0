"""Items some at a time, a step ahead, or made by several threads; without torch, for jobs that need none."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield so many items at a time, the last time fewer."""
    source = iter(items)
    return iter(lambda: list(islice(source, size)), [])


def ahead(items: Iterable[T]) -> Generator[T, None, None]:
    """Yield items, each of which a thread makes while the one before is worked on."""
    source, end = iter(items), object()
    with ThreadPoolExecutor(1, "ahead") as thread:
        coming = thread.submit(next, source, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, source, end)
            yield item  # type: ignore[misc]  # not the end


def made(make: Callable[[T], R], items: Iterable[T], threads: int, most: int) -> Iterator[R]:
    """Yield what ``make`` makes of each item, in their order, while threads make the next ones.

    Parameters
    ----------
    threads : with one, items are made when they are asked for.
    most : items that are made ahead.
    """
    source = iter(items)
    if threads == 1:  # whoever asks is a thread of its own where that pays: handing each item over would cost more
        yield from map(make, source)
        return
    with ThreadPoolExecutor(threads, "made") as pool:
        waiting = deque(pool.submit(make, item) for item in islice(source, most))
        try:
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(make, item) for item in islice(source, 1))
        finally:
            pool.shutdown(cancel_futures=True)
