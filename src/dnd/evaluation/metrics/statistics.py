"""Intervals, and tests between methods on the same units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

RESAMPLES = 2000
MOST_DRAWS = 2**20
"""Draws of a bootstrap that are in memory at once."""
FLIPS = 9999
EXACT_UP_TO = 13
"""Differences other than zero for which all sign flips are gone through."""


def wilson(successes: int, count: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a share.

    Source: Wilson 1927, without continuity correction, as SciPy's ``binomtest(...).proportion_ci``.
    """
    interval = binomtest(successes, count).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def bootstrap(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of a mean over units: see :func:`intervals`."""
    low, high = intervals(np.asarray(values, float), seed)
    return float(low), float(high)


def intervals(values: npt.NDArray[np.float64], seed: int = 0) -> npt.NDArray[np.float64]:
    """Return the 95 % percentile bootstrap intervals [2] or [k, 2] of means of values [n] or [n, k], rows together.

    Source: Efron 1979; the 2.5th and 97.5th percentiles of the means of RESAMPLES resamples, with a fixed seed.
    """
    rng, count = np.random.default_rng(seed), len(values)
    at_once = max(1, MOST_DRAWS // count)
    sizes = [min(at_once, RESAMPLES - first) for first in range(0, RESAMPLES, at_once)]
    means = np.concatenate([values[rng.integers(count, size=(size, count))].mean(axis=1) for size in sizes])
    return np.quantile(means, (0.025, 0.975), axis=0).T


def permutation(differences: Sequence[float], seed: int = 0) -> float:
    """Return the two-sided p-value of paired differences: how often random signs move their mean as far from zero.

    All signs for up to EXACT_UP_TO differences other than zero, else FLIPS random ones, the observed signs among them.

    Source: Fisher 1935, as SciPy's ``permutation_test(..., permutation_type="samples")`` of the mean difference.
    """
    changed = np.asarray([difference for difference in differences if difference], float)
    count = len(changed)
    if not count:
        return 1.0
    if count <= EXACT_UP_TO:
        signs = 1 - 2 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
        extra = 0
    else:
        signs = 1 - 2 * np.random.default_rng(seed).integers(2, size=(FLIPS, count), dtype=np.int8)
        extra = 1
    moved = np.abs(signs @ changed) >= abs(changed.sum()) * (1 - 1e-12)  # equal sums differ in their last bits
    return float((int(moved.sum()) + extra) / (len(signs) + extra))


def mcnemar(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the exact two-sided p-value that two methods, 0 or 1 at each unit, are right equally often.

    Source: McNemar 1947: a binomial test of the units that only one of them has right.
    """
    only_first = sum(1 for a, b in zip(first, second, strict=True) if a > b)
    only_second = sum(1 for a, b in zip(first, second, strict=True) if a < b)
    return float(binomtest(only_first, only_first + only_second).pvalue) if only_first + only_second else 1.0


def holm(pvalues: Sequence[float]) -> list[float]:
    """Return p-values adjusted for as many tests as there are, in their order.

    Source: Holm 1979, step-down: the chance of any false discovery stays below the level.
    """
    values = np.asarray(pvalues, float)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted: npt.NDArray[np.float64] = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted.tolist()


class PairedTest(NamedTuple):
    """A metric of two methods on the same units.

    Attributes
    ----------
    units : how many both have a value for.
    difference : mean of first - second.
    low, high : its 95 % bootstrap interval.
    test : McNemar's where all values are 0 or 1, else by permutation.
    pvalue : of the test; see :func:`holm`.
    """

    units: int
    difference: float
    low: float
    high: float
    test: str
    pvalue: float


def compare(first: Sequence[float], second: Sequence[float]) -> PairedTest:
    """Compare two methods by a metric's values at the same units, in the same order.

    Raises
    ------
    ValueError
        There is no unit, or not as many of both.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f"methods are compared on the same units, not on {len(first)} and {len(second)}")
    differences = [a - b for a, b in zip(first, second, strict=True)]
    low, high = bootstrap(differences)
    if {*first, *second} <= {0, 1}:
        test, pvalue = "McNemar", mcnemar(first, second)
    else:
        test, pvalue = "permutation", permutation(differences)
    return PairedTest(len(differences), float(np.mean(differences)), low, high, test, pvalue)
