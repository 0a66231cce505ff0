"""One caption for every distinct exemplar of a unit shard."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import torch
from tqdm import tqdm

from dnd.backends import captioner
from dnd.backends.captioner import Captioner
from dnd.backends.loading import precision
from dnd.config.backends import CaptionSettings
from dnd.config.recipes import Recipe
from dnd.config.scenes import Stream
from dnd.io import pictures, schemas, tables
from dnd.io.rows import Caption
from dnd.io.store import Store, key, revision
from dnd.io.text import valid

log = logging.getLogger(__name__)


def caption_key(settings: CaptionSettings, digest: str, box: pictures.Box | None, square: int | None = None) -> str:
    """Return what identifies a caption: model revision, every setting that can change it, image, box and square.

    Where a server is, its key, and how much it is asked at once are left out, and `auto` is the precision that it comes
    to on this machine; that of a server nobody knows.
    """
    elsewhere = {"base_url", "api_key_env", "concurrency"}
    written = settings.model_dump(mode="json", exclude={"model", "revision", "dtype", *elsewhere})
    dtype = None if settings.base_url else precision(settings.dtype)
    shape = [] if square is None else [square]
    return key("caption", revision(settings.model, settings.revision), written, dtype, digest, box, *shape)


def of_exemplars(
    exemplars: pa.Table,
    shards: Sequence[Path],
    recipe: Recipe,
    store: str | Path,
    streams: Mapping[str, Stream] | None = None,
) -> pa.Table:
    """Return the CAPTIONS table of the distinct (image, box) pairs of EXEMPLARS, by the captioner of a recipe.

    Parameters
    ----------
    shards : of the probe.
    store : folder of the item stores.
    streams : beginning of the names of renders -> their stream, where the truth stands in for a captioner.
    """
    if recipe.captions.oracle:
        oracles = import_module("dnd.shapeworld.oracles")  # by name: a change of it runs no other recipe again
        table: pa.Table = oracles.captions(exemplars, streams, recipe.captions.errors)
        return table
    kept = Store(Path(store, "captions"))
    return run(captioner.load(recipe.captions), exemplars, shards, recipe.captions, kept, recipe.square)


def run(
    captioner: Captioner,
    exemplars: pa.Table,
    shards: Sequence[Path],
    settings: CaptionSettings,
    store: Store,
    square: int | None = None,
) -> pa.Table:
    """Return the CAPTIONS table of the distinct (image, box) pairs of an EXEMPLARS table.

    Finished captions are kept in the store, so that no picture is captioned twice: not by another unit, layer or model,
    nor after a restart. An empty one is not: the next run asks again.

    Parameters
    ----------
    square : side of the square that exemplars are stretched to; None leaves them as they are.
    """
    views = pictures.in_order(pictures.places_of(exemplars))
    images = pa.array({name for name, _ in views}, pa.string())  # typed, since there may be none
    known = tables.read(shards, schemas.PROBE, ["image_id", "digest"], pc.field("image_id").isin(images))
    digests = dict(zip(known["image_id"].to_pylist(), known["digest"].to_pylist(), strict=True))
    keys = [caption_key(settings, digests[name], box, square) for name, box in views]
    written = [store.load(name, _stored) for name in keys]
    missing = [i for i, text in enumerate(written) if text is None]
    log.info("%d distinct views, %d captioned before", len(keys), len(keys) - len(missing))
    opened = pictures.views([views[i] for i in missing], shards, square, torch.get_num_threads())
    texts = captioner.captions(image for _, image in opened)
    writing = []
    with ThreadPoolExecutor(1, "captions") as writer:  # while the model looks at the next
        for i, text in zip(tqdm(missing, "captions", unit="caption", mininterval=5), texts, strict=True):
            written[i] = text
            if text:
                writing.append(writer.submit(store.put, keys[i], json.dumps(text).encode()))
    for future in writing:
        future.result()
    rows = [Caption(name, box, text or "") for (name, box), text in zip(views, written, strict=True)]
    return tables.table(rows, schemas.CAPTIONS)


def _stored(item: bytes) -> str:
    text = json.loads(item)
    if not isinstance(text, str) or not text:
        raise ValueError("no caption")
    return valid(text)
