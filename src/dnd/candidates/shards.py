"""Shards of layers' units as a job has them: what each unit looks like, in words and pictures, and its candidates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from dnd.backends import views
from dnd.backends.messages import Answer, Request
from dnd.candidates.concepts import Unit, propose, unit_captions, unit_images
from dnd.config import sweep
from dnd.config.recipes import Recipe
from dnd.config.stages import ConceptSettings
from dnd.io import pictures, schemas, tables
from dnd.io.files import scratch
from dnd.io.rows import Concept


def read_concepts(file: str | Path, name: str, slug: str, units: str) -> list[Concept]:
    """Return the candidates of some units of a layer, spelt as in the sweep, from the CONCEPTS of a bundle."""
    layer = (pc.field("name") == name) & (pc.field("slug") == slug)
    return tables.rows(file, schemas.CONCEPTS, Concept, layer & pc.field("unit").isin(list(sweep.units(units))))


def vocabulary(file: str | Path, name: str, slug: str) -> list[str]:
    """Return the distinct candidates of all units of a layer, sorted, from the CONCEPTS of a bundle."""
    layer = (pc.field("name") == name) & (pc.field("slug") == slug)
    return sorted(set(tables.read(file, schemas.CONCEPTS, ["concept"], layer)["concept"].to_pylist()))


class ShardViews(NamedTuple):
    """What a shard of a layer's units looks like.

    Attributes
    ----------
    name, slug : of the layer.
    exemplars : EXEMPLARS.
    captions : CAPTIONS of the exemplars.
    look_alikes : LOOK_ALIKES, where prompts show them.
    """

    name: str
    slug: str
    exemplars: pa.Table
    captions: pa.Table
    look_alikes: pa.Table | None = None


def read(
    name: str, slug: str, exemplars: str | Path, captions: str | Path, look_alikes: str | Path | None = None
) -> ShardViews:
    """Read what a shard of a layer's units looks like from the files of its tables."""
    return ShardViews(
        name,
        slug,
        tables.read(exemplars, schemas.EXEMPLARS, ["unit", "rank", "image_id", "box", "activation"]),
        tables.read(captions, schemas.CAPTIONS),
        None if look_alikes is None else tables.read(look_alikes, schemas.LOOK_ALIKES),
    )


def known_answers(file: str | Path, layers: Mapping[str, str]) -> dict[tuple[str, int], str]:
    """Return (slug, unit) -> known answer, from a file of known answers.

    Parameters
    ----------
    layers : slug -> name of each layer.
    """
    labels = import_module("dnd.shapeworld.oracles").labels(file)  # by name: a change of it runs no other recipe again
    return {
        (slug, unit): label for (layer, unit), label in labels.items() for slug, name in layers.items() if name == layer
    }


def concepts(
    shards: Sequence[ShardViews],
    recipe: Recipe,
    ask: Callable[[Sequence[Request]], Sequence[Answer]],
    *,
    probe: Sequence[Path] = (),
    folder: Path = Path(),
    named: Mapping[Unit, Sequence[str]] | None = None,
    known: Mapping[tuple[str, int], str] | None = None,
) -> tuple[pa.Table, pa.Table]:
    """Return the CONCEPTS table (unit x candidate) and the ANSWERS table (unit x sample) of units, by a recipe.

    Parameters
    ----------
    ask : requests -> as many answers, in order.
    probe : shards of the probe, whose images are shown where the recipe says so.
    folder : where pictures that are shown lie meanwhile.
    named : best candidates of units by the recipe ``also``, best first.
    known : (slug, unit) -> known answer, where it stands in for the language model.
    """
    settings = recipe.concepts
    if settings.show_images:
        with scratch(folder) as pictures_shown:
            places = {place for shard in shards for place in pictures.places_of(shard.exemplars)}
            names = views.write(places, probe, pictures_shown, recipe.square)
            pictured = [
                unit for shard in shards for unit in unit_images(shard.name, shard.slug, shard.exemplars, names)
            ]
            return propose(pictured, ask, settings, partial(views.url, pictures_shown))
    units = [unit for shard in shards for unit in unit_captions(*shard)]
    if known is not None:
        oracles = import_module("dnd.shapeworld.oracles")  # by name: a change of it runs no other recipe again
        labels = [known.get((unit.slug, unit.unit)) for unit in units]
        plain = ConceptSettings(samples=settings.samples, prompt=settings.prompt, max_words=None)
        tables_of_labels: tuple[pa.Table, pa.Table] = oracles.candidates(
            units, labels, partial(propose, settings=plain)
        )
        return tables_of_labels
    embed = None
    if settings.reads_vectors:
        from dnd.backends.embedder import embed_texts  # which brings torch, that most runs start without

        assert recipe.embedder is not None
        embed = partial(embed_texts, recipe.embedder)
    return propose(units, ask, settings, embed=embed, named=named)
