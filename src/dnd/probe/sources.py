"""Where the images of a probe come from: folders and tables of files; the other kinds lie next door.

Rules import it: what is heavy is imported where it is needed.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from dnd.config.targets import ProbeSettings
from dnd.io.rows import Entry, Refused
from dnd.probe import broden, folders
from dnd.probe.archives import Archives
from dnd.probe.folders import Status
from dnd.probe.source import SUFFIXES, UNREAD, Source, unread, why


class Folder(Source):
    """Image files at any depth; the first folder's name may be the label.

    Where a folder has Broden's annotations, they are the images that its index lists.
    """

    def files(self) -> Mapping[str, Status]:
        known = self.settings.annotations
        if self.settings.source == "folder" and known is not None and known.source == "broden":
            assert known.path is not None
            return self._indexed(known.path)
        return self.listing(SUFFIXES, "images", UNREAD)

    def _indexed(self, folder: Path) -> dict[str, Status]:
        """The images of a data set in Broden's layout, those that are missing as well."""
        try:
            images = sorted(broden.Broden(folder).images)
        except ValueError as error:
            raise self.error("annotations.path", str(error)) from None
        for inside in ("", "images/"):  # the path is the data set's folder `images` or the one above
            statuses = {inside + name: folders.status(self.path / inside / name) for name in images}
            if not all(isinstance(status, OSError) for status in statuses.values()):
                return statuses
        first = "".join(f", such as {name}" for name in images[:1])
        index = folder / "index.csv"
        raise self.error("path", f"{self.path} holds none of the {len(images)} images that {index} lists{first}")

    def entries(self) -> Iterator[Entry | Refused]:
        for name, status in self.files().items():
            if isinstance(status, OSError):
                yield Refused(name, why(status))
            elif reason := unread(name):
                yield Refused(name, reason)
            else:
                first, *deeper = PurePosixPath(name).parts
                label = first if self.settings.label and deeper else None
                yield Entry(name, label, self.name, name, size=status.st_size)

    def read(self, entry: Entry) -> bytes:
        assert entry.file is not None
        return (self.folder / entry.file).read_bytes()


class Renders(Folder):
    """Renders of the embedded world, numbered; the label is the object's colour and shape, such as ``red circle``."""

    def entries(self) -> Iterator[Entry | Refused]:
        import numpy as np

        from dnd.shapeworld.world import sample_scene

        for entry in super().entries():
            number = PurePosixPath(entry.image_id).stem
            if isinstance(entry, Entry) and number.isdecimal():
                scene = sample_scene(np.random.default_rng([self.settings.seed, int(number)]))
                entry = entry._replace(label=f"{scene.colour} {scene.shape}")
            yield entry


class Manifest(Folder):
    """A table of image files, with labels or without."""

    @cached_property
    def _rows(self) -> list[tuple[int, str, str | None]]:
        """Line, path (empty where there is none) and label of each row."""
        image, label = self.settings.image or "path", self.settings.label
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                table = csv.DictReader(file, delimiter="\t" if self.path.suffix.lower() == ".tsv" else ",")
                for key, column in (("image", image), ("label", label)):
                    if column and column not in (table.fieldnames or []):
                        raise self.error(key, f"{self.path} has no column {column!r}, but {table.fieldnames or []}")
                return [
                    (table.line_num, (row[image] or "").strip(), (row[label] or "").strip() or None if label else None)
                    for row in table
                ]
        except (OSError, csv.Error, UnicodeDecodeError) as error:
            raise self.error("path", f"{self.path} is no table of text: {why(error)}") from None

    def files(self) -> Mapping[str, Status]:
        if not self._rows:
            raise self.error("path", f"{self.path} has no rows")
        statuses = {path: folders.status(self.folder / path) for _, path, _ in self._rows if path}
        if all(isinstance(status, OSError) for status in statuses.values()):
            first = [
                f", {path} for one: {why(error)}" for path, error in statuses.items() if isinstance(error, OSError)
            ]
            raise self.error(
                "path", f"{self.path} names {len(statuses)} files, of which none is there{''.join(first[:1])}"
            )
        return {"": folders.status(self.path), **statuses}

    def entries(self) -> Iterator[Entry | Refused]:
        files = self.files()
        for line, path, label in self._rows:
            name = PurePosixPath(path).as_posix()
            if not path:
                yield Refused(f"line {line}", "the row names no file")
            elif isinstance(status := files[path], OSError):
                yield Refused(name, why(status))
            else:
                yield Entry(name, label, self.name, path, size=status.st_size)


