"""Tables: another schema is an error that names itself, and a file is whole or not there."""

import errno
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from dnd.io import rows, schemas, tables

ROWS = [
    {"image_id": "a.png", "box": [0, 1, 2, 3], "caption": "a star"},
    {"image_id": "b.png", "box": None, "caption": "a ring"},
]


def captions(rows=ROWS):
    return tables.table(rows, schemas.CAPTIONS)


def test_rows_come_back_as_written(tmp_path):
    path = tmp_path / "deep" / "er" / "captions.parquet"
    tables.write(path, captions(), schemas.CAPTIONS)
    assert tables.read(path, schemas.CAPTIONS).to_pylist() == ROWS


def test_a_table_of_no_rows_has_its_schema(tmp_path):
    tables.write(tmp_path / "none.parquet", captions([]), schemas.CAPTIONS)
    found = tables.read(tmp_path / "none.parquet", schemas.CAPTIONS)
    assert found.num_rows == 0
    assert found.schema.equals(schemas.CAPTIONS)


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"image_id": "a", "box": None}, "caption"),
        ({"image_id": "a", "box": None, "caption": "", "colour": "red"}, "colour"),
    ],
)
def test_a_missing_or_unknown_column_is_named_with_its_row(row, named):
    with pytest.raises(ValueError, match=rf"row 2: columns \['{named}'\]"):
        captions([*ROWS, row])


def test_a_box_has_four_sides():
    with pytest.raises(pa.ArrowInvalid):
        captions([ROWS[0] | {"box": [1, 2, 3]}])


def test_a_value_of_another_type_is_an_error():
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError, TypeError)):
        captions([ROWS[0] | {"caption": 3}])


def test_writing_another_schema_names_the_file_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"x\.parquet: schema is"):
        tables.write(tmp_path / "x.parquet", captions(), schemas.REJECTED)
    assert list(tmp_path.iterdir()) == []


def test_reading_another_schema_names_the_file(tmp_path):
    tables.write(tmp_path / "x.parquet", captions(), schemas.CAPTIONS)
    with pytest.raises(ValueError, match=r"x\.parquet: schema is .*expected .*reason"):
        tables.read(tmp_path / "x.parquet", schemas.REJECTED)


