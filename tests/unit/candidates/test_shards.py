"""Shards of units: read from the tables of a job, and asked about with what each unit looks like."""

import json

import pytest

from dnd.backends.messages import Answer
from dnd.candidates import shards
from dnd.config.recipes import Recipe
from dnd.io import rows, schemas, tables


def concept(slug, unit, number=0):
    return rows.Concept("n", slug, unit, number, f"{slug} {unit} {number}", 1, [0], "captions")


def test_candidates_of_some_units_of_a_layer_are_read(tmp_path):
    path = tmp_path / "concepts.parquet"
    written = [concept("a", 0), concept("a", 1), concept("a", 1, 1), concept("a", 7), concept("b", 1)]
    tables.write(path, tables.table(written, schemas.CONCEPTS), schemas.CONCEPTS)
    assert shards.read_concepts(path, "n", "a", "1-3,7") == written[1:4]
    assert shards.read_concepts(path, "other", "a", "1") == []


@pytest.fixture
def shard(tmp_path):
    """Units 3 and 5, each with two exemplars that have captions."""
    exemplars = [
        rows.Exemplar(unit, rank, f"{unit}{rank}.png", [0, 0, 4, 4] if rank else None, 1.0)
        for unit in (5, 3)
        for rank in (1, 0)
    ]
    captions = [rows.Caption(row.image_id, row.box, f"picture {row.image_id}") for row in exemplars]
    files = [tmp_path / "exemplars.parquet", tmp_path / "captions.parquet"]
    tables.write(files[0], tables.table(exemplars, schemas.EXEMPLARS), schemas.EXEMPLARS)
    tables.write(files[1], tables.table(captions, schemas.CAPTIONS), schemas.CAPTIONS)
    return shards.read("n", "s", *files)


def test_every_unit_is_asked_about_with_its_own_captions(shard, tmp_path):
    prompt = tmp_path / "prompt.yaml"
    prompt.write_text("- {role: user, content: \"{{ captions | join(', ') }}\"}\n")
    recipe = Recipe(captions={"model": "owner/captioner"}, concepts={"prompt": prompt, "samples": 2})
    asked = []

    def ask(requests):
        asked.extend(request.messages[0]["content"] for request in requests)
        return [Answer(f"thing {number // 2}") for number, _ in enumerate(requests)]

    named, answers = shards.concepts([shard], recipe, ask)
    assert [sorted(text.split(", ")) for text in asked] == [["picture 30.png", "picture 31.png"]] * 2 + [
        ["picture 50.png", "picture 51.png"]
    ] * 2
    assert [(row["unit"], row["concept"], row["votes"]) for row in named.to_pylist()] == [
        (3, "thing 0", 2),
        (5, "thing 1", 2),
    ]
    prompts = [json.loads(text)[0]["content"] for text in answers["prompt"].to_pylist()]
    assert prompts == asked


def test_known_answers_are_those_of_the_layers_that_are_asked_for(tmp_path):
    path = tmp_path / "known.json"
    red = [{"unit": 1, "kind": "single", "words": [["red"]], "label": "red objects"}]
    dead = [{"unit": 2, "kind": "dead", "words": [], "label": ""}]
    path.write_text(json.dumps({"fc": red + dead, "other": red}))
    assert shards.known_answers(path, {"fc-slug": "fc"}) == {("fc-slug", 1): "red objects"}
