"""A random concept for every unit: what any method has to rise above."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pyarrow as pa

from dnd.baselines import inputs

SOURCE = "random"


def chosen(concepts: Sequence[str], seed: int, name: str, layer: str, unit: int) -> str:
    """Return the concept of a unit, by a hash of everything that tells it from other units and of the seed.

    Parameters
    ----------
    name : of the sweep row, so that networks that are compared get labels of their own.
    """
    digest = hashlib.sha256(f"{seed}/{name}/{layer}/{unit}".encode()).digest()
    return concepts[int.from_bytes(digest[:8], "big") % len(concepts)]


def run(
    concepts: Sequence[str], seed: int, *, name: str, layer: str, live: Sequence[int], units: Sequence[int]
) -> pa.Table:
    """Return the SCORES table of the asked units that are not idle: one concept each, of score 0.

    Parameters
    ----------
    live : the layer's units that are not idle.
    units : the asked units.
    """
    asked = sorted(set(units) & set(live))
    return inputs.scores([(unit, [(chosen(concepts, seed, name, layer, unit), 0.0)]) for unit in asked], SOURCE)
