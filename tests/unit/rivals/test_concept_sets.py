"""Concept sets: text files as they are published, the shape world's own, and random labels from them."""

from pathlib import Path

import pytest

from dnd.rivals import concept_sets
from dnd.rivals.concept_sets import ConceptSetError
from dnd.shapeworld.grammar import parse
from dnd.shapeworld.world import iou
from training.planting import class_units, planted_units

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


@pytest.mark.parametrize(("file", "arguments"), [("concepts.txt", []), ("concepts-either.txt", ["--either"])])
def test_the_files_of_the_world_are_what_the_command_writes(tmp_path, file, arguments):
    assert concept_sets.main([str(tmp_path / file), *arguments]) == 0
    kept = (tmp_path / file).read_text()
    assert kept == (RESOURCES / file).read_text()
    assert concept_sets.read(tmp_path / file) == kept.splitlines()


def test_the_world_has_one_right_answer_for_every_unit_of_one_concept():
    right = {}
    for label in concept_sets.conjunctions():
        right.setdefault(parse(label).tobytes(), []).append(label)
    for unit in [*planted_units(), *class_units()]:
        if len(unit.words) == 1:
            assert right[unit.extension().tobytes()] == [unit.label]


def test_disjunctions_hold_right_answers_for_units_of_two_values():
    meanings = [parse(label) for label in concept_sets.disjunctions()]
    for unit in planted_units():
        if len(unit.words) == 2 and all(len(words) == 1 for words in unit.words):
            assert max(iou(meaning, unit.extension()) for meaning in meanings) == 1
