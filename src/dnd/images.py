"""Draw every distinct concept of the run once."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Collection
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from dnd import tables
from dnd.backends.generator import BATCH, Generator
from dnd.config import GeneratorSettings
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


def run(generator: Generator | None, concepts: Collection[str], settings: GeneratorSettings, store: Store) -> pa.Table:
    """Return the IMAGES table of some concepts, drawing only what the store does not hold.

    ``generator`` may be None when everything is known to be in the store.
    """
    wanted = [(concept, sample) for concept in sorted(set(concepts)) for sample in range(settings.images)]
    keys = [image_key(concept, sample, settings) for concept, sample in wanted]
    found = [store.get(one) for one in keys]
    missing = [i for i, item in enumerate(found) if item is None]
    log.info("%d images of %d concepts, %d drawn before", len(wanted), len(set(concepts)), len(wanted) - len(missing))
    with tqdm(total=len(missing), desc="images", unit="image", mininterval=5) as bar:
        for start in range(0, len(missing), BATCH):
            part = missing[start : start + BATCH]
            assert generator is not None
            prompts = [settings.prompt.format(concept=wanted[i][0]) for i in part]
            for i, image in zip(part, generator.draw(prompts, [seed_of(keys[i]) for i in part]), strict=True):
                buffer = io.BytesIO()
                image.save(buffer, "PNG")
                found[i] = item = buffer.getvalue()
                store.put(keys[i], item)
            bar.update(len(part))
    rows: list[dict[str, Any]] = [
        {"concept": concept, "sample": sample, "seed": seed_of(name), "key": name, "image": item}
        for (concept, sample), name, item in zip(wanted, keys, found, strict=True)
    ]
    return tables.table(rows, tables.IMAGES)
