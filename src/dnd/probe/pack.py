"""The probe: its images are listed, then packed into Parquet shards, bytes unchanged. What cannot be read is told."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
from tqdm import tqdm

from dnd.config.targets import ProbeSettings
from dnd.io import pictures, schemas, tables
from dnd.io.rows import Entry, ProbeImage, Refused
from dnd.probe.source import Source, why

log = logging.getLogger(__name__)

GROUP_IMAGES, GROUP_BYTES = 64, 1 << 26
"""A row group of a shard ends with the image that makes it so long or so large: one of them is in memory at once."""

COPY = "duplicate of "
"""Reason to leave an image out, before the id of the one that stays."""

Readers = Mapping[str, Callable[[Entry], bytes]]
"""Name of a probe -> what reads its images."""


def readers(sources: Iterable[Source]) -> Readers:
    """Return what reads the images of each source."""
    return {source.name: source.read for source in sources}


def listing(name: str, probes: Mapping[str, ProbeSettings], sources: Sequence[Source]) -> tuple[pa.Table, pa.Table]:
    """Return which images a probe consists of, each once, and where their bytes are.

    ``limit`` and ``sample`` choose among the names of a member, then among those of a union; then images with the bytes
    of an earlier one are left out. Which images can be read shows when they are packed.

    Parameters
    ----------
    sources : of the probe, or of each member of a union.

    Returns
    -------
    Tables LISTING, in order of image id, and REJECTED.

    Raises
    ------
    ValueError
        There are no images, or no labels where there should be.
    """
    entries: list[Entry] = []
    refused: list[Refused] = []
    for source in sources:
        named, bad = _named(source)
        prefix = f"{source.name}/" if probes[name].members else ""
        entries += [entry._replace(image_id=prefix + entry.image_id) for entry in selected(named, probes[source.name])]
        refused += [image._replace(image_id=prefix + image.image_id) for image in bad]
    if probes[name].members:
        entries = selected(entries, probes[name])
    entries, bad = distinct(entries, readers(sources))
    refused += bad
    if not entries:
        first = "".join(f"; {image.image_id}: {image.reason}" for image in refused[:1])
        raise ValueError(f"probes.{name}: none of {len(refused)} images can be read{first}")
    log.info("%d images listed, %d left out", len(entries), len(refused))
    return tables.table(entries, schemas.LISTING), tables.table(refused, schemas.REJECTED)


def selected(entries: list[Entry], settings: ProbeSettings) -> list[Entry]:
    """Return the first ``limit`` images, of these a sample, and of that a part, in order of image id.

    The sample has the smallest hashes of seed and id: other images that come or go hardly change it. A part has the
    ids with one remainder of their hashes, so that the parts of a probe share no image.
    """
    entries = _sampled(sorted(entries, key=lambda entry: entry.image_id)[: settings.limit], settings)
    if settings.part is None:
        return entries
    number, parts = map(int, settings.part.split("/"))
    return [entry for entry in entries if int.from_bytes(_hash(f"part/{entry.image_id}")) % parts == number - 1]


def _sampled(entries: list[Entry], settings: ProbeSettings) -> list[Entry]:
    if settings.sample is None:
        return entries
    chosen = sorted(entries, key=lambda entry: _hash(f"{settings.seed}/{entry.image_id}"))[: settings.sample]
    return sorted(chosen, key=lambda entry: entry.image_id)


def distinct(entries: Sequence[Entry], read: Readers) -> tuple[list[Entry], list[Refused]]:
    """Part images from those that have the bytes of an earlier one, and those that cannot be read.

    An image is read only where its size is that of another one, or not known.
    """
    told = _contents([entry for entry in entries if entry.size is None], read)
    sizes = Counter(entry.size for entry in entries if entry.size is not None)
    sizes.update(content[0] for content in told.values() if isinstance(content, tuple))
    told |= _contents([entry for entry in entries if entry.size is not None and sizes[entry.size] > 1], read)
    kept, refused = [], []
    first: dict[tuple[int, bytes], str] = {}
    for entry in entries:
        content = told.get(entry.image_id)
        if isinstance(content, OSError):
            refused.append(Refused(entry.image_id, why(content)))
        elif content and (same := first.setdefault(content, entry.image_id)) != entry.image_id:
            refused.append(Refused(entry.image_id, COPY + same))
        else:
            kept.append(entry)
    return kept, refused


def _contents(entries: Sequence[Entry], read: Readers) -> dict[str, tuple[int, bytes] | OSError]:
    """Size and hash of images, or why they cannot be read."""
    contents: dict[str, tuple[int, bytes] | OSError] = {}
    for entry in tqdm(entries, "look for duplicates", unit="image", mininterval=5, disable=not entries):
        try:
            data = read[entry.probe](entry)
            contents[entry.image_id] = len(data), hashlib.sha256(data).digest()
        except OSError as error:
            contents[entry.image_id] = error
    return contents


def _named(source: Source) -> tuple[list[Entry], list[Refused]]:
    """Part the images of a source by what their names and sizes tell."""
    entries: dict[str, Entry] = {}
    refused = []
    for entry in tqdm(source.entries(), f"list {source.name}", unit="image", mininterval=5):
        name = entry.image_id.encode("utf-8", "backslashreplace").decode()
        if isinstance(entry, Refused):
            refused.append(Refused(name, entry.reason))
        elif name != entry.image_id:
            refused.append(Refused(name, "its name is not UTF-8"))
        elif entry.size == 0:
            refused.append(Refused(name, "the file is empty"))
        elif name in entries:
            refused.append(Refused(name, "a second image of this name"))
        else:
            entries[name] = entry
    label = source.settings.label
    if label and entries and all(entry.label is None for entry in entries.values()):
        raise source.error("label", f"{label!r} gives none of {len(entries)} images a label")
    return list(entries.values()), refused


def part(path: str | Path, shard: int, shards: int) -> list[Entry]:
    """Return one of several nearly equal parts of a LISTING."""
    listing = tables.read(path, schemas.LISTING)
    first, end = (i * len(listing) // shards for i in (shard, shard + 1))
    return tables.rows_of(listing.slice(first, end - first), Entry)


def pack(entries: Sequence[Entry], read: Readers, write: Callable[[pa.Table], None]) -> pa.Table:
    """Write images as PROBE rows, a row group at a time, in their order.

    Returns
    -------
    Table REJECTED: the images that cannot be read, with the reason.
    """
    refused: list[Refused] = []
    group: list[ProbeImage] = []
    for image in _images(entries, read, refused):
        group.append(image)
        if len(group) == GROUP_IMAGES or sum(len(image.image) for image in group) >= GROUP_BYTES:
            write(tables.table(group, schemas.PROBE))
            group = []
    if group:
        write(tables.table(group, schemas.PROBE))
    log.info("%d images packed, %d rejected", len(entries) - len(refused), len(refused))
    return tables.table(refused, schemas.REJECTED)


def _images(entries: Sequence[Entry], read: Readers, refused: list[Refused]) -> Iterator[ProbeImage]:
    for entry in tqdm(entries, "pack", unit="image", mininterval=5):
        try:
            data = read[entry.probe](entry)
            width, height = pictures.decode(data).size
        except OSError as error:
            log.warning("rejected %s: %s", entry.image_id, why(error))
            refused.append(Refused(entry.image_id, why(error)))
            continue
        yield ProbeImage(entry.image_id, hashlib.sha256(data).hexdigest(), width, height, entry.label, data)


def rejected(parts: Sequence[str | Path]) -> pa.Table:
    """Join tables of rejected images, in order of image id."""
    return tables.read(parts, schemas.REJECTED).sort_by([("image_id", "ascending"), ("reason", "ascending")])


def origin(job: Mapping[str, object], sources: Iterable[Source]) -> dict[str, object]:
    """Return the origin of a shard: that of its job, and which revisions of datasets its images are of."""
    models = job["models"]
    assert isinstance(models, dict)
    return {**job, "models": models | {key: value for source in sources for key, value in source.revisions().items()}}


def require_images(name: str, shards: Sequence[str | Path], refused: pa.Table) -> None:
    """Log how many images a probe has, and every rejected one.

    Raises
    ------
    ValueError
        No image of the probe can be read.
    """
    images = tables.rows_of(refused, Refused)
    for image in images:
        log.warning("rejected %s: %s", image.image_id, image.reason)
    good, bad = tables.count(shards), len(images)
    if not good:
        raise ValueError(f"probes.{name}: none of {bad} images can be read; {images[0].image_id}: {images[0].reason}")
    if empty := sum(not tables.count(shard) for shard in shards):
        log.warning("%d of %d shards hold no image: probes.%s.shards is too large", empty, len(shards), name)
    copies = sum(image.reason.startswith(COPY) for image in images)
    level = logging.WARNING if bad else logging.INFO
    log.log(level, "%d of %d images used, %d duplicates, %d unreadable", good, good + bad, copies, bad - copies)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def shuffled(shards: Sequence[str | Path]) -> pa.Table:
    """Return SHUFFLED: the ids of all images of the probe, in a fixed random order.

    It spares each job that wants the control images only to look into every shard.
    """
    ids = tables.read(list(shards), schemas.PROBE, ["image_id"])["image_id"].to_pylist()
    return pa.Table.from_arrays([pa.array(sorted(ids, key=_hash), pa.string())], schema=schemas.SHUFFLED)


def controls(shards: Sequence[str | Path], count: int) -> list[str]:
    """Return the ids of a fixed random sample of the probe: the images whose ids have the smallest hashes, sorted."""
    return _first(shuffled(shards), count)


def read_controls(path: str | Path, count: int) -> list[str]:
    """Return the same from a table of the probe's shuffled ids."""
    return _first(tables.read(path, schemas.SHUFFLED), count)


def _first(ids: pa.Table, count: int) -> list[str]:
    return sorted(ids["image_id"][:count].to_pylist())
