"""Draw every distinct concept of a bundle; what another bundle has drawn comes from the store."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from dnd import tables
from dnd.backends.generator import BATCH, Generator
from dnd.settings import GeneratorSettings
from dnd.store import Store, key, revision

log = logging.getLogger(__name__)


def part_of(concept: str, parts: int) -> int:
    """Return the job that draws a concept: a hash of its text, so that it never depends on the other concepts."""
    return int.from_bytes(hashlib.sha256(concept.encode()).digest()[:8], "big") % parts


def image_key(concept: str, sample: int, settings: GeneratorSettings) -> str:
    """Return what identifies a generated image: model revision, every setting, the concept and the sample."""
    drawn = settings.model_dump(mode="json", exclude={"model", "revision", "images"})
    return key("image", revision(settings.model, settings.revision), drawn, concept, sample)


def seed_of(name: str) -> int:
    """Return the seed of the image with a key: its first 15 hex digits, which fit a signed 64-bit integer."""
    return int(name[:15], 16)


def run(
    generator: Generator | None,
    concepts: Collection[str],
    settings: GeneratorSettings,
    store: Store,
    *,
    order: str = "",
) -> pa.Table:
    """Return the IMAGES table of some concepts, drawing only what the store does not hold.

    Jobs of several layers may want one concept at the same time. Each draws in an order of its own, and looks into the
    store again before every batch, so that hardly anything is drawn twice.

    Parameters
    ----------
    generator : may be None when everything is known to be in the store.
    order : names the order; another one for each job. It changes no image.
    """
    wanted = [(concept, sample) for concept in sorted(set(concepts)) for sample in range(settings.images)]
    keys = [image_key(concept, sample, settings) for concept, sample in wanted]
    found = [store.get(one) for one in keys]
    missing = [i for i, item in enumerate(found) if item is None]
    missing.sort(key=lambda i: hashlib.sha256(f"{order} {wanted[i][0]}".encode()).digest())
    log.info("%d images of %d concepts, %d drawn before", len(wanted), len(set(concepts)), len(wanted) - len(missing))
    with tqdm(total=len(missing), desc="images", unit="image", mininterval=5) as bar:
        for part in _batches(missing, keys, found, store, bar):
            assert generator is not None
            prompts = [settings.prompt.format(concept=wanted[i][0]) for i in part]
            for i, image in zip(part, generator.draw(prompts, [seed_of(keys[i]) for i in part]), strict=True):
                buffer = io.BytesIO()
                image.save(buffer, "PNG")
                found[i] = item = buffer.getvalue()
                store.put(keys[i], item)
    rows: list[dict[str, Any]] = [
        {"concept": concept, "sample": sample, "seed": seed_of(name), "key": name, "image": item}
        for (concept, sample), name, item in zip(wanted, keys, found, strict=True)
    ]
    return tables.table(rows, tables.IMAGES)


def _batches(
    missing: Sequence[int], keys: Sequence[str], found: list[bytes | None], store: Store, bar: tqdm[Any]
) -> Iterator[list[int]]:
    """Yield batches of what is still missing when its turn comes; what the store has got meanwhile is filled in."""
    batch: list[int] = []
    for number, i in enumerate(missing, 1):
        found[i] = store.get(keys[i])
        bar.update()
        if found[i] is None:
            batch.append(i)
        if len(batch) == BATCH or (batch and number == len(missing)):
            yield batch
            batch = []
