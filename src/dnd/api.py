"""Describe units from a notebook: the stages of the workflow, one after the other in this process."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch
from PIL import Image
from torch import nn

from dnd.backends import llm as language_model
from dnd.candidates import captions, shards
from dnd.candidates.shards import ShardViews
from dnd.config.backends import LlmSettings
from dnd.config.load import ConfigError, read_recipe
from dnd.config.recipes import Recipe
from dnd.config.targets import PreprocessSettings, ProbeSettings, TargetSettings
from dnd.io import pictures, schemas, tables
from dnd.io.rows import Concept, Exemplar, Picture
from dnd.io.store import Store
from dnd.probe import images_in_memory, pack
from dnd.probe import sources as probe_sources
from dnd.report import notebook_sheet
from dnd.selection import descriptions, explains, scales, scores, verdict
from dnd.selection.images import drawer
from dnd.target import activations, exemplars
from dnd.target import sources as target_sources
from dnd.target import topk as merging
from dnd.target.network import COMPILED, Target
from dnd.target.preprocess import Preprocess

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)
NAME = "notebook"
"""Of the probe, the layer and everything else that the workflow would give a name."""
SHOWN = 8


@dataclass(frozen=True)
class Descriptions:
    """The described units of a layer.

    Attributes
    ----------
    table
        One row per unit: see `dnd.io.schemas.DESCRIPTIONS`.
    folder
        Where the tables of all stages and the item stores are.
    """

    table: pa.Table
    folder: Path
    _kept: object = field(default=None, repr=False)

    def to_pandas(self) -> pd.DataFrame:
        """Return the table as a data frame with the unit as index."""
        return self.table.to_pandas().set_index("unit")

    def __getitem__(self, unit: int) -> dict[str, Any]:
        """Return the row of a unit.

        Raises
        ------
        KeyError
            It has not been described.
        """
        numbers = self.table["unit"].to_pylist()
        if unit not in numbers:
            raise KeyError(f"unit {unit} is not among the {len(numbers)} that were described")
        return dict(self.table.slice(numbers.index(unit), 1).to_pylist()[0])

    def show(self, unit: int) -> Image.Image:
        """Return a picture of the evidence: exemplars with what the unit attends to, and the drawn candidates.

        A notebook displays it as the last line of a cell.

        Raises
        ------
        KeyError
            The unit has not been described.
        ValueError
            Another call has written its evidence to the folder since.
        """
        row = self[unit]
        kept = tables.read(self.folder / "descriptions.parquet", schemas.DESCRIPTIONS)
        if repr(kept.to_pylist()) != repr(self.table.to_pylist()):  # unlike `equals`, also where a value is no number
            raise ValueError(f"{self.folder} holds the evidence of a later call; give each call a folder of its own")
        where = pa.compute.field("unit") == unit
        shown = tables.rows(self.folder / "exemplars.parquet", schemas.EXEMPLARS, Exemplar, where)
        best = sorted(shown, key=lambda exemplar: exemplar.rank)[:SHOWN]
        wanted = {exemplar.image_id for exemplar in best}
        files = pictures.rows([self.folder / "probe.parquet"], wanted)
        whole = {file["image_id"]: pictures.decode(file["image"]) for file in files}
        said = f"unit {unit}: {row['label'] or row['abstained']}"
        title = _captioned(said, explains=row["explains"], confidence=row["confidence"])
        crops = [
            notebook_sheet.exemplar(whole[exemplar.image_id], exemplar.box, exemplar.heatmap, exemplar.heatmap_box)
            for exemplar in best
        ]
        drawn: dict[str, list[Image.Image]] = {candidate["concept"]: [] for candidate in row["candidates"]}
        for group in tables.row_groups([self.folder / "images.parquet"], schemas.IMAGES, None, ("concept", drawn)):
            for picture in tables.rows_of(group, Picture):
                drawn[picture.concept].append(pictures.decode(picture.image))
        candidates = [
            (_captioned(candidate["concept"], score=candidate["score"]), drawn[candidate["concept"]][:SHOWN])
            for candidate in row["candidates"]
        ]
        return notebook_sheet.sheet([(title, crops), *candidates])


def _captioned(text: str, **figures: float | None) -> str:
    """A text and, in lines below it, the figures that are known."""
    return "\n".join([text, *(f"{name} {value:.2f}" for name, value in figures.items() if value is not None)])


def describe(
    model: nn.Module | Target | TargetSettings,
    layer: str,
    images: str | Path | ProbeSettings | Iterable[object],
    *,
    recipe: str | Path | tuple[Recipe, LlmSettings],
    preprocess: PreprocessSettings | Mapping[str, object] | None = None,
    units: Sequence[int] | None = None,
    folder: str | Path | None = None,
) -> Descriptions:
    """Describe units of a layer in natural language.

    Parameters
    ----------
    model
        A network, which is put into evaluation mode, or settings as in config.yaml.
    layer
        Dotted name of a module.
    images
        A folder, settings as in config.yaml, or images in memory: of Pillow, arrays [height, width, channels], tensors
        [channels, height, width], bytes or paths of image files. Arrays and tensors hold bytes, or floats from 0 to 1.
    recipe
        A configuration file with one recipe and a language model, or the two.
    preprocess
        How images become inputs; needed for a network that is given as a module.
    units
        0-based; all when empty.
    folder
        Keeps finished items for all calls, so that the same call goes on after an interruption, and the tables of the
        last one; a temporary one, which lives as long as the result, when empty.

    Raises
    ------
    ConfigError
        The recipe is malformed, or the truth stands in for one of its parts.
    TargetError
        The network, the layer or the preprocessing cannot be used.
    ValueError
        There are no images, or one in memory is none.
    """
    temporary = TemporaryDirectory(prefix="dnd-") if folder is None else None
    place = Path(temporary.name if temporary else str(folder))
    place.mkdir(parents=True, exist_ok=True)
    how, llm = recipe if isinstance(recipe, tuple) else read_recipe(recipe)
    if how.oracles:
        raise ConfigError(f"{', '.join(how.oracles)}: only a run of the workflow knows the truth that stands in here")
    target = _target(model, preprocess, how.sign)
    probe = [_packed(images, place)]
    topk = _activations(target, layer, probe, how, place)
    count = tables.count(topk)
    wanted = range(count) if units is None else sorted(set(units))
    if len(wanted) and not 0 <= wanted[0] <= wanted[-1] < count:
        raise ValueError(f"units: layer {layer!r} has the units 0 to {count - 1}, not all of {list(wanted)}")
    shown = exemplars.of_units(target, layer, topk, wanted, probe, pooling=how.pooling_of_views, settings=how.exemplars)
    tables.write(place / "exemplars.parquet", shown, schemas.EXEMPLARS)
    store = place / "store"
    texts = captions.of_exemplars(shown, probe, how, store)
    shard = ShardViews(NAME, NAME, shown, texts)
    with language_model.session(llm, Store(store / "answers"), place / "server.log") as ask:
        candidates, answers = shards.concepts([shard], how, ask, probe=probe, folder=place)
    tables.write(place / "answers.parquet", answers, schemas.ANSWERS)
    pictures = _drawn(candidates, how, place)
    fitted = _scales(candidates, pictures, how, place)
    named, vocabulary = tables.rows_of(candidates, Concept), candidates["concept"].to_pylist()
    drawn_shard = scores.DrawnShard(named, [pictures], shown, topk, probe, vocabulary, fitted)
    scored = scores.of_units(target, layer, how, drawn_shard, store)
    explained = None
    if how.embedder is not None:
        explained = explains.of_layer(scored, True, topk, probe, how.embedder, fitted, store)
    about = {"model": type(target.model).__name__, "layer": layer, "probe": NAME, "recipe": NAME}
    described = descriptions.run(
        about,
        wanted,
        tables.read(topk, schemas.TOPK, ["unit", "idle"]),
        shown,
        texts,
        scored,
        explained,
        how.scores.least_explains,
        verdict.load(how.scores.verdict) if how.scores.verdict else None,
    )
    tables.write(place / "descriptions.parquet", described, schemas.DESCRIPTIONS)
    return Descriptions(described, place, temporary)


def _drawn(candidates: pa.Table, how: Recipe, place: Path) -> Path:
    """Draw the candidates, and return the file of IMAGES; an empty one where nothing is drawn."""
    drawn, size = schemas.IMAGES.empty_table(), 1
    if how.generator and len(candidates):
        draw = drawer(how.generator, place / "store")
        drawn, size = draw(set(candidates["concept"].to_pylist())), how.generator.images
    tables.write(place / "images.parquet", drawn, schemas.IMAGES, row_group_size=size)
    return place / "images.parquet"


def _scales(candidates: pa.Table, pictures: Path, how: Recipe, place: Path) -> list[Path]:
    """Fit the embedder's scale and bias to the pictures, and return the file of SCALES, where they are to be fitted."""
    if not how.fits_scales or how.embedder is None:
        return []
    fitted = scales.of_recipe(how.embedder, candidates["concept"].to_pylist(), [pictures], place / "store")
    tables.write(place / "scales.parquet", fitted, schemas.SCALES)
    return [place / "scales.parquet"]


