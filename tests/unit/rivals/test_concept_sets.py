"""Concept sets: text files as they are published."""

from pathlib import Path

import pytest

from dnd.rivals import concept_sets
from dnd.rivals.concept_sets import ConceptSetError

RESOURCES = Path(__file__).parents[3] / "resources" / "shapeworld"


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / "concepts.txt"
        path.write_bytes(content)
        return path

    return write


def test_one_concept_a_line_in_order(written):
    path = written("\ufeffdog\r\n\r\n  red car \n dog\nZürich\n   \ncat".encode())
    assert concept_sets.read(path) == ["dog", "red car", "Zürich", "cat"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n \n", "holds no concept"),
        (b"dog\ncat\n\xff\xfe\n", "line 3: no UTF-8"),
        (b"dog\ncat\x00fish\n", "concept 2"),
    ],
)
def test_other_files_are_told_apart(written, content, message):
    with pytest.raises(ConceptSetError, match=message):
        concept_sets.read(written(content))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ConceptSetError, match=r"none\.txt cannot be read"):
        concept_sets.read(tmp_path / "none.txt")
