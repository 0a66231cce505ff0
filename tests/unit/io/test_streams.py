"""Items some at a time, a step ahead, or made by several threads; without torch, for jobs that need none."""

import threading
import time

import pytest

from dnd.io.streams import ahead, made


def test_an_error_ahead_is_raised_in_its_turn():
    def source():
        yield 1
        raise OSError("broken")

    items = ahead(source())
    assert next(items) == 1
    with pytest.raises(OSError, match="broken"):
        next(items)


def test_items_are_made_in_their_order_and_not_all_at_once():
    begun = []

    def slow_first(number):
        begun.append(number)
        if number == 0:
            time.sleep(0.05)
        return 10 * number

    items = made(slow_first, range(9), 3, 4)
    assert next(items) == 0
    assert sorted(begun) == [0, 1, 2, 3]
    assert list(items) == [10, 20, 30, 40, 50, 60, 70, 80]
    assert sorted(begun) == list(range(9))


def test_one_thread_makes_items_when_they_are_asked_for():
    begun = []
    items = made(lambda number: begun.append((number, threading.get_ident())) or number, range(9), 1, 4)
    assert (next(items), next(items)) == (0, 1)
    assert begun == [(0, threading.get_ident()), (1, threading.get_ident())]


def test_what_waits_is_not_made_when_nobody_wants_it():
    begun, go_on = [], threading.Event()

    def waits(number):
        begun.append(number)
        if number:
            go_on.wait(10)
        return number

    items = made(waits, range(9), 1, 9)
    assert next(items) == 0
    threading.Timer(0.05, go_on.set).start()
    items.close()
    assert begun in ([0], [0, 1])
