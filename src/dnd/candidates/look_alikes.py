"""Images that resemble a unit's exemplars and excite it little, with captions: what its concept must leave out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dnd.backends import embeddings
from dnd.backends.embedder import Embedder
from dnd.candidates import captions
from dnd.config.recipes import Recipe
from dnd.config.scenes import Stream
from dnd.io import pictures, schemas, tables
from dnd.io.pictures import Place
from dnd.io.rows import Caption, Controls, LookAlike
from dnd.io.store import Store
from dnd.probe import pack

Values = npt.NDArray[np.float32]


def nearest(
    exemplars: Values,
    images: Values,
    activations: npt.NDArray[np.floating],
    count: int,
    exclude: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.intp]:
    """Return the positions of a unit's look-alikes: most similar to its exemplars, exciting it less than its mean.

    Parameters
    ----------
    exemplars : unit vectors [k, d] of an image embedder.
    images : unit vectors [n, d] of all images that may be look-alikes, in order of image id.
    activations : [n], the unit's at these images.
    count : how many; fewer where fewer images excite it less than the mean.
    exclude : bool [n], images that may not be chosen, such as the exemplars.

    Returns
    -------
    Positions [m], most similar first by the mean cosine with the exemplars; ties by position.
    """
    allowed = np.asarray(activations) < np.mean(activations, dtype=np.float64)
    if exclude is not None:
        allowed &= ~exclude
    places = np.flatnonzero(allowed)
    similar = np.asarray(images, np.float64)[places] @ np.mean(exemplars, 0, dtype=np.float64)
    return places[np.argsort(-similar, kind="stable")[:count]]


def of_units(
    exemplars: pa.Table,
    topk: str | Path,
    units: Iterable[int],
    shards: Sequence[Path],
    recipe: Recipe,
    store: str | Path,
    streams: Mapping[str, Stream] | None = None,
) -> pa.Table:
    """Return the LOOK_ALIKES table of some units of a layer, by the captioner and the embedder of a recipe.

    Parameters
    ----------
    topk : file of TOPK of the layer.
    shards : of the probe.
    store : folder of the item stores.
    streams : as :func:`dnd.candidates.captions.of_exemplars` takes them.
    """
    assert recipe.embedder is not None
    return run(
        embeddings.load(recipe.embedder, Store(Path(store, "vectors"))),
        partial(captions.of_exemplars, shards=shards, recipe=recipe, store=store, streams=streams),
        exemplars=exemplars,
        topk=tables.rows(topk, schemas.TOPK, Controls, pc.field("unit").isin(list(units))),
        controls=pack.controls(shards, recipe.controls),
        shards=shards,
        count=recipe.concepts.look_alikes,
        square=recipe.square,
    )


def run(
    embedder: Embedder,
    write: Callable[[pa.Table], pa.Table],
    *,
    exemplars: pa.Table,
    topk: Sequence[Controls],
    controls: Sequence[str],
    shards: Sequence[Path],
    count: int,
    square: int | None = None,
) -> pa.Table:
    """Return the LOOK_ALIKES table of some units, most similar first.

    Parameters
    ----------
    write : images and boxes -> their CAPTIONS: :func:`dnd.candidates.captions.of_exemplars` of a recipe.
    exemplars : EXEMPLARS of the units.
    topk : of the units.
    controls : ids of the control images, in their order there.
    count : look-alikes of each unit; fewer where fewer excite it less than the mean.
    square : side of the square that images are stretched to.
    """
    shown: dict[int, list[Place]] = {}
    for unit, place in zip(exemplars["unit"].to_pylist(), pictures.places_of(exemplars), strict=True):
        shown.setdefault(unit, []).append(place)
    wanted = {(name, None) for name in controls} | {place for places in shown.values() for place in places}
    vectors = embeddings.of_places(embedder, wanted if shown else set(), shards, square)
    look_alikes = [
        (row.unit, rank, controls[place])
        for row in sorted(topk, key=lambda row: row.unit)
        if row.unit in shown
        for rank, place in enumerate(chosen(shown[row.unit], row.controls, controls, vectors, count))
    ]
    names = sorted({name for _, _, name in look_alikes})
    images = pa.table({"image_id": pa.array(names, pa.string()), "box": pa.nulls(len(names), schemas.BOX)})
    texts = {caption.image_id: caption.caption for caption in tables.rows_of(write(images), Caption)} if names else {}
    rows = [LookAlike(unit, rank, name, texts[name]) for unit, rank, name in look_alikes]
    return tables.table(rows, schemas.LOOK_ALIKES)


def chosen(
    exemplars: Sequence[Place],
    activations: Sequence[float],
    controls: Sequence[str],
    vectors: Mapping[Place, Values],
    count: int,
) -> npt.NDArray[np.intp]:
    """Return the positions of a unit's look-alikes among the control images; no image of an exemplar is one.

    Parameters
    ----------
    activations : the unit's at the control images; where one is not finite the image is no look-alike.
    vectors : unit vectors [d] of exemplars and of whole control images.
    """
    values = np.array(activations, np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        return np.empty(0, np.intp)
    values[~finite] = values[finite].mean()
    shown = {name for name, _ in exemplars}
    return nearest(
        np.stack([vectors[place] for place in exemplars]),
        np.stack([vectors[name, None] for name in controls]),
        values,
        count,
        exclude=~finite | np.array([name in shown for name in controls]),
    )
