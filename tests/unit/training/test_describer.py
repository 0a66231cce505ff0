"""The embedded describer of MILAN: its annotations, its exemplars, and what it says of a planted unit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from handmade import png, write_probe
from tiny_describer import FEATURES, tiny
from tiny_models import one_thread  # noqa: F401

from dnd.config import known_answers
from dnd.config.rivals import MilanRecipe
from dnd.config.targets import TargetSettings
from dnd.evaluation import agreement
from dnd.rivals import milan, milan_files, thresholds
from dnd.shapeworld.grammar import parse
from dnd.shapeworld.world import conjunction, everything
from dnd.target import activations, sources
from training import annotations, describer
from training.exemplar_sets import Maps, Unit

MODELS = Path("resources/shapeworld")


def test_every_annotation_denotes_the_concept():
    rng = np.random.default_rng(0)
    concepts = [(words,) for words in annotations.conjunctions()] + annotations.disjunctions(40, rng)
    for clauses in concepts:
        truth = np.logical_or.reduce([conjunction(words) for words in clauses])
        for _ in range(6):
            text = annotations.annotation(clauses, rng)
            assert np.array_equal(parse(text), truth), (clauses, text)
    assert all(np.array_equal(parse(text), everything()) for text in annotations.NOTHING)


def test_annotators_differ():
    rng = np.random.default_rng(0)
    said = {annotations.annotation((("purple", "dotted", "boxy"),), rng) for _ in range(60)}
    assert "purple dotted boxy objects" in said and len(said) > 5


def test_held_out_concepts_are_not_trained_on():
    units = [Unit("a", i, "conjunction", (words,)) for i, words in enumerate(annotations.conjunctions()[26:86])]
    units += [
        Unit("a", 100 + i, "single", ((word,),)) for i, word in enumerate(("red", "blue", "star", "ring", "sand"))
    ]
    out = describer.held_out(units)
    assert sorted(unit.kind for unit in out) == ["conjunction"] * 12 + ["single"]
    one = next(unit for unit in out if unit.kind == "conjunction")
    single = next(unit for unit in out if unit.kind == "single")
    reversed_words = (tuple(reversed(one.clauses[0])),)
    assert not describer.spared(one, out) and not describer.spared(single, out)
    assert not describer.spared(Unit("b", 7, "conjunction", one.clauses), out)
    assert not describer.spared(Unit("b", None, "made", reversed_words), out)
    assert describer.spared(Unit("b", 7, "single", single.clauses), out)  # every network has it


def test_maps_put_together_from_planted_ones():
    units = [Unit("a", i, "single", ((word,),)) for i, word in enumerate(("red", "star", "sand"))]
    maps = torch.zeros(2, 3, 2, 2)
    maps[:, 0, 0] = 1.0  # red above
    maps[:, 1, :, 0] = 0.5  # star on the left
    maps[1, 2, 1] = 1.0  # sand below, in the second image
    of = Maps(maps, torch.zeros(2, 1), units, torch.tensor([1.0, 0.5, 1.0]))
    assert of(Unit("a", None, "made", (("red", "star"),)))[0].tolist() == [[1, 0], [0, 0]]
    assert of(Unit("a", None, "made", (("red",), ("star",))))[0].tolist() == [[1, 1], [1, 0]]
    assert of(Unit("a", None, "made", (("red", "sand"),))).tolist() == [[[0, 0], [0, 0]], [[1, 1], [0, 0]]]


def test_scaled_features_change_nothing():
    model, features = tiny(), torch.randn(2, 4, FEATURES)
    scale = torch.rand(FEATURES) + 0.5
    tokens = torch.tensor([[0, 1, 2], [3, 1, 0]])
    before, _ = model(features / scale, tokens)
    describer.scaled(model, scale)
    torch.testing.assert_close(model(features, tokens)[0], before, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not (MODELS / "describer").is_dir(), reason="the describer is not trained yet")
def test_the_embedded_describer_describes_planted_units(tmp_path):
    from dnd.shapeworld.render import draw

    answers = known_answers.load(MODELS / "target" / "units.json")["concepts"]
    words = {unit: answer.words for unit, answer in answers.items()}
    wanted = [unit for unit in words if words[unit] in ((("blue",),), (("ring",),), (("snow",),))]
    images = {f"{i:03}.png": png(draw(2, i)[1]) for i in range(300)}
    probe = [write_probe(tmp_path / "probe.parquet", images)]
    settings = TargetSettings(
        source="python",
        factory="dnd.shapeworld.target:load",
        arguments={"folder": str(MODELS / "target")},
        preprocess=MODELS / "target" / "preprocess.json",
    )
    target = sources.load(settings)
    parts = activations.run(target, {"layer": "concepts"}, probe[0], [], pooling="max", k=15)
    best = {row["unit"]: row["image_ids"] for row in parts[0].to_pylist() if row["unit"] in wanted}
    maps = thresholds.Maps(target, "concepts", probe, wanted)
    recipe = MilanRecipe(method="milan", describer=MODELS / "describer", beam=10)
    levels = thresholds.thresholds(maps, 0.01)
    found = milan.run(maps, best, levels, milan_files.load(recipe.describer), recipe)
    labels = {row["unit"]: row["concept"] for row in found.to_pylist() if row["candidate"] == 0}
    exact = [agreement.agreement(labels[unit], conjunction(words[unit][0]))[agreement.EXACT] for unit in wanted]
    assert exact == [1.0, 1.0, 1.0], labels
