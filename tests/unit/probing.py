"""A probe from its settings to its images, as the workflow's scripts take it."""

from dnd import probe, probe_sources, tables
from dnd.subjects import ProbeSettings


def opened(name="photos", renders=(), **probes):
    """A probe's settings, those of the probes beside it, and their sources."""
    settings = {one: ProbeSettings(**values) for one, values in probes.items()}
    return settings, probe_sources.opened(name, settings, list(renders))


def listed(name="photos", renders=(), **probes):
    """Rows of the listing, and image id -> why it is left out."""
    settings, sources = opened(name, renders, **probes)
    listing, rejected = probe.listing(name, settings, sources)
    assert listing.schema.equals(tables.LISTING)
    assert rejected.schema.equals(tables.REJECTED)
    return listing.to_pylist(), reasons(rejected)


def packed(folder, name="photos", renders=(), shards=1, **probes):
    """Rows of all shards, and image id -> why it is left out."""
    settings, sources = opened(name, renders, **probes)
    listing, rejected = probe.listing(name, settings, sources)
    tables.write(folder / "listing.parquet", listing, tables.LISTING)
    tables.write(folder / "unlisted.parquet", rejected, tables.REJECTED)
    images, refused = [], [folder / "unlisted.parquet"]
    for shard in range(shards):
        _, sources = opened(name, renders, **probes)  # a job for each
        entries = probe.part(folder / "listing.parquet", shard, shards)
        images.append(folder / f"{shards}-{shard}.parquet")
        refused.append(folder / f"rejected-{shard}.parquet")
        with tables.writing(images[-1], tables.PROBE) as write:
            tables.write(refused[-1], probe.pack(entries, probe.readers(sources), write), tables.REJECTED)
    return tables.read(images, tables.PROBE).to_pylist(), reasons(probe.rejected(refused))


def reasons(rejected):
    found = {row["image_id"]: row["reason"] for row in rejected.to_pylist()}
    assert len(found) == len(rejected)
    return found


def ids(rows):
    return [row["image_id"] for row in rows]
