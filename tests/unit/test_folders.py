import os

import pytest

from dnd.folders import fingerprint, listing


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "deep/er").mkdir(parents=True)
    for name in ("b.png", "deep/er/a.JPG", "deep/c.webp"):
        (tmp_path / name).write_bytes(b"picture")
    (tmp_path / "notes.txt").write_text("none")
    return tmp_path


def test_images_are_found_at_any_depth_in_order_of_their_paths(folder):
    assert [path.relative_to(folder).as_posix() for path in listing(folder)] == [
        "b.png",
        "deep/c.webp",
        "deep/er/a.JPG",
    ]


def test_a_folder_without_images_is_named(tmp_path):
    with pytest.raises(ValueError, match="no images"):
        listing(tmp_path)


def test_fingerprint_tells_an_image_more_less_longer_or_later(folder):
    before = fingerprint(folder)
    (folder / "notes.txt").write_text("more")
    assert fingerprint(folder) == before
    (folder / "deep/er/d.png").write_bytes(b"")
    added = fingerprint(folder)
    (folder / "deep/er/d.png").write_bytes(b"x")
    longer = fingerprint(folder)
    os.utime(folder / "deep/er/d.png", (1, 1))
    later = fingerprint(folder)
    assert len({before, added, longer, later}) == 4
    (folder / "deep/er/d.png").unlink()
    assert fingerprint(folder) == before
