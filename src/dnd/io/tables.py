"""The one way to write and read tables; their schemas are in `dnd.io.schemas`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dnd.io.files import replaced, set_aside
from dnd.io.rows import Row

T = TypeVar("T", bound=tuple[object, ...])


def table(rows: Iterable[Row] | Iterable[Mapping[str, object]], schema: pa.Schema) -> pa.Table:
    """Build a table from rows; a missing or unknown column is an error.

    Raises
    ------
    ValueError
        A row's fields differ from the schema's names.
    """
    records = [row if isinstance(row, Mapping) else row._asdict() for row in rows]
    names = set(schema.names)
    for i, row in enumerate(records):
        if set(row) != names:
            raise ValueError(f"row {i}: columns {sorted(set(row) ^ names)} are missing or unknown")
    return pa.Table.from_pylist(records, schema=schema)


ORIGIN = b"dnd.origin"
"""Key of the origin among the metadata of a file."""


def write(
    path: str | Path,
    rows: pa.Table,
    schema: pa.Schema,
    row_group_size: int = 1024,
    origin: Mapping[str, object] | None = None,
) -> None:
    """Write a table that has the schema, in one step: the file appears whole or not at all.

    Parameters
    ----------
    origin : how the table came about, as JSON can hold it: see :meth:`dnd.run.job.Job.origin`. Without one the file's
        bytes depend on the rows alone.

    Raises
    ------
    ValueError
        The table's schema is another one.
    OSError
        The disk is full, say; the message names the file and the reason.
    """
    if not rows.schema.equals(schema):
        raise ValueError(f"{path}: schema is {rows.schema}, not {schema}")
    rows = rows.replace_schema_metadata(None if origin is None else {ORIGIN: json.dumps(origin, sort_keys=True)})
    with _naming(path), replaced(path) as partial:
        pq.write_table(rows, partial, compression="zstd", row_group_size=row_group_size)


@contextmanager
def writing(
    path: str | Path, schema: pa.Schema, origin: Callable[[], Mapping[str, object]] | None = None
) -> Iterator[Callable[[pa.Table], None]]:
    """Yield a function that writes some rows as a row group, so that a table does not have to fit the memory.

    The file appears when the context ends without an error, whole or not at all.

    Parameters
    ----------
    origin : asked last, how the table came about, as for :func:`write`.

    Raises
    ------
    OSError
        The disk is full, say; the message names the file and the reason.
    """
    with replaced(path) as partial:
        with _naming(path):
            file = pq.ParquetWriter(partial, schema, compression="zstd")

        def add(rows: pa.Table) -> None:
            with _naming(path):
                file.write_table(rows, row_group_size=max(len(rows), 1))

        try:
            yield add
            if origin:
                file.add_key_value_metadata({ORIGIN: json.dumps(origin(), sort_keys=True)})
        finally:
            with _naming(path):
                file.close()


@contextmanager
def _naming(path: str | Path) -> Iterator[None]:
    """Let an error of writing say which file and why."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(f"{path} cannot be written: {reason}") from error


def read(
    paths: str | Path | Sequence[str | Path],
    schema: pa.Schema,
    columns: Sequence[str] | None = None,
    where: pc.Expression | None = None,
) -> pa.Table:
    """Read and join files of one schema, only the columns and rows asked for; their origins stay behind.

    Raises
    ------
    DamagedTable
        A file is no whole table; it is set aside.
    ValueError
        A file has another schema; the message names it.
    """
    files = [paths] if isinstance(paths, str | Path) else list(paths)
    parts = []
    for file in files:
        with _intact(file):
            _require(file, pq.read_schema(file), schema)
            parts.append(pq.read_table(file, columns=None if columns is None else list(columns), filters=where))
    wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
    return pa.concat_tables(parts).replace_schema_metadata() if parts else wanted.empty_table()


def rows(
    paths: str | Path | Sequence[str | Path], schema: pa.Schema, kind: type[T], where: pc.Expression | None = None
) -> list[T]:
    """Read the fields of a named tuple as rows of files of one schema; errors are those of :func:`read`."""
    return rows_of(read(paths, schema, fields_of(kind), where), kind)


