"""Two ways to do the same work, timed in turn."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

REPEATS = 7
Pair = Mapping[str, tuple[float, float | None]]
"""``ours`` and ``baseline`` -> seconds of the clock, and of this process on the processors where it does the work."""


@dataclass(frozen=True)
class Case:
    """The same work by our code and by a baseline.

    Attributes
    ----------
    name : ``stage`` or ``stage/what``.
    unit : of the rates, such as ``images/s``.
    items : that either way handles once.
    ours, baseline : do the work; ``agree`` compares what they return, and raises where they differ.
    least : what the ratio of the rates must reach; None where nothing is promised.
    """

    name: str
    unit: str
    items: int
    ours: Callable[[], Any]
    baseline: Callable[[], Any]
    agree: Callable[[Any, Any], None]
    least: float | None = None


@dataclass(frozen=True)
class Result:
    """Rates of both ways: medians over the repeats.

    Attributes
    ----------
    ratio : of the rates; above one, ours is faster.
    least : what it must reach.
    cpu_ratio : the same by processor time, which other work on the machine disturbs less.
    low, high : smallest and largest ratio of a pair.
    """

    case: str
    ours: float
    baseline: float
    unit: str
    ratio: float
    repeats: int
    least: float | None = None
    cpu_ratio: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, case: str, unit: str, items: float, pairs: Sequence[Pair], least: float | None = None) -> Result:
        """Return the medians of timed pairs that handle so many items."""
        wall, cpu = ({way: [pair[way][i] for pair in pairs] for way in ("ours", "baseline")} for i in (0, 1))
        middle = {way: statistics.median(seconds) for way, seconds in wall.items()}
        ratios = [pair["baseline"][0] / pair["ours"][0] for pair in pairs]
        known = None not in cpu["ours"]
        return cls(
            case,
            items / middle["ours"],
            items / middle["baseline"],
            unit,
            middle["baseline"] / middle["ours"],
            len(pairs),
            least,
            statistics.median(cpu["baseline"]) / statistics.median(cpu["ours"]) if known else None,
            min(ratios),
            max(ratios),
        )

    @property
    def row(self) -> dict[str, Any]:
        """What ``results.json`` tells."""
        names = ("case", "ours", "baseline", "unit", "ratio", "repeats")
        return {name: value for name, value in asdict(self).items() if name in names}

    def __str__(self) -> str:
        cpu = "" if self.cpu_ratio is None else f", {self.cpu_ratio:.3f} by processor time"
        promised = "" if self.least is None else f" (at least {self.least:g})"
        rates = f"{self.ours:.4g} {self.unit}, baseline {self.baseline:.4g}"
        return f"{self.case}: {rates}, ratio {self.ratio:.3f}{cpu}{promised}"


def measure(case: Case, repeats: int = REPEATS) -> Result:
    """Time both ways of a case, whose results must agree."""
    ways = {"ours": _timed(case.ours), "baseline": _timed(case.baseline)}
    pairs, (ours, baseline) = paired(ways, repeats)
    case.agree(ours, baseline)
    return Result.of(case.name, case.unit, case.items, pairs, case.least)


def paired(ways: Mapping[str, Callable[[], tuple[Any, Any]]], repeats: int) -> tuple[list[Pair], list[Any]]:
    """Run two ways once to warm up, then in turn, each first in every other pair.

    Parameters
    ----------
    ways : return their seconds, of the clock alone or also of the processors, and what they made.

    Returns
    -------
    The seconds, and what the first runs made.
    """
    made = [work()[1] for work in ways.values()]
    pairs = []
    for number in range(repeats):
        order = list(ways)[:: 1 if number % 2 == 0 else -1]
        seconds = {name: ways[name]()[0] for name in order}
        pairs.append({name: one if isinstance(one, tuple) else (one, None) for name, one in seconds.items()})
        print(f"pair {number + 1} of {repeats}", end="\r", file=sys.stderr, flush=True)
    return pairs, made


def _timed(work: Callable[[], Any]) -> Callable[[], tuple[tuple[float, float], Any]]:
    def run() -> tuple[tuple[float, float], Any]:
        clock, cpu = time.perf_counter(), time.process_time()
        made = work()
        return (time.perf_counter() - clock, time.process_time() - cpu), made

    return run
