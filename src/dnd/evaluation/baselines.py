"""Labels that know nothing of a unit: what any metric has to be read against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from dnd.io.store import key

BASELINES = CONSTANT, SHUFFLED, RANDOM = ("constant", "shuffled", "random concept")
"""The most frequent label for every unit; the layer's own labels dealt out anew; any concept of a list."""


def constant_label(labels: Iterable[str | None]) -> str | None:
    """Return the most frequent label (of several, the first by spelling); None if there is none."""
    counts = Counter(label for label in labels if label is not None)
    return min(counts, key=lambda label: (-counts[label], label)) if counts else None


def shuffled(labels: Sequence[str | None], seed: int = 0) -> list[str | None]:
    """Return the labels, abstentions included, dealt out anew among the units."""
    return [labels[i] for i in np.random.default_rng(seed).permutation(len(labels))]


def random_concepts(units: Iterable[int], concepts: Sequence[str]) -> dict[int, str]:
    """Return for each unit a concept of a list, by a hash of its number: the same beside every method."""
    return {unit: concepts[int(key("random concept", unit)[:15], 16) % len(concepts)] for unit in units}


def baseline_labels(labels: Mapping[int, str | None], concepts: Sequence[str]) -> dict[str, dict[int, str | None]]:
    """Return baseline -> unit -> label, for the units that a method was asked about.

    Parameters
    ----------
    labels : unit -> the method's label.
    concepts : for random ones; when empty there is no such baseline.
    """
    units = sorted(labels)
    most = constant_label(labels.values())
    baselines: dict[str, dict[int, str | None]] = {
        CONSTANT: dict.fromkeys(units, most),
        SHUFFLED: dict(zip(units, shuffled([labels[unit] for unit in units]), strict=True)),
    }
    if concepts:
        baselines[RANDOM] = dict(random_concepts(units, concepts))
    return baselines
