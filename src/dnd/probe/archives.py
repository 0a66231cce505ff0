"""Images in tar files, as WebDataset has them."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple

from dnd.io.rows import Entry, Refused
from dnd.io.text import valid
from dnd.probe import folders
from dnd.probe.folders import Status
from dnd.probe.source import SUFFIXES, Source, unread, why

SHOWN = 10
"""Suffixes that a message names."""


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
            for entry in self._entries(file, status.st_size, others):
                named |= isinstance(entry, Entry)
                yield entry
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
                elif reason := unread(member.name):
                    yield Refused(f"{file}/{member.name}", reason)
        except (OSError, ValueError, RecursionError, tarfile.TarError) as error:
            yield Refused(file, f"not readable behind its first {len(images)} images: {why(error)}")
        for image in self._first_of_each(images):
            texts_in_order = (text for _, text in sorted(labels.get(image.key, {}).items()))
            label = next(filter(None, texts_in_order), None)
            yield Entry(f"{file}/{image.name}", label, self.name, file, image.offset, image.size)

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
        return [_suffix(text) for text in (self.settings.image or "").split(";") if text.strip()]

    @cached_property
    def _labels(self) -> list[tuple[str, list[str]]]:
        """Suffix of files that hold labels, and the field in their JSON; none where the file is the label."""
        labels = []
        for text in (self.settings.label or "").split(";"):
            named = text.strip().removeprefix(".")
            suffix, *field = named.split(".")
            if named:
                labels.append(("json", field) if suffix.lower() == "json" and field else (named.lower(), []))
        return labels

    def _is_image(self, member: _Member) -> bool:
        if self._images:
            return member.suffix in self._images
        return folders.suffix(member.name) in SUFFIXES

    def _first_of_each(self, images: list[_Member]) -> list[_Member]:
        """Of images of one key the ones with the first of several named suffixes, as WebDataset chooses."""
        if len(self._images) < 2:
            return images
        best: dict[str, int] = {}
        for image in images:
            best[image.key] = min(self._images.index(image.suffix), best.get(image.key, len(self._images)))
        return [image for image in images if self._images.index(image.suffix) == best[image.key]]

    def _texts(self, suffix: str, data: bytes) -> dict[int, str]:
        """Number of what the settings name -> the label of a file with a suffix, as far as it holds any."""
        text = data.decode("utf-8", "replace").strip()
        return {
            number: _field(text, field) if field else text
            for number, (named, field) in enumerate(self._labels)
            if named == suffix
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
        value = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    for part in field:
        value = value.get(part) if isinstance(value, dict) else None
    return "" if value is None or isinstance(value, dict | list) else valid(str(value))


def _suffix(named: str) -> str:
    """A suffix without its dot, in lower case and without blanks, of one in any spelling."""
    return "".join(named.split()).removeprefix(".").lower()


def _parted(name: str) -> tuple[str, str]:
    """The key and the suffix of a file in an archive: what lies before and after the first dot of its last part."""
    parts = re.fullmatch(r"((?:.*/)?[^/.]+)\.([^/]*)", name)
    return (parts[1], _suffix(parts[2])) if parts else (name, "")