def source_of(name: str, settings: ProbeSettings) -> Source:
    """Return what finds the images of a probe that is no union and whose images are not rendered."""
    if settings.source in ("huggingface", "parquet"):
        from dnd.probe import table_sources

        kind = table_sources.Dataset if settings.source == "huggingface" else table_sources.Parquet
        return kind(name, settings)
    kinds: dict[str, type[Source]] = {"folder": Folder, "manifest": Manifest, "webdataset": Archives}
    return kinds[settings.source](name, settings)


def members(name: str, probes: Mapping[str, ProbeSettings]) -> dict[str, ProbeSettings]:
    """Return the probes that a probe takes its images from: the members of a union, itself otherwise."""
    return {member: probes[member] for member in probes[name].members or [name]}


def rendered(name: str, probes: Mapping[str, ProbeSettings]) -> list[str]:
    """Return those of a probe's members whose images are rendered first."""
    return [member for member, settings in members(name, probes).items() if settings.source == "shapeworld"]


def streams(name: str, probes: Mapping[str, ProbeSettings]) -> dict[str, int]:
    """Return the beginning of image ids -> the stream of renders that the images are of, of a probe or its members."""
    return {f"{member}/" if probes[name].members else "": probes[member].seed for member in rendered(name, probes)}


def rendered_streams(name: str, probes: Mapping[str, ProbeSettings]) -> dict[str, int]:
    """Return :func:`streams` of a probe all of whose images are renders; none of another."""
    return streams(name, probes) if len(rendered(name, probes)) == len(members(name, probes)) else {}


def opened(name: str, probes: Mapping[str, ProbeSettings], renders: Sequence[str | Path]) -> list[Source]:
    """Return the sources of a probe's images.

    Parameters
    ----------
    renders : folders of the members whose images are rendered first, in their order.
    """
    places = dict(zip(rendered(name, probes), renders, strict=True))
    return [
        Renders(member, settings.model_copy(update={"path": Path(places[member])}))
        if member in places
        else source_of(member, settings)
        for member, settings in members(name, probes).items()
    ]


Files = Mapping[str, Mapping[str, Status]]
"""Member of a probe -> the user's files that its images come from."""


def files(name: str, probes: Mapping[str, ProbeSettings]) -> Files:
    """Return the user's files that a probe's images come from; none is read.

    Raises
    ------
    ValueError
        There are no such files.
    """
    return {
        member: source_of(member, settings).files()
        for member, settings in members(name, probes).items()
        if settings.source != "shapeworld"  # its renders follow from its settings
    }


def content(name: str, probes: Mapping[str, ProbeSettings]) -> str:
    """Return a digest that changes with the user's files that a probe's images come from, as :func:`files` does."""
    return digest(files(name, probes))


def digest(files: Files) -> str:
    """Return a digest that changes with such files."""
    statuses = {f"{member}/{file}": status for member in files for file, status in files[member].items()}
    return folders.fingerprint(statuses)


def most_images(name: str, probes: Mapping[str, ProbeSettings], files: Files) -> int | None:
    """Return how many images a probe has at most; None where that does not show before its files are read."""
    settings = probes[name]
    most: int | None = None
    if settings.members:
        counts = [most_images(member, probes, files) for member in settings.members]
        most = None if None in counts else sum(count or 0 for count in counts)
    elif settings.source == "shapeworld":
        most = settings.images
    elif settings.source in ("folder", "manifest"):
        most = len(files[name].keys() - {""})  # a table of files is no image
    limits = [limit for limit in (settings.limit, settings.sample, most) if limit is not None]
    return min(limits, default=None)