def rows_of(table: pa.Table, kind: type[T]) -> list[T]:
    """Return the rows of a table as named tuples; a field that it lacks has its default.

    Raises
    ------
    TypeError
        The table lacks a field that has none.
    """
    names = [name for name in fields_of(kind) if name in table.schema.names]
    columns = (table[name].to_pylist() for name in names)
    return [kind(**dict(zip(names, values, strict=True))) for values in zip(*columns, strict=True)]


def fields_of(kind: type) -> tuple[str, ...]:
    """Return the names of a named tuple's fields."""
    return tuple(kind.__annotations__)


def origin(path: str | Path) -> dict[str, object] | None:
    """Return how a file's table came about, None where that was not recorded; only the file's end is read.

    Raises
    ------
    DamagedTable
        The file is no whole table; it is set aside.
    """
    with _intact(path):
        return origin_in(pq.read_metadata(path))


def origin_in(end: pq.FileMetaData) -> dict[str, object] | None:
    """Return what the end of a file tells of how its table came about, None where that was not recorded."""
    origin: bytes | None = (end.metadata or {}).get(ORIGIN)
    return None if origin is None else json.loads(origin)


def row_groups(
    paths: Sequence[str | Path],
    schema: pa.Schema,
    columns: Sequence[str] | None = None,
    only: tuple[str, Collection[str]] | None = None,
) -> Iterator[pa.Table]:
    """Yield the rows of files as they are read, one row group at a time, so that no file has to fit the memory.

    Parameters
    ----------
    only : a column and the values of it that are wanted; other row groups are not read.

    Raises
    ------
    DamagedTable
        A file is no whole table; it is set aside.
    ValueError
        A file has another schema.
    """
    values = None if only is None else pa.array(sorted(only[1]), schema.field(only[0]).type)
    for path in paths:
        with opened(path) as file:
            _require(path, file.schema_arrow, schema)
            for group in range(file.num_row_groups):
                if only is None:
                    yield file.read_row_group(group, columns=columns).replace_schema_metadata()
                    continue
                wanted = pc.is_in(file.read_row_group(group, columns=[only[0]])[only[0]], values)
                if pc.any(wanted).as_py():
                    yield file.read_row_group(group, columns=columns).filter(wanted).replace_schema_metadata()


def count(paths: str | Path | Sequence[str | Path]) -> int:
    """Return the number of rows of files.

    Raises
    ------
    DamagedTable
        A file is no whole table; it is set aside.
    """
    files = [paths] if isinstance(paths, str | Path) else list(paths)
    rows = 0
    for file in files:
        with _intact(file):
            rows += pq.read_metadata(file).num_rows
    return rows


class DamagedTable(ValueError):
    """A file is no whole table: a power cut or its disk has spoilt it."""


@contextmanager
def opened(path: str | Path) -> Iterator[pq.ParquetFile]:
    """Give a file to read in parts.

    Raises
    ------
    DamagedTable
        The file is no whole table; it is set aside.
    """
    with _intact(path), pq.ParquetFile(path) as file:
        yield file


@contextmanager
def _intact(path: str | Path) -> Iterator[None]:
    """Let an error of reading say that a file is damaged, where it is, and set the file aside.

    Whoever makes it finds it missing then, and makes it again; and what is not ours is not lost.
    """
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if (reason := _damage(path)) is None:
            raise
        aside = set_aside(Path(path))
        raise DamagedTable(
            f"{path} is damaged ({reason}): it is {aside.name} now, and the same command makes it again"
        ) from error


def _damage(path: str | Path) -> str | None:
    """Return why a file is no table, None where it is or where its content cannot be looked at."""
    try:
        with Path(path).open("rb") as raw, pq.ParquetFile(raw) as file:  # Python's own errors have numbers
            for group in range(file.num_row_groups):
                file.read_row_group(group)
    except (pa.ArrowException, OSError) as error:
        return None if isinstance(error, OSError) and error.errno else str(error).partition("\n")[0]
    return None


def _require(path: str | Path, schema: pa.Schema, expected: pa.Schema) -> None:
    if not schema.equals(expected):
        raise ValueError(f"{path}: schema is {schema.names}, expected {expected.names}: delete it and run again")
