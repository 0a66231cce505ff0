"""What every source of probe images answers."""

import pytest

from dnd.config.targets import ProbeSettings
from dnd.probe.source import unread, why
from dnd.probe.sources import Folder


def test_formats_that_are_not_read_are_told_in_any_spelling():
    assert unread("a/photo.JXL").startswith(".jxl files are not read: convert the image to PNG or JPEG")
    assert unread("photo.jpg") is None and unread("notes.txt") is None


def test_a_reason_is_one_line():
    assert why(FileNotFoundError(2, "No such file or directory", "x")) == "No such file or directory"
    assert why(ValueError("two\nlines")) == "two lines"
    assert why(KeyError()) == "KeyError"


def test_a_setting_is_named_in_an_error(tmp_path):
    source = Folder("photos", ProbeSettings(source="folder", path=tmp_path))
    assert str(source.error("label", "is none")) == "probes.photos.label: is none"
    with pytest.raises(ValueError, match=r"^probes\.photos\.path: .* holds no pictures \(\.png\)$"):
        source.listing([".png"], "pictures")
    assert source.revisions() == {}


def test_a_path_to_a_file_lies_in_its_folder(tmp_path):
    (tmp_path / "a.png").touch()
    assert Folder("photos", ProbeSettings(source="folder", path=tmp_path / "a.png")).folder == tmp_path
