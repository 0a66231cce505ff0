"""Draw every distinct concept of a bundle; what another bundle has drawn comes from the store."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import torch
from PIL import Image
from tqdm import tqdm

from dnd.backends.generator import BATCH, Drawn, Generator, ImagesError, load
from dnd.backends.loading import precision
from dnd.config.backends import GeneratorSettings
from dnd.io import schemas, tables
from dnd.io.rows import Picture
from dnd.io.store import Store, key, revision

log = logging.getLogger(__name__)
PATIENCE = 5 * BATCH
"""Images without a usable one among them after which no more are drawn."""


def part_of(concept: str, parts: int) -> int:
    """Return the job that draws a concept: a hash of its text, so that it never depends on the other concepts."""
    return int.from_bytes(hashlib.sha256(concept.encode()).digest()[:8], "big") % parts


def image_key(concept: str, sample: int, settings: GeneratorSettings) -> str:
    """Return what identifies a generated image: model revision, every setting that can change it, concept and sample.

    How many images there are and where the model's parts wait is left out; `auto` is the precision that it comes to on
    this machine.
    """
    drawn = settings.model_dump(mode="json", exclude={"model", "revision", "images", "offload"})
    drawn["dtype"] = precision(settings.dtype)
    return key("image", revision(settings.model, settings.revision), drawn, concept, sample)


def seed_of(name: str) -> int:
    """Return the seed of the image with a key: its first 15 hex digits, which fit a signed 64-bit integer."""
    return int(name[:15], 16)


def section_of(recipe: str) -> str:
    """Return where a recipe has its generator in the configuration; one that stands alone has no name."""
    return f"recipes.{recipe}.generator" if recipe else "generator"


def drawer(
    settings: GeneratorSettings, store: str | Path, order: str = "", recipe: str = ""
) -> Callable[[Collection[str]], pa.Table]:
    """Return what draws concepts with one generator, which is loaded at once: concepts -> their IMAGES table.

    Parameters
    ----------
    store : folder of the item stores.
    order : as :func:`run` takes it.
    recipe : whose generator it is, for messages.
    """
    kept, section = Store(Path(store, "images")), section_of(recipe)
    return partial(run, load(settings, section), settings=settings, store=kept, order=order, section=section)


def run(
    generator: Generator | None,
    concepts: Collection[str],
    settings: GeneratorSettings,
    store: Store,
    *,
    order: str = "",
    section: str = "generator",
) -> pa.Table:
    """Return the IMAGES table of some concepts, ``settings.images`` of each, drawing only what the store does not hold.

    Jobs of several layers may want one concept at the same time. Each draws in an order of its own, and looks into the
    store again before every batch, so that hardly anything is drawn twice.

    An image with a problem is in the table and not in the store: drawn again by the same programs it would be the same,
    but other versions or another GPU may do better, and an item that is kept would hide that.

    Parameters
    ----------
    generator : may be None when everything is known to be in the store.
    order : names the order; another one for each job. It changes no image.
    section : where the settings are, for messages.

    Raises
    ------
    ImagesError
        All images are black, or the first ``PATIENCE`` of them are black or flagged.
    """
    wanted = [(concept, sample) for concept in sorted(set(concepts)) for sample in range(settings.images)]
    keys = [image_key(concept, sample, settings) for concept, sample in wanted]
    items = [store.load(name, _stored) for name in keys]
    missing = [i for i, item in enumerate(items) if item is None]
    missing.sort(key=lambda i: hashlib.sha256(f"{order} {wanted[i][0]}".encode()).digest())
    log.info("%d images of %d concepts, %d drawn before", len(wanted), len(set(concepts)), len(wanted) - len(missing))
    problems: dict[int, str] = {}
    files: dict[int, Future[bytes]] = {}

    def written(drawn: Drawn, name: str) -> bytes:
        buffer = io.BytesIO()
        drawn.image.save(buffer, "PNG")
        if drawn.problem is None:
            store.put(name, buffer.getvalue())
        return buffer.getvalue()

    with (
        tqdm(total=len(missing), desc="images", unit="image", mininterval=5) as bar,
        ThreadPoolExecutor(torch.get_num_threads(), "images") as pool,  # while the model draws the next batch
    ):
        for part in _batches(missing, keys, items, store, bar):
            assert generator is not None
            prompts = [settings.prompt.format(concept=wanted[i][0]) for i in part]
            for i, drawn in zip(part, generator.draw(prompts, [seed_of(keys[i]) for i in part]), strict=True):
                files[i] = pool.submit(written, drawn, keys[i])
                if drawn.problem is not None:
                    problems[i] = drawn.problem
            known = len(files) + sum(item is not None for item in items)
            _give_up_where_nothing_is_usable(known, len(wanted), problems, settings, section)
    for i, file in files.items():
        items[i] = file.result()
    if problems:
        log.warning("%d of %d images are black or flagged, and left out of the scores", len(problems), len(wanted))
    pictures = [
        Picture(concept, sample, seed_of(name), name, item or b"", problems.get(i))
        for i, ((concept, sample), name, item) in enumerate(zip(wanted, keys, items, strict=True))
    ]
    return tables.table(pictures, schemas.IMAGES)


def _stored(item: bytes) -> bytes:
    """An item that is a whole picture; its pixels are not decoded."""
    try:
        with Image.open(io.BytesIO(item), formats=["PNG"]) as image:
            image.verify()
    except Exception as error:  # broken bytes lead Pillow to all kinds
        raise ValueError(f"no picture: {error}") from error
    return item


def _give_up_where_nothing_is_usable(
    known: int, wanted: int, problems: Mapping[int, str], settings: GeneratorSettings, section: str
) -> None:
    """Stop a job all of whose images are black, or so many that have problems that none without can be expected.

    A few that are all flagged may be the fault of their concepts, which are then left out of the scores; and all that
    a renderer does not know is theirs.
    """
    if settings.oracle:
        return
    black = all(problem == "black" for problem in problems.values())
    if not problems or len(problems) < known or known < (min(PATIENCE, wanted) if black else PATIENCE):
        return
    what = f"{section}: all {known} images that {settings.model} drew are"
    if not black:
        raise ImagesError(f"{what} flagged or black: its own safety check refuses them; choose another model")
    if precision(settings.dtype) == "float32":
        raise ImagesError(f"{what} black, in float32, too: other weights or another scheduler may do better")
    raise ImagesError(f"{what} black: half precision overflows in it; set {section}.dtype: float32 (or bfloat16)")


def _batches(
    missing: Sequence[int], keys: Sequence[str], items: list[bytes | None], store: Store, bar: tqdm[NoReturn]
) -> Iterator[list[int]]:
    """Yield batches of what is still missing when its turn comes; what the store has got meanwhile is filled in."""
    batch: list[int] = []
    for number, i in enumerate(missing, 1):
        items[i] = store.load(keys[i], _stored)
        bar.update()
        if items[i] is None:
            batch.append(i)
        if len(batch) == BATCH or (batch and number == len(missing)):
            yield batch
            batch = []
