"""Images that are rows of a table: Parquet files, and datasets in the format of the hub."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dnd.io.rows import Entry, Refused
from dnd.probe import folders
from dnd.probe.folders import Status
from dnd.probe.source import Source, why

if TYPE_CHECKING:
    import datasets
COMMIT = re.compile(r"[0-9a-f]{40}")

Value = Any
"""Of a column of images: bytes, or a mapping of ``bytes`` and ``path``, of which either may lack."""
READ = 16
"""Rows of a Parquet file that are in memory at once."""


class _Rows(Source):
    """Tables with a column of images: bytes, or bytes and the file's name; and perhaps one of labels."""

    @property
    def _image(self) -> str:
        return self.settings.image or "image"

    def _check(self, schema: pa.Schema, table: str) -> None:
        """Raise the error of columns that a table lacks or that hold something else."""
        for key, column in (("image", self._image), ("label", self.settings.label)):
            if column and column not in schema.names:
                raise self.error(key, f"{table} has no column {column!r}, but {schema.names}")
        kind = schema.field(self._image).type
        held = _parts(kind).get("bytes", pa.null())
        if not (_is_binary(held) or (pa.types.is_null(held) and "path" in _parts(kind))):
            raise self.error("image", f"column {self._image!r} of {table} holds {kind}, not the bytes of image files")

    def _rows(
        self, tables: Iterable[pa.RecordBatch | pa.Table], names: list[str] | None, file: str | None
    ) -> Iterator[Entry]:
        """Yield the images of a table that comes in pieces.

        Parameters
        ----------
        names : of labels that are numbers.
        """
        row = 0
        for table in tables:
            labels = self._labels(table, names)
            for path, size, label in zip(*self._places(table), labels, strict=True):
                name = f"{row:08d}-{PurePosixPath(path).name}" if path else f"{row:08d}"
                yield Entry(f"{file}/{name}" if file else name, label, self.name, file, None, size, row)
                row += 1

    def _places(self, table: pa.RecordBatch | pa.Table) -> tuple[list[str | None], list[int | None]]:
        """The file name of each image and its size in bytes, as far as they are told."""
        paths: list[str | None] = [None] * table.num_rows
        sizes: list[int | None] = [None] * table.num_rows
        if self._image not in table.schema.names:
            return paths, sizes
        column = table.column(self._image)
        kinds = _parts(column.type)
        parts = {name: pc.struct_field(column, name) if pa.types.is_struct(column.type) else column for name in kinds}
        if "path" in kinds:
            paths = parts["path"].to_pylist()
        if _is_binary(kinds.get("bytes")):
            sizes = pc.binary_length(parts["bytes"]).to_pylist()
        return paths, sizes

    def _labels(self, table: pa.RecordBatch | pa.Table, names: list[str] | None) -> list[str | None]:
        if not self.settings.label:
            return [None] * table.num_rows
        column = table.column(self.settings.label)
        if names:
            return [names[i] if i is not None and 0 <= i < len(names) else None for i in column.to_pylist()]
        try:
            return column.cast(pa.string()).to_pylist()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            problem = f"column {self.settings.label!r} holds {column.type}, neither text nor numbers"
            raise self.error("label", problem) from None

    def _class_names(self, schema: pa.Schema) -> list[str] | None:
        """Names of the classes whose numbers the labels are, where the dataset that a table was tells them."""
        try:
            features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
            return features[self.settings.label]["names"]
        except (KeyError, TypeError, ValueError):
            return None

    def _bytes(self, value: Value) -> bytes:
        """The bytes of a value of the column of images, or of the file that it names instead."""
        data, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
        if data is not None:
            return data
        if not path:
            raise OSError("the row has no image")
        place = self.folder / path
        if isinstance(problem := folders.status(place), OSError):
            raise OSError(f"{path}: {why(problem)}")
        return place.read_bytes()


class Parquet(_Rows):
    """Parquet files."""

    _reader: tuple[str, _Forward] | None = None

    def files(self) -> Mapping[str, Status]:
        return self.listing([".parquet"], "Parquet files")

    def entries(self) -> Iterator[Entry | Refused]:
        for name, status in self.files().items():
            if isinstance(status, OSError):
                yield Refused(name, why(status))
                continue
            try:
                with pq.ParquetFile(self.folder / name) as file:
                    self._check(file.schema_arrow, name)
                    told = _parts(file.schema_arrow.field(self._image).type)
                    columns = [f"{self._image}.path"] if "path" in told else []
                    columns += [self.settings.label] if self.settings.label else []
                    batches = file.iter_batches(columns=columns)
                    yield from self._rows(batches, self._class_names(file.schema_arrow), name)
            except (OSError, pa.ArrowException) as error:
                yield Refused(name, why(error))

    def read(self, entry: Entry) -> bytes:
        assert entry.file is not None and entry.row is not None
        try:
            if self._reader is None or self._reader[0] != entry.file:
                self._reader = entry.file, _Forward(self.folder / entry.file, self._image)
            return self._bytes(self._reader[1].value(entry.row))
        except pa.ArrowException as error:
            raise OSError(why(error)) from error