def test_equal_names_with_another_type_are_another_schema(tmp_path):
    pq.write_table(pa.table({"image_id": [1], "reason": ["x"]}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="schema is"):
        tables.read(tmp_path / "x.parquet", schemas.REJECTED)


def test_a_written_file_has_no_companions(tmp_path):
    tables.write(tmp_path / "x.parquet", captions(), schemas.CAPTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


def test_a_failed_write_leaves_the_old_file_and_no_partial_one(tmp_path, monkeypatch):
    path = tmp_path / "x.parquet"
    tables.write(path, captions(), schemas.CAPTIONS)

    def fail(table, where, **settings):
        where.write_bytes(b"PAR1 half a file")
        raise OSError("no space left on device")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(OSError, match=r"x\.parquet cannot be written: no space"):
        tables.write(path, captions(ROWS[:1]), schemas.CAPTIONS)
    assert [one.name for one in tmp_path.iterdir()] == ["x.parquet"]
    assert tables.read(path, schemas.CAPTIONS).to_pylist() == ROWS


def zeros(data):
    return bytes(len(data))


def cut(data):
    return data[: len(data) // 2]


def headless(data):
    """The end of the file is whole, its rows are zeros."""
    end = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    return data[:4] + bytes(end - 4) + data[end:]


@pytest.mark.parametrize("damage", [lambda data: b"", zeros, cut, lambda data: data + b"\n", lambda data: b"PAR1" * 4])
@pytest.mark.parametrize(
    "look",
    [
        lambda path: tables.read(path, schemas.CAPTIONS),
        lambda path: list(tables.row_groups([path], schemas.CAPTIONS)),
        tables.count,
        tables.origin,
    ],
)
def test_a_damaged_table_is_named_and_set_aside_so_that_it_is_made_again(tmp_path, damage, look):
    path = tmp_path / "x.parquet"
    tables.write(path, captions(), schemas.CAPTIONS)
    spoilt = damage(path.read_bytes())
    path.write_bytes(spoilt)
    with pytest.raises(tables.DamagedTable) as error:
        look(path)
    told = str(error.value)
    assert told.startswith(f"{path} is damaged (")
    assert told.endswith("): it is x.parquet.damaged now, and the same command makes it again")
    assert "\n" not in told
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"x.parquet.damaged": spoilt}


def test_a_table_whose_rows_are_damaged_is_set_aside_when_they_are_read(tmp_path):
    path = tmp_path / "x.parquet"
    tables.write(path, captions(), schemas.CAPTIONS)
    path.write_bytes(headless(path.read_bytes()))
    assert tables.count(path) == 2
    with pytest.raises(tables.DamagedTable, match=r"x\.parquet is damaged"):
        tables.read(path, schemas.CAPTIONS)
    assert [one.name for one in tmp_path.iterdir()] == ["x.parquet.damaged"]


def test_a_whole_table_is_never_set_aside(tmp_path):
    path = tmp_path / "x.parquet"
    tables.write(path, captions(), schemas.CAPTIONS)
    for wrong in (pc.field("no such column") == 1, pc.field("caption") == 3):
        with pytest.raises((pa.ArrowException, TypeError)):
            tables.read(path, schemas.CAPTIONS, where=wrong)
    with pytest.raises(ValueError, match="schema is"):
        tables.read(path, schemas.REJECTED)
    with pytest.raises(FileNotFoundError):
        tables.read(tmp_path / "none.parquet", schemas.CAPTIONS)
    with pytest.raises(OSError, match="directory"):
        tables.read(tmp_path, schemas.CAPTIONS)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "write",
    [
        "tables.write(sys.argv[1], table, schemas.CAPTIONS)\n",
        "with tables.writing(sys.argv[1], schemas.CAPTIONS) as write:\n    write(table)\n",
    ],
)
def test_a_full_disk_is_named_with_the_file_and_leaves_nothing(tmp_path, write):
    """A limit on the size of files stands for a full disk: the write fails in the middle."""
    script = (
        "import resource, sys; from dnd.io import schemas, tables\n"
        "rows = [{'image_id': 'a' * i, 'box': None, 'caption': str(hash(i * 7919))} for i in range(2000)]\n"
        "table = tables.table(rows, schemas.CAPTIONS)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n{write}"
    )
    path = tmp_path / "x.parquet"
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"OSError: {path} cannot be written: {os.strerror(errno.EFBIG)}"
    assert list(tmp_path.iterdir()) == []


def test_a_table_is_written_a_row_group_at_a_time(tmp_path):
    path = tmp_path / "deep" / "x.parquet"
    with tables.writing(path, schemas.CAPTIONS, lambda: {"seconds": 1}) as write:
        write(captions(ROWS[:1]))
        write(captions())
        assert not path.exists()
    assert tables.read(path, schemas.CAPTIONS).to_pylist() == [ROWS[0], *ROWS]
    assert [len(group) for group in tables.row_groups([path], schemas.CAPTIONS)] == [1, 2]
    assert tables.origin(path) == {"seconds": 1}
    with tables.writing(path, schemas.CAPTIONS):
        pass
    assert tables.read(path, schemas.CAPTIONS).num_rows == 0
    assert tables.origin(path) is None


def test_row_groups_before_an_error_leave_the_old_file(tmp_path):
    path = tmp_path / "x.parquet"
    tables.write(path, captions(), schemas.CAPTIONS)
    with pytest.raises(RuntimeError, match="in between"), tables.writing(path, schemas.CAPTIONS) as write:
        write(captions(ROWS[:1]))
        raise RuntimeError("in between")
    assert [one.name for one in tmp_path.iterdir()] == ["x.parquet"]
    assert tables.read(path, schemas.CAPTIONS).to_pylist() == ROWS


def test_a_file_is_replaced(tmp_path):
    path = tmp_path / "x.parquet"
    tables.write(path, captions(), schemas.CAPTIONS)
    tables.write(path, captions(ROWS[1:]), schemas.CAPTIONS)
    assert tables.read(path, schemas.CAPTIONS).to_pylist() == ROWS[1:]


def test_several_files_are_joined_in_their_order(tmp_path):
    for i, row in enumerate(ROWS):
        tables.write(tmp_path / f"{i}.parquet", captions([row]), schemas.CAPTIONS)
    paths = [tmp_path / "1.parquet", tmp_path / "0.parquet"]
    assert tables.read(paths, schemas.CAPTIONS).to_pylist() == ROWS[::-1]


def test_columns_and_rows_can_be_chosen(tmp_path):
    tables.write(tmp_path / "x.parquet", captions(), schemas.CAPTIONS)
    chosen = pc.field("image_id") == "b.png"
    found = tables.read(tmp_path / "x.parquet", schemas.CAPTIONS, ["caption"], chosen)
    assert found.to_pylist() == [{"caption": "a ring"}]


def test_no_files_are_an_empty_table_of_the_columns_asked_for():
    assert tables.read([], schemas.CAPTIONS, ["caption"]).schema.names == ["caption"]
    assert tables.read([], schemas.CAPTIONS).schema.equals(schemas.CAPTIONS)


def test_the_origin_of_a_table_is_read_without_its_rows_and_stays_behind(tmp_path):
    for i, row in enumerate(ROWS):
        tables.write(tmp_path / f"{i}.parquet", captions([row]), schemas.CAPTIONS, origin={"device": f"H{i}00 é"})
    paths = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    assert [tables.origin(path) for path in paths] == [{"device": "H000 é"}, {"device": "H100 é"}]
    joined = tables.read(paths, schemas.CAPTIONS)
    assert joined.to_pylist() == ROWS
    assert joined.schema.metadata is None
    assert all(part.schema.metadata is None for part in tables.row_groups(paths, schemas.CAPTIONS))


def test_a_table_without_origin_is_the_same_file_whatever_its_rows_came_with(tmp_path):
    tables.write(tmp_path / "plain.parquet", captions(), schemas.CAPTIONS)
    carrying = captions().replace_schema_metadata({tables.ORIGIN: "{}", "pandas": "{}"})
    tables.write(tmp_path / "carrying.parquet", carrying, schemas.CAPTIONS)
    assert (tmp_path / "carrying.parquet").read_bytes() == (tmp_path / "plain.parquet").read_bytes()
    assert tables.origin(tmp_path / "plain.parquet") is None


def test_an_origin_that_is_known_last_is_found_like_any_other(tmp_path):
    with tables.writing(tmp_path / "x.parquet", schemas.CAPTIONS, lambda: {"seconds": 3}) as add:
        add(captions())
    assert tables.origin(tmp_path / "x.parquet") == {"seconds": 3}


def test_rows_are_named_tuples_whose_fields_are_columns(tmp_path):
    path = tmp_path / "captions.parquet"
    written = [rows.Caption("a.png", [0, 1, 2, 3], "a star"), rows.Caption("b.png", None, "a ring")]
    tables.write(path, captions(written), schemas.CAPTIONS)
    assert tables.rows(path, schemas.CAPTIONS, rows.Caption) == written
    assert tables.rows(path, schemas.CAPTIONS, rows.Caption, pc.field("image_id") == "b.png") == written[1:]
