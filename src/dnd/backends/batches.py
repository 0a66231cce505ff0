"""Batches of one fixed shape, smaller ones where the device's memory does not suffice."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import torch

from dnd.io.streams import ahead, chunks, made

log = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")


@dataclass
class BatchSize:
    """How many items a model takes at once. A change lasts, for whoever shares the object.

    Attributes
    ----------
    items : the fixed size.
    what : the work, for messages.
    """

    items: int
    what: str

    def halve(self, reason: str) -> None:
        """Release what the allocator holds back, and go on with half the items.

        Raises
        ------
        RuntimeError
            A batch of one item did not fit either.
        """
        if torch.cuda.is_available():
            gc.collect()  # what failed may hold on to itself
            torch.cuda.empty_cache()
        if self.items == 1:
            raise RuntimeError(f"{self.what}: the device's memory does not hold a batch of one: {reason}")
        self.items //= 2
        log.warning("%s: out of memory, batches of %d from now on: %s", self.what, self.items, reason)


def prepared(make: Callable[[T], R], items: Iterable[T], most: int) -> Iterator[R]:
    """Yield what ``make`` makes of each item, in their order, by all threads of the job (:func:`dnd.io.streams.made`).

    Parameters
    ----------
    most : items that are made ahead.
    """
    return made(make, items, torch.get_num_threads(), most)


def in_batches(
    items: Iterable[T],
    size: BatchSize,
    work: Callable[..., R],
    load: Callable[[list[T], int], object] = lambda part, shape: part,
) -> Iterator[tuple[list[T], R]]:
    """Yield parts of the items, each with its result.

    Kernels, and with them the last bits of a result, depend on a batch's shape, so a result would depend on how work
    was split into jobs if batches were not all filled up to one shape. When the device runs out of memory the shape is
    halved and the same items are tried again. They keep their order, seeds and number, so results are then those of a
    run that began with the smaller shape: equal to the undisturbed run's up to those last bits.

    Parameters
    ----------
    work : what ``load`` makes of items, and the shape -> their result.
    load : items, at most as many as the shape, and the shape that they are filled up to -> what ``work`` is given; it
        runs in a thread, a batch ahead, and there the items are asked for.

    Raises
    ------
    RuntimeError
        The device's memory does not hold a single item.
    """
    source, again = iter(items), list[T]()
    while True:
        shape, reason, begun = size.items, "", list[T]()

        def parts(first: Iterable[T], shape: int, begun: list[T]) -> Iterator[tuple[list[T], object]]:
            for part in chunks(chain(first, source), shape):
                begun += part
                yield part, load(part, shape)

        with closing(ahead(parts(again, shape, begun))) as coming:
            for part, loaded in coming:
                try:
                    result = work(loaded, shape)
                except torch.OutOfMemoryError as error:
                    reason = str(error).partition("\n")[0]
                    break
                yield part, result
                del begun[: len(part)]
            else:
                return
        again = begun
        size.halve(reason)  # outside of the handler, where the traceback no longer holds the batch's tensors
