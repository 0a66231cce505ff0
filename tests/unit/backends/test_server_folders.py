import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from endpoints import fake, places, post, started

from dnd.backends.server import ServerError


@pytest.mark.parametrize("name", ["x" * 90, "t" * 30 + "/" + "u" * 60, "missing"])
def test_a_folder_for_temporary_files_that_is_no_place_for_sockets(tmp_path, temporary, name):
    folder, choose = temporary
    if name != "missing":
        (folder / name).mkdir(parents=True)
    choose(folder / name)
    with fake(tmp_path, f"litter={tmp_path / 'litter'}") as endpoint:
        assert post(endpoint, endpoint.key) == "hello 4"
        assert places(tmp_path / "litter")[0].exists()
    assert not places(tmp_path / "litter")[0].exists()


def test_full_folders_for_temporary_files_are_named(tmp_path, temporary, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=4096))
    told = r"set TMPDIR to another one \(\S+: no space left on the disk; /tmp: no space left"
    with pytest.raises(ServerError, match=told), fake(tmp_path):
        pytest.fail("there is no room")


@pytest.mark.parametrize("home", ["/dev/null", "/nonexistent/me"])
def test_a_home_that_cannot_be_written_is_replaced_and_models_stay_where_they_are(
    tmp_path, temporary, monkeypatch, home
):
    (tmp_path / "caches/huggingface").mkdir(parents=True)
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.delenv("HF_HOME", raising=False)
    pids = tmp_path / "pids"
    with fake(tmp_path, f"litter={tmp_path / 'litter'}", f"pids={pids}"):
        assert places(tmp_path / "litter")[1].exists()
        given = Path(f"/proc/{started(pids)[0]}/environ").read_bytes().split(b"\0")
    assert f"HF_HOME={tmp_path / 'caches/huggingface'}".encode() in given
    assert not list(temporary[0].iterdir())