class _Forward:
    """A column of a Parquet file whose values are asked for in order: a few of them are in memory at once."""

    def __init__(self, path: Path, column: str) -> None:
        self._file = pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
        self._column = column
        groups = range(self._file.num_row_groups)
        self._starts = [0, *accumulate(self._file.metadata.row_group(i).num_rows for i in groups)]
        self._first = 0
        self._values: list[Value] = []
        self._group = -1
        self._batches: Iterator[pa.RecordBatch] = iter(())

    def value(self, row: int) -> Value:
        group = bisect_right(self._starts, row) - 1
        if group != self._group or row < self._first:
            self._group, self._first, self._values = group, self._starts[group], []
            self._batches = self._file.iter_batches(READ, row_groups=[group], columns=[self._column])
        while row >= self._first + len(self._values):
            self._first += len(self._values)
            self._values = next(self._batches).column(0).to_pylist()
        return self._values[row - self._first]


class Dataset(_Rows):
    """A dataset of the hub, or one on disk: saved by ``save_to_disk`` or laid out as on the hub."""

    def files(self) -> Mapping[str, Status]:
        """See the base; none of a dataset of the hub, which its id and revision tell apart."""
        if self.settings.dataset:
            return {}
        statuses = {
            path.relative_to(self.path).as_posix(): folders.status(path)
            for path in self.path.rglob("*.*")
            if not path.name.startswith("cache-")
        }
        if not statuses:
            raise self.error("path", f"{self.path} holds no dataset")
        return dict(sorted(statuses.items()))

    def entries(self) -> Iterator[Entry | Refused]:
        table = self._loaded.with_format("arrow")
        schema = self._loaded.features.arrow_schema
        yield from self._rows(table.iter(batch_size=1000), self._class_names(schema), None)

    def read(self, entry: Entry) -> bytes:
        return self._bytes(self._images[entry.row].column(0)[0].as_py())

    def revisions(self) -> dict[str, str]:
        commit = self._commit(self._loaded) if self.settings.dataset else None
        asked = f"@{self.settings.revision}" if self.settings.revision else ""
        return {f"{self.settings.dataset}{asked}": commit} if commit else {}

    @staticmethod
    def _commit(table: datasets.Dataset) -> str | None:
        """The commit of a dataset of the hub, after which the package names the folder of what it has prepared."""
        folders = {Path(file["filename"]).parent.name for file in table.cache_files}
        return next((name for name in folders if COMMIT.fullmatch(name)), None)

    @cached_property
    def _images(self) -> datasets.Dataset:
        return self._loaded.select_columns([self._image]).with_format("arrow")

    @cached_property
    def _loaded(self) -> datasets.Dataset:
        """The dataset's split, with the columns that are wanted. Its images stay undecoded, its code is never run."""
        key = "dataset" if self.settings.dataset else "path"
        what = self.settings.dataset or str(self.path)
        try:
            dataset = self._load(what)
        except Exception as error:  # of the package, the hub's client, the HTTP client below it, and the file system
            hint = "; run `snakemake prefetch` where there is internet" if isinstance(error, ConnectionError) else ""
            raise self.error(key, f"{what} cannot be loaded: {type(error).__name__}: {why(error)}{hint}") from error
        if isinstance(dataset, dict):
            split = self.settings.split or (next(iter(dataset)) if len(dataset) == 1 else None)
            if split not in dataset:
                raise self.error("split", f"{what} has no split {split!r}, but {list(dataset)}")
            dataset = dataset[split]
        asked, commit = self.settings.revision or "", self._commit(dataset)
        if COMMIT.fullmatch(asked) and commit not in (asked, None):  # offline, the package takes what it has
            raise self.error(
                "revision", f"{what} is here at commit {commit} only: fetch {asked} where there is internet"
            )
        self._check(dataset.features.arrow_schema, what)
        return dataset.select_columns([self._image, *([self.settings.label] if self.settings.label else [])])

    def _load(self, what: str) -> datasets.Dataset | datasets.DatasetDict:
        import datasets

        settings = self.settings
        if settings.path and any((settings.path / name).is_file() for name in ("state.json", "dataset_dict.json")):
            return datasets.load_from_disk(what)
        return datasets.load_dataset(what, settings.subset, split=settings.split, revision=settings.revision)


def _parts(kind: pa.DataType) -> dict[str, pa.DataType]:
    """What a column of images consists of: its bytes, or a structure that holds them."""
    return {part.name: part.type for part in kind} if pa.types.is_struct(kind) else {"bytes": kind}


def _is_binary(kind: pa.DataType | None) -> bool:
    return kind is not None and (
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    )
