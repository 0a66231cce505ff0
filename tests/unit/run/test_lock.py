"""The lock of a run on its working directory: who has it, since when, and whether it still is at work."""

import os
import time

import pytest

from dnd.run import lock


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working directory of Snakemake's."""
    monkeypatch.setenv(lock.RUN, "")
    (tmp_path / ".snakemake").mkdir()
    return tmp_path


def test_a_folder_without_a_run_has_no_holder(folder):
    assert lock.newest(folder) is None
    (folder / lock.LOCK).touch()
    assert lock.newest(folder) is None


def test_a_run_has_the_folder_until_it_ends_and_stays_its_last(folder):
    before = time.time()
    with lock.take(folder, "demo"):
        held = lock.newest(folder)
        assert (held.key, held.run, held.at_work) == (os.environ[lock.RUN], "demo", True)
        assert before <= held.begun <= time.time()
    assert lock.newest(folder) == held._replace(at_work=False)


def test_a_second_run_leaves_the_first_its_folder_and_comes_after_it(folder):
    with lock.take(folder, "demo"):
        first = os.environ[lock.RUN]
        with pytest.raises(BlockingIOError):
            lock.take(folder, "other")
        assert lock.newest(folder).key == os.environ[lock.RUN] == first
    with lock.take(folder, "other"):
        assert lock.newest(folder).key == os.environ[lock.RUN] != first
        assert lock.newest(folder).run == "other"


def test_looking_leaves_the_lock_to_the_run(folder):
    (folder / lock.LOCK).touch()
    lock.newest(folder)
    with lock.take(folder, "demo"):
        assert lock.newest(folder).at_work
