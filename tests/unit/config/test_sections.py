"""What all sections of the configuration share."""

import pytest
from pydantic import TypeAdapter, ValidationError

from dnd.config.sections import File, FileOrFolder, Folder, Number, Settings, is_path


class Section(Settings):
    count: int = 1
    seed: int = 0
    share: Number = 0.5


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("counts", 1, "Extra inputs"),
        ("count", 10_000_001, "must not exceed 10,000,000"),
        ("share", float("nan"), "finite number"),
        ("share", "half", "valid number"),
    ],
)
def test_slips_are_refused(key, value, message):
    with pytest.raises(ValidationError, match=message):
        Section.model_validate({key: value})


def test_numbers_as_yaml_leaves_them():
    assert Section.model_validate({"share": "1e-3", "seed": 2**40}).share == 0.001


def test_paths_are_looked_at_where_that_is_asked_for(tmp_path):
    file = tmp_path / "a.txt"
    file.touch()
    for kind, path, told in (
        (File, tmp_path, "is no file, as this needs"),
        (Folder, file, "is no folder, as this needs"),
        (FileOrFolder, tmp_path / "b", "does not exist"),
    ):
        assert TypeAdapter(kind).validate_python(path) == path
        with pytest.raises(ValidationError, match=told):
            TypeAdapter(kind).validate_python(path, context={"paths": True})
    assert TypeAdapter(File).validate_python(file, context={"paths": True}) == file


@pytest.mark.parametrize(("name", "is_one"), [("owner/name", False), ("./name", True), ("a/b/c", True), ("~/x", True)])
def test_a_hub_id_is_no_path(name, is_one):
    assert is_path(name) == is_one
