"""The shape world's own sets of concepts."""

from pathlib import Path

import pytest

from dnd.rivals.concept_sets import read
from dnd.shapeworld.grammar import parse
from dnd.shapeworld.world import iou
from training import concept_sets
from training.planting import class_units, planted_units

RESOURCES = Path(__file__).parents[3] / "resources" / "shapeworld"


@pytest.mark.parametrize(
    ("file", "arguments"),
    [
        ("concepts.txt", []),
        ("concepts-either.txt", ["--either"]),
        ("concepts-half.txt", ["--share", "0.5"]),
        ("concepts-fifth.txt", ["--share", "0.2"]),
        ("concepts-words.txt", ["--words"]),
    ],
)
def test_the_files_of_the_world_are_what_the_command_writes(tmp_path, file, arguments):
    assert concept_sets.main([str(tmp_path / file), *arguments]) == 0
    kept = (tmp_path / file).read_text()
    assert kept == (RESOURCES / file).read_text()
    assert read(tmp_path / file) == kept.splitlines()


def test_incomplete_sets_are_parts_of_the_whole_one():
    whole = concept_sets.conjunctions()
    half, fifth = (concept_sets.some(whole, share) for share in (0.5, 0.2))
    assert set(fifth) < set(half) < set(whole)
    assert [len(half) / len(whole), len(fifth) / len(whole)] == pytest.approx([0.5, 0.2], abs=0.05)
    assert set(concept_sets.some(whole[::2], 0.5)) == set(whole[::2]) & set(half)  # whatever else there is


def test_single_words_have_one_attribute():
    words = concept_sets.words()
    assert len(words) == 6 + 3 + 6 + 5 + 6  # values of four attributes, and groups
    assert {"red objects", "stars", "warm colours", "sand backgrounds"} < set(words)
    assert not {"red stars", "red objects or stars"} & set(words)


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
