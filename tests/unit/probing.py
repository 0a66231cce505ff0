"""A probe from its settings to its images, as the workflow's scripts take it, and files of which probes consist."""

import io
import tarfile

import numpy as np
from handmade import png, write_probe

from dnd.config.targets import ProbeSettings
from dnd.io import schemas, tables
from dnd.probe import annotations, masks, pack
from dnd.probe import sources as probe_sources


def opened(name="photos", renders=(), **probes):
    """A probe's settings, those of the probes beside it, and their sources."""
    settings = {one: ProbeSettings(**values) for one, values in probes.items()}
    return settings, probe_sources.opened(name, settings, list(renders))


def listed(name="photos", renders=(), **probes):
    """Rows of the listing, and image id -> why it is left out."""
    settings, sources = opened(name, renders, **probes)
    listing, rejected = pack.listing(name, settings, sources)
    assert listing.schema.equals(schemas.LISTING)
    assert rejected.schema.equals(schemas.REJECTED)
    return listing.to_pylist(), reasons(rejected)


def packed(folder, name="photos", renders=(), shards=1, **probes):
    """Rows of all shards, and image id -> why it is left out."""
    settings, sources = opened(name, renders, **probes)
    listing, rejected = pack.listing(name, settings, sources)
    tables.write(folder / "listing.parquet", listing, schemas.LISTING)
    tables.write(folder / "unlisted.parquet", rejected, schemas.REJECTED)
    images, refused = [], [folder / "unlisted.parquet"]
    for shard in range(shards):
        _, sources = opened(name, renders, **probes)  # a job for each
        entries = pack.part(folder / "listing.parquet", shard, shards)
        images.append(folder / f"{shards}-{shard}.parquet")
        refused.append(folder / f"rejected-{shard}.parquet")
        with tables.writing(images[-1], schemas.PROBE) as write:
            tables.write(refused[-1], pack.pack(entries, pack.readers(sources), write), schemas.REJECTED)
    return tables.read(images, schemas.PROBE).to_pylist(), reasons(pack.rejected(refused))


def annotated(tmp_path, probes, images, labels=None, name="p"):
    """Image id -> (category, concept) -> mask."""
    shard = write_probe(tmp_path / "shard.parquet", images)
    if labels:
        rows = [{**row, "label": labels.get(row["image_id"])} for row in tables.read(shard, schemas.PROBE).to_pylist()]
        tables.write(shard, tables.table(rows, schemas.PROBE), schemas.PROBE)
    path = tmp_path / "annotations.parquet"
    with tables.writing(path, schemas.ANNOTATIONS) as write:
        for part in annotations.run(name, probes, shard):
            write(part)
    found = masks.by_image([path], sorted(images))
    return {
        image: {(one.category, one.concept): one.mask for one in own}
        for image, own in zip(sorted(images), found, strict=True)
    }


def reasons(rejected):
    found = {row["image_id"]: row["reason"] for row in rejected.to_pylist()}
    assert len(found) == len(rejected)
    return found


def ids(rows):
    return [row["image_id"] for row in rows]


def picture(i):
    return png(np.full((4, 4, 3), i))


def write_tar(path, files, **settings):
    """Files are name -> bytes, or what TarInfo attributes a member has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **settings) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, dict):
                for key, value in content.items():
                    setattr(member, key, value)
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


def write_table(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
