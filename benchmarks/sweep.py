"""The workflow from end to end beside the released driver, and what a second layer and a second network cost."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.pairs import Result
from benchmarks.released import AskingDriver
from benchmarks.world import FIRST_ROW, LAYERS, MODEL, OTHERS, PROBE, World
from dnd.backends.server import Endpoint
from dnd.config.sweep import units
from dnd.io import pictures, schemas, tables

ALONE = (0, 20, 60)
"""Units that are described again, without others and without the store."""
DRIVEN = {"concepts": ALONE, "fc": (7,), "layer4": (3, 80), "layer3": (50,), "layer2": (10,)}
"""Units that the driver describes."""
LAYER_ROW = ["second", MODEL, "layer4", PROBE, "dnd", "0-31"]
NETWORK_ROW = ["other", next(iter(OTHERS)), "concepts", PROBE, "dnd", "0-63"]
WHOLE = [[f"{layer}-{model}", model, layer, PROBE, "dnd", ""] for model in (MODEL, *OTHERS) for layer in LAYERS]
"""Every layer of every network."""
ROUNDS = 2
"""How often each of them; machines are faster in some minutes than in others."""
DRIVES = ROUNDS * sum(map(len, DRIVEN.values()))
LEAST = 10.0
"""How much cheaper than the driver's a unit of the whole sweep must be."""


def first(world: World, server: Endpoint) -> float:
    """Describe the units of the first layer, and return the seconds."""
    return world.run([FIRST_ROW], (server.base_url, server.key))


def driver(world: World, server: Endpoint) -> float:
    """Return the seconds that the released driver takes for a unit, the mean over some of all kinds.

    It has all cores, as a process of its own would. Each layer has a pass over the probe, and a unit its share of it.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    try:
        released, each = AskingDriver(world, server), []
        released.describe(ALONE[0])  # to warm up
        for layer, own in ROUNDS * list(DRIVEN.items()):
            released.world = world.at(layer)
            for unit in own:
                begun = time.perf_counter()
                released.describe(unit)
                each.append(time.perf_counter() - begun)
                print(f"driver: {each[-1]:.2f} s for unit {unit} of {layer}", flush=True)
        share = released.look_at_probe() / statistics.mean(LAYERS.values())
        print(f"driver: {share:.2f} s for a unit's share of the pass", flush=True)
        return statistics.mean(each) + share
    finally:
        torch.set_num_threads(threads)


def end_to_end(what: str, count: int, seconds: float, each: float, least: float | None = None) -> Result:
    """Return units per second by the workflow, all its processes included, and by the driver.

    Parameters
    ----------
    count, seconds : of the units that the workflow described.
    each : seconds of the driver for a unit.
    """
    return Result(f"end to end/{what}", count / seconds, 1 / each, "units/s", count / seconds * each, DRIVES, least)


def whole(world: World, server: Endpoint) -> dict[str, Any]:
    """Describe all layers of all networks in one call, and return its seconds and its units, without idle ones."""
    seconds = world.run(WHOLE, (server.base_url, server.key))
    return {"units": sum(world.live(name, layer) for name, _, layer, *_ in WHOLE), "seconds": seconds}


def candidates(world: World) -> list[list[str]]:
    """Return the candidates of each unit of the whole sweep."""
    found = []
    for name, *_ in WHOLE:
        named: dict[int, list[str]] = {}
        for row in world.concepts(None, name):
            named.setdefault(row.unit, []).append(row.concept)
        found += [named[unit] for unit in sorted(named)]
    return found


def labels_stay(world: World, swept: World, server: Endpoint) -> int:
    """Return how many units of the first layer have the label that they have in the sweep, and some of them when alone.

    These are described again, without others and with an empty store.

    Raises
    ------
    AssertionError
        One has another label.
    """
    known = world.labels("first", "concepts")
    os.environ["DND_STORE"] = str(world.folder / "other-store")
    try:
        row = ["alone", *FIRST_ROW[1:-1], ",".join(map(str, ALONE))]
        world.run([row], (server.base_url, server.key))
    finally:
        del os.environ["DND_STORE"]
    (name,) = (row[0] for row in WHOLE if row[1:3] == FIRST_ROW[1:3])
    for asked, found in ((ALONE, world.labels("alone", "concepts")), (known, swept.labels(name, "concepts"))):
        differ = {unit: (found[unit], known[unit]) for unit in asked if found[unit] != known[unit]}
        assert not differ, f"labels differ: {differ}"
    return len(known)


def reuse(world: World, server: Endpoint, seconds: float) -> tuple[list[Result], list[dict[str, Any]]]:
    """Add a second layer, and then a second network, to the sweep.

    Returns
    -------
    Results, and for each addition the shares of captions and concepts that were known.
    """
    rows, results, shares = [FIRST_ROW], [], []
    before = len(units(FIRST_ROW[-1])) / seconds
    for what, row in (("second layer", LAYER_ROW), ("second network", NETWORK_ROW)):
        had = [_made(world, one) for one in rows]
        known_captions, known_concepts = (set().union(*parts) for parts in zip(*had, strict=True))
        stored = _stored(world)
        rows.append(row)
        took = world.run(rows, (server.base_url, server.key))
        captions, concepts = _made(world, row)
        drawn, needed = _stored(world) - stored, len(concepts) * world.recipe.generator.images
        rate = len(units(row[-1])) / took
        results.append(Result(f"{what}/units", rate, before, "units/s", rate / before, 1))
        used = needed / max(drawn, 1)
        results.append(Result(f"{what}/images", used, 1.0, "used per image drawn", used, 1))
        shares.append(
            {
                "addition": what,
                "units": len(units(row[-1])),
                "seconds": took,
                "seconds per unit": took / len(units(row[-1])),
                "captions": len(captions),
                "captions known": len(captions & known_captions) / len(captions),
                "concepts": len(concepts),
                "concepts known": len(concepts & known_concepts) / len(concepts),
                "images needed": needed,
                "images drawn": drawn,
            }
        )
    return results, shares


def _made(world: World, row: list[str]) -> tuple[set[Any], set[str]]:
    """Captioned places and distinct concepts of a row."""
    name, _, layer, *_ = row
    places = tables.read(
        sorted((world.results / name / layer / "captions").glob("*.parquet")), schemas.CAPTIONS, ["image_id", "box"]
    )
    concepts = world.concepts(units(row[-1]), name)
    return set(pictures.places_of(places)), {row.concept for row in concepts}


def _stored(world: World) -> int:
    """Images in the store."""
    folder = Path(world.folder, "results/store/images")
    return sum(1 for path in folder.glob("*/*") if not path.name.startswith("."))
