import os

import pytest

from dnd.probe.folders import fingerprint, listing, status

SUFFIXES = (".png", ".jpg", ".webp")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "deep/er").mkdir(parents=True)
    for name in ("b.png", "deep/er/a.JPG", "deep/c.webp"):
        (tmp_path / name).write_bytes(b"picture")
    (tmp_path / "notes.txt").write_text("none")
    return tmp_path


def names(folder):
    return list(listing(folder, SUFFIXES))


def test_files_are_found_at_any_depth_in_order_of_their_paths(folder):
    assert names(folder) == ["b.png", "deep/c.webp", "deep/er/a.JPG"]
    assert listing(folder, SUFFIXES)["b.png"].st_size == 7


def test_order_does_not_depend_on_the_file_system(folder, monkeypatch):
    scandir, before = os.scandir, names(folder)
    monkeypatch.setattr(os, "scandir", lambda path: sorted(scandir(path), key=lambda one: one.name, reverse=True))
    assert names(folder) == before


def test_a_path_to_a_file_is_that_file(folder):
    assert names(folder / "notes.txt") == ["notes.txt"]


def test_linked_folders_are_followed_but_never_back_to_themselves(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "x.png").write_bytes(b"picture")
    (folder / "deep/link").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(folder)
    (folder / "deep/loop").symlink_to(folder / "deep")
    assert names(folder) == ["b.png", "deep/c.webp", "deep/er/a.JPG", "deep/link/x.png"]


def test_what_cannot_be_looked_at_is_told(folder, monkeypatch):
    (folder / "gone.png").symlink_to(folder / "nowhere")
    (folder / "self.png").symlink_to(folder / "self.png")
    os.mkfifo(folder / "pipe.png")
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("er"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    problems = {name: str(one) for name, one in listing(folder, SUFFIXES).items() if isinstance(one, OSError)}
    assert list(problems) == ["deep/er", "gone.png", "pipe.png", "self.png"]
    assert "Permission denied" in problems["deep/er"]
    assert "No such file" in problems["gone.png"]
    assert problems["pipe.png"] == "is not a file"
    assert "symbolic links" in problems["self.png"]


def test_a_name_that_no_file_can_have_is_an_error_that_is_returned(tmp_path):
    assert isinstance(status(tmp_path / "a\0b"), OSError)


def test_fingerprint_tells_a_file_more_less_longer_or_later(folder):
    def now():
        return fingerprint(listing(folder, SUFFIXES))

    before = now()
    (folder / "notes.txt").write_text("more")
    assert now() == before
    (folder / "deep/er/d.png").write_bytes(b"")
    added = now()
    (folder / "deep/er/d.png").write_bytes(b"x")
    longer = now()
    os.utime(folder / "deep/er/d.png", (1, 1))
    later = now()
    (folder / "deep/er/d.png").rename(folder / "deep/d.png")
    moved = now()
    assert len({before, added, longer, later, moved}) == 5
    (folder / "deep/d.png").unlink()
    assert now() == before


def test_fingerprint_takes_names_that_are_not_utf8(tmp_path):
    (tmp_path / os.fsdecode(b"\xff.png")).write_bytes(b"picture")
    assert len(fingerprint(listing(tmp_path, SUFFIXES))) == 16
