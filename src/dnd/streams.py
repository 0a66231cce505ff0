"""Items some at a time, a step ahead, or made when they are wanted; without torch, for jobs that need none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar, overload

T = TypeVar("T")


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield so many items at a time, the last time fewer."""
    source = iter(items)
    return iter(lambda: list(islice(source, size)), [])


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield items, each of which a thread makes while the one before is worked on."""
    source, end = iter(items), object()
    with ThreadPoolExecutor(1, "ahead") as thread:
        coming = thread.submit(next, source, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, source, end)
            yield item  # type: ignore[misc]  # not the end


class Made(Sequence[T]):
    """Items that are made when they are asked for, as often as they are; :func:`dnd.batches.in_batches` asks ahead.

    Parameters
    ----------
    make : place -> item.
    count : how many there are.
    """

    def __init__(self, make: Callable[[int], T], count: int) -> None:
        self.make = make
        self.places = range(count)

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, place: int) -> T: ...

    @overload
    def __getitem__(self, place: slice) -> list[T]: ...

    def __getitem__(self, place: int | slice) -> T | list[T]:
        if isinstance(place, slice):
            return [self.make(one) for one in self.places[place]]
        return self.make(self.places[place])
