"""Files that appear whole, and are on the disk when they have their names."""

import errno
import os
import stat
import subprocess
import sys

import pyarrow as pa
import pytest

from dnd.io import files, schemas, tables
from dnd.run import plan, provenance
from dnd.selection import descriptions
from dnd.target import inventory


@pytest.fixture
def events(monkeypatch):
    """What is brought to the disk and what is renamed, in order."""
    happened = []
    sync, rename = os.fsync, os.replace

    def synced(number):
        kind = "folder" if stat.S_ISDIR(os.fstat(number).st_mode) else "file"
        happened.append((kind, os.fstat(number).st_size if kind == "file" else None))
        sync(number)

    def renamed(source, target):
        happened.append(("named", os.stat(source).st_size))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    return happened


def write_rows(path):
    with tables.writing(path, schemas.REJECTED) as write:
        write(pa.table({"image_id": ["a"], "reason": ["b"]}, schema=schemas.REJECTED))


@pytest.mark.parametrize(
    "write",
    [
        lambda path: tables.write(path, schemas.REJECTED.empty_table(), schemas.REJECTED),
        write_rows,
        lambda path: descriptions.write_csv(path, schemas.DESCRIPTIONS.empty_table()),
        lambda path: provenance.write(path, provenance.Provenance.model_construct(run="a")),
        lambda path: inventory.write_modules(path, []),
        lambda path: plan.write_groups(path, {}),
    ],
)
def test_what_a_stage_finishes_is_on_the_disk_before_it_has_its_name_and_then_so_is_the_name(tmp_path, events, write):
    """A power cut in between leaves no empty file under the name."""
    path = tmp_path / "folder/finished"
    write(path)
    size = path.stat().st_size
    assert size
    assert events == [("file", size), ("named", size), ("folder", None)]


def test_a_folder_of_files_is_brought_to_the_disk_as_a_whole(tmp_path, events):
    (tmp_path / "deep/er").mkdir(parents=True)
    for name, text in {"a": "1", "deep/b": "22", "deep/er/c": "333"}.items():
        (tmp_path / name).write_text(text)
    files.sync_tree(tmp_path)
    assert sorted(size for kind, size in events if kind == "file") == [1, 2, 3]
    assert [kind for kind, _ in events].count("folder") == 3


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_what_cannot_be_brought_to_the_disk_is_named_and_leaves_the_old_file(tmp_path, monkeypatch, number):
    path = tmp_path / "x.parquet"
    tables.write(path, schemas.REJECTED.empty_table(), schemas.REJECTED)
    before = path.read_bytes()

    def fail(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    for write in (lambda path: tables.write(path, schemas.REJECTED.empty_table(), schemas.REJECTED), write_rows):
        with pytest.raises(OSError, match=rf"{os.strerror(number)}.*x\.parquet|x\.parquet.*{os.strerror(number)}"):
            write(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path, monkeypatch):
    """Some file systems do not know how."""
    sync = os.fsync

    def fail(number):
        if stat.S_ISDIR(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(number)

    monkeypatch.setattr(os, "fsync", fail)
    with files.replaced(tmp_path / "x") as partial:
        partial.write_text("a")
    assert (tmp_path / "x").read_text() == "a"


def write_and_die(folder, code):
    """Names of what a process was writing to a folder that was killed meanwhile."""
    lines = f"import os\nfrom pathlib import Path\nfrom dnd.io import files\nfolder = Path({str(folder)!r})\n{code}"
    done = subprocess.run([sys.executable, "-c", f"{lines}\n    os.kill(os.getpid(), 9)"], timeout=60)
    assert done.returncode == -9
    return sorted(path.name for path in folder.glob(".*"))


@pytest.mark.parametrize(
    "code",
    [
        "with files.replaced(folder / 'a.parquet') as partial:\n    partial.write_text('half')",
        "with files.unsynced(folder / 'ab/abc', beside=folder) as partial:\n    partial.write_text('half')",
        "with files.scratch(folder) as views:\n    (views / 'view.jpg').write_text('one of many')",
    ],
)
def test_what_a_killed_process_was_writing_is_removed(tmp_path, code):
    (left,) = write_and_die(tmp_path, code)
    assert [path.name for path in files.remove_partial(tmp_path, 0)] == [left]
    assert not list(tmp_path.glob(".*"))


def test_what_is_being_written_and_files_of_other_names_stay(tmp_path):
    for name in (".keep", ".a.b", ".1.2.parquet", "a.vm.1.2"):
        (tmp_path / name).write_text("")
    with files.replaced(tmp_path / "a.b.parquet") as partial, files.scratch(tmp_path) as folder:
        partial.write_text("half")
        assert files.remove_partial(tmp_path, 0) == []
        assert folder.is_dir()
    assert (tmp_path / "a.b.parquet").read_text() == "half"
    assert not folder.exists()


def test_what_another_machine_writes_is_left_to_it_for_a_while(tmp_path):
    other = tmp_path / ".a.parquet.node-7.example.org.1.140330336545664"
    other.write_text("half")
    assert files.remove_partial(tmp_path, other_machines_after=3600) == []
    os.utime(other, (1, 1))
    assert files.remove_partial(tmp_path, other_machines_after=3600) == [other]