def _target(
    model: nn.Module | Target | TargetSettings, preprocess: PreprocessSettings | Mapping[str, object] | None, sign: str
) -> Target:
    if isinstance(model, TargetSettings):
        return target_sources.load(model, sign=sign)
    if isinstance(model, Target):
        return replace(model, sign=sign)
    if preprocess is None:
        raise ValueError("preprocess: say how images become inputs, such as {'size': 224, 'resize': 256, 'mean': ...}")
    settings = (
        preprocess if isinstance(preprocess, PreprocessSettings) else PreprocessSettings.model_validate(preprocess)
    )
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    network = getattr(model, COMPILED, model)
    return Target(network.eval(), Preprocess(settings), device, sign=sign)


def _packed(images: str | Path | ProbeSettings | Iterable[object], place: Path) -> Path:
    """Pack images to one PROBE shard, and return it."""
    if not isinstance(images, str | Path | ProbeSettings):
        images = images_in_memory.write(images, place / "images")
    settings = images if isinstance(images, ProbeSettings) else ProbeSettings(source="folder", path=Path(images))
    sources = probe_sources.opened(NAME, {NAME: settings}, [])
    listed, refused = pack.listing(NAME, {NAME: settings}, sources)
    tables.write(place / "listing.parquet", listed, schemas.LISTING)
    with tables.writing(place / "probe.parquet", schemas.PROBE) as write:
        unreadable = pack.pack(pack.part(place / "listing.parquet", 0, 1), pack.readers(sources), write)
    pack.require_images(NAME, [place / "probe.parquet"], pa.concat_tables([refused, unreadable]))
    return place / "probe.parquet"


def _activations(target: Target, layer: str, shards: Sequence[Path], how: Recipe, place: Path) -> Path:
    """Pass the probe through the network, and return the file of TOPK."""
    controls = pack.controls(shards, how.controls)
    parts = activations.run(target, {NAME: layer}, shards[0], controls, pooling=how.pooling, k=how.kept)
    best, statistics, held = (place / f"{name}-part.parquet" for name in ("topk", "statistics", "controls"))
    for path, table, schema in zip((best, statistics, held), parts, schemas.PARTS, strict=True):
        tables.write(path, table, schema)
    with tables.writing(place / "topk.parquet", schemas.TOPK) as write:
        for rows in merging.merge([best], [statistics], [held], slug=NAME, k=how.kept):
            write(rows)
    return place / "topk.parquet"
