"""Where the images of a probe come from: folders, tar files, tables of files; Parquet files and datasets are next door.

Rules import it: what is heavy is imported where it is needed.
"""

from __future__ import annotations

import csv
import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from dnd.config.targets import ProbeSettings
from dnd.probe import broden, folders
from dnd.probe.folders import Status
from dnd.probe.source import CONVERT, Entry, Refused, Source, why
from dnd.probe.table_sources import Dataset, Parquet

SUFFIXES = (
    *(".avif", ".avifs", ".bmp", ".gif", ".heic", ".heics", ".heif", ".heifs", ".hif"),
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".pjpeg", ".pjp", ".mpo"),
    *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".png", ".apng", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    *(".tif", ".tiff", ".webp"),
)
"""Of image files, in lower case."""
UNREAD = (
    *(".jxl", ".jxr", ".svg", ".svgz", ".xcf", ".exr", ".hdr"),
    *(".3fr", ".arw", ".cr2", ".cr3", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw"),
    *(".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f", ".jph", ".jps", ".psb"),
    *(".bw", ".blp", ".cur", ".dcx", ".dds", ".dib", ".emf", ".eps", ".fit", ".fits", ".flc", ".fli", ".ftc", ".ftu"),
    *(".gbr", ".icb", ".icns", ".ico", ".iim", ".im", ".msp", ".palm", ".pcd", ".pcx", ".ps", ".psd", ".pxr"),
    *(".qoi", ".ras", ".rgb", ".rgba", ".sgi", ".tga", ".vda", ".vst", ".wmf", ".xbm", ".xpm"),
)
"""Of images of other formats, which are told rather than passed over."""
SHOWN = 10
"""Suffixes that a message names."""


def _unread(name: str) -> str | None:
    """Return why an image file is of no format that is read, None where it is, or is no image file."""
    suffix = folders.suffix(name)
    return f"{suffix} files are not read: {CONVERT}" if suffix in UNREAD else None


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
            found = {inside + name: folders.status(self.path / inside / name) for name in images}
            if not all(isinstance(status, OSError) for status in found.values()):
                return found
        first = "".join(f", such as {name}" for name in images[:1])
        index = folder / "index.csv"
        raise self.error("path", f"{self.path} holds none of the {len(images)} images that {index} lists{first}")

    def entries(self) -> Iterator[Entry | Refused]:
        for name, status in self.files().items():
            if isinstance(status, OSError):
                yield Refused(name, why(status))
            elif reason := _unread(name):
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

        for one in super().entries():
            number = PurePosixPath(one.image_id).stem
            if isinstance(one, Entry) and number.isdecimal():
                scene = sample_scene(np.random.default_rng([self.settings.seed, int(number)]))
                one = one._replace(label=f"{scene.colour} {scene.shape}")
            yield one


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
        found = {path: folders.status(self.folder / path) for _, path, _ in self._rows if path}
        if all(isinstance(status, OSError) for status in found.values()):
            first = [f", {path} for one: {why(error)}" for path, error in found.items() if isinstance(error, OSError)]
            raise self.error(
                "path", f"{self.path} names {len(found)} files, of which none is there{''.join(first[:1])}"
            )
        return {"": folders.status(self.path), **found}

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


class _Member(NamedTuple):
    """A file of an archive: its key joins it with others, as in WebDataset."""

    name: str
    key: str
    suffix: str
    offset: int
    size: int


class Archives(Source):
    """Images in tar files, as WebDataset has them: files of one name but for the suffix belong together."""

    _open: tuple[str, BinaryIO] | None = None

    def files(self) -> Mapping[str, Status]:
        return self.listing([".tar"], "archives")

    def entries(self) -> Iterator[Entry | Refused]:
        others, named = set[str](), False
        for file, status in self.files().items():
            if isinstance(status, OSError):
                yield Refused(file, why(status))
                continue
            for one in self._entries(file, status.st_size, others):
                named |= isinstance(one, Entry)
                yield one
        if others and not named:
            told = ", ".join(sorted(others)[:SHOWN])
            raise self.error("image", f"{self.settings.image!r} is the suffix of no file in {self.path}, but {told}")

    def _entries(self, file: str, length: int, others: set[str]) -> Iterator[Entry | Refused]:
        """Yield the images of an archive of a length in bytes, and add the suffixes of what is none of theirs."""
        images: list[_Member] = []
        labels: dict[str, dict[int, str]] = {}  # key -> number of what the settings name -> label
        try:
            for member in self._members(file, length):
                if isinstance(member, Refused):
                    yield member
                elif folders.is_hidden(member.name):
                    continue
                elif self._is_image(member):
                    images.append(member)
                elif any(member.suffix == suffix for suffix, _ in self._labels):
                    texts = self._texts(member.suffix, self._bytes(file, member.offset, member.size))
                    labels.setdefault(member.key, {}).update(texts)
                elif self._images:
                    others.add(member.suffix)
                elif reason := _unread(member.name):
                    yield Refused(f"{file}/{member.name}", reason)
        except (OSError, ValueError, RecursionError, tarfile.TarError) as error:
            yield Refused(file, f"not readable behind its first {len(images)} images: {why(error)}")
        for one in self._first_of_each(images):
            told = sorted(labels.get(one.key, {}).items())
            label = next((text for _, text in told if text), None)
            yield Entry(f"{file}/{one.name}", label, self.name, file, one.offset, one.size)

    def _members(self, file: str, length: int) -> Iterator[_Member | Refused]:
        """Yield the files of an archive of a length in bytes, up to where it breaks off."""
        end = 0
        with tarfile.open(self.folder / file, "r:") as archive:
            while (header := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # of a large archive all headers would stay in memory
                end = archive.offset
                if end < header.offset_data:  # tarfile would go round for ever
                    raise OSError(f"a negative size at byte {header.offset}")
                name = PurePosixPath(header.name).as_posix()
                key, suffix = _parted(name)
                if header.isreg() and not header.issparse():
                    if header.offset_data + header.size > length:
                        raise OSError("unexpected end of data")
                    yield _Member(name, key, suffix, header.offset_data, header.size)
                elif not header.isdir() and folders.suffix(name) in SUFFIXES:
                    yield Refused(f"{file}/{name}", "a link in the archive")
        # tarfile takes a broken header for the end, which is a block of zeros or nothing
        if end < length and any(self._bytes(file, end, min(512, length - end))):
            raise OSError(f"no header at byte {end}")

    @cached_property
    def _images(self) -> list[str]:
        """The suffixes that the settings name for images, the first of which an image has is its own."""
        return [_suffix(one) for one in (self.settings.image or "").split(";") if one.strip()]

    @cached_property
    def _labels(self) -> list[tuple[str, list[str]]]:
        """Suffix of files that hold labels, and the field in their JSON; none where the file is the label."""
        named = [one.strip().removeprefix(".") for one in (self.settings.label or "").split(";") if one.strip()]
        parts = [one.split(".") for one in named]
        return [
            ("json", own[1:]) if own[0].lower() == "json" and own[1:] else (one.lower(), [])
            for one, own in zip(named, parts, strict=True)
        ]

    def _is_image(self, member: _Member) -> bool:
        if self._images:
            return member.suffix in self._images
        return folders.suffix(member.name) in SUFFIXES

    def _first_of_each(self, images: list[_Member]) -> list[_Member]:
        """Of images of one key the ones with the first of several named suffixes, as WebDataset chooses."""
        if len(self._images) < 2:
            return images
        best: dict[str, int] = {}
        for one in images:
            best[one.key] = min(self._images.index(one.suffix), best.get(one.key, len(self._images)))
        return [one for one in images if self._images.index(one.suffix) == best[one.key]]

    def _texts(self, suffix: str, data: bytes) -> dict[int, str]:
        """Number of what the settings name -> the label of a file with a suffix, as far as it holds any."""
        text = data.decode("utf-8", "replace").strip()
        return {
            number: _field(text, field) if field else text
            for number, (own, field) in enumerate(self._labels)
            if own == suffix
        }

    def read(self, entry: Entry) -> bytes:
        assert entry.file is not None and entry.offset is not None and entry.size is not None
        return self._bytes(entry.file, entry.offset, entry.size)

    def _bytes(self, file: str, offset: int, size: int) -> bytes:
        if self._open is None or self._open[0] != file:
            if self._open:
                self._open[1].close()
            self._open = file, (self.folder / file).open("rb")
        self._open[1].seek(offset)
        data = self._open[1].read(size)
        if len(data) < size:
            raise OSError(f"{file} ends within it")
        return data


def _field(text: str, field: list[str]) -> str:
    """A field of JSON, whose parts lead into one another; empty where there is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    for part in field:
        found = found.get(part) if isinstance(found, dict) else None
    return "" if found is None or isinstance(found, dict | list) else str(found).encode("utf-8", "replace").decode()


def _suffix(named: str) -> str:
    """A suffix without its dot, in lower case and without blanks, of one in any spelling."""
    return "".join(named.split()).removeprefix(".").lower()


def _parted(name: str) -> tuple[str, str]:
    """The key and the suffix of a file in an archive: what lies before and after the first dot of its last part."""
    parts = re.fullmatch(r"((?:.*/)?[^/.]+)\.([^/]*)", name)
    return (parts[1], _suffix(parts[2])) if parts else (name, "")


SOURCES: dict[str, type[Source]] = {
    "folder": Folder,
    "huggingface": Dataset,
    "manifest": Manifest,
    "parquet": Parquet,
    "webdataset": Archives,
}


def members(name: str, probes: Mapping[str, ProbeSettings]) -> dict[str, ProbeSettings]:
    """Return the probes that a probe takes its images from: the members of a union, itself otherwise."""
    return {one: probes[one] for one in probes[name].members or [name]}


def rendered(name: str, probes: Mapping[str, ProbeSettings]) -> list[str]:
    """Return those of a probe's members whose images are rendered first."""
    return [one for one, settings in members(name, probes).items() if settings.source == "shapeworld"]


def streams(name: str, probes: Mapping[str, ProbeSettings]) -> dict[str, int]:
    """Return the beginning of image ids -> the stream of renders that the images are of, of a probe or its members."""
    own = {one: probes[one].seed for one in rendered(name, probes)}
    return {f"{one}/" if probes[name].members else "": stream for one, stream in own.items()}


def opened(name: str, probes: Mapping[str, ProbeSettings], renders: Sequence[str | Path]) -> list[Source]:
    """Return the sources of a probe's images.

    Parameters
    ----------
    renders : folders of the members whose images are rendered first, in their order.
    """
    places = dict(zip(rendered(name, probes), renders, strict=True))
    sources: list[Source] = []
    for one, settings in members(name, probes).items():
        if one in places:
            sources.append(Renders(one, settings.model_copy(update={"path": Path(places[one])})))
        else:
            sources.append(SOURCES[settings.source](one, settings))
    return sources


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
        one: SOURCES[settings.source](one, settings).files()
        for one, settings in members(name, probes).items()
        if settings.source != "shapeworld"  # its renders follow from its settings
    }


def content(name: str, probes: Mapping[str, ProbeSettings]) -> str:
    """Return a digest that changes with the user's files that a probe's images come from, as :func:`files` does."""
    return digest(files(name, probes))


def digest(found: Files) -> str:
    """Return a digest that changes with such files."""
    return folders.fingerprint({f"{one}/{file}": status for one in found for file, status in found[one].items()})


def most_images(name: str, probes: Mapping[str, ProbeSettings], found: Files) -> int | None:
    """Return how many images a probe has at most; None where that does not show before its files are read."""
    settings = probes[name]
    counts: list[int | None]
    if settings.members:
        counts = [most_images(one, probes, found) for one in settings.members]
    elif settings.source == "shapeworld":
        counts = [settings.images]
    elif settings.source in ("folder", "manifest"):
        counts = [len(found[name].keys() - {""})]  # a table of files is no image
    else:
        counts = [None]
    known = [count for count in counts if count is not None]
    limits = [settings.limit, settings.sample, sum(known) if len(known) == len(counts) else None]
    return min((limit for limit in limits if limit is not None), default=None)
