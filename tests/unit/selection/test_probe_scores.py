"""Candidates before the probe: evidence, what is borrowed, and alternatives. Worked values: hand calculation."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from handmade import TinyTarget, png, write_probe

from dnd.backends import embeddings
from dnd.backends.embedder import Embedder
from dnd.backends.embeddings import StoredEmbedder
from dnd.config.backends import EmbedderSettings
from dnd.config.stages import ScoreSettings
from dnd.io import halves, schemas, tables
from dnd.io.rows import Concept, Scales, Score
from dnd.io.store import Store
from dnd.selection import probe_scores, scores
from dnd.selection.components import DrawnCandidate
from dnd.selection.probe_scores import Probe, judged

AXES = {"red": (1, 0, 0), "star": (0, 1, 0), "grass": (0, 0, 1), "sea": (-1, 0, 0)}
SHARP = Scales(200.0, -100.0)
"""An image shows a concept or does not."""
WEIGHTS = {"precision": 0.5, "drawn": 0.25, "joining": 0.05}


def vectors(*names):
    return np.array([AXES.get(name, name) for name in names], np.float32).reshape(-1, 3)


def candidate(number, name, activations, votes=1, auc=0.9):
    """A candidate and what its images tell."""
    activations = np.array(activations, np.float32)
    concept = Concept("n", "s", 5, number, f"{name} things", votes, [], "captions")
    score = Score(5, number, concept.concept, "captions", votes, None, auc, 1 + auc, 1.0, 1.0)
    drawn = DrawnCandidate(concept, activations, vectors(*[name] * len(activations)))
    return drawn, score._replace(activations=activations.tolist())


RED, STAR = candidate(2, "red", [1, 0.5], votes=3, auc=0.8), candidate(4, "star", [1, 1])
GRASS = candidate(6, "grass", [0, 0])
RANDOM = ["red"] * 2 + ["star"] * 2 + ["grass"] * 6
"""What ten random images show."""


def seen(excited, *exemplars):
    """A probe of two red, two starry and six grassy random images, and the exemplars."""
    shows = {f"c{number}": name for number, name in enumerate(RANDOM)}
    shows |= {f"e{number}": name for number, name in enumerate(exemplars)}
    return Probe(
        sorted(name for name in shows if name[0] == "c"),
        {name: vectors(thing)[0] for name, thing in shows.items()},
        {5: {name: float(thing in excited) for name, thing in shows.items()}},
    )


def rows_of(candidates, excited, exemplars, join=2):
    names = [f"e{rank}" for rank in range(len(exemplars))]
    unit = probe_scores.of_unit(5, seen(excited, *exemplars), names, vectors(*exemplars))
    texts = {f"{name} things": vectors(name)[0] for name in AXES}
    settings = ScoreSettings(join=join, **WEIGHTS)
    return {
        score.concept: score._asdict() for score in judged(*zip(*candidates, strict=True), texts, unit, settings, SHARP)
    }


def best(found):
    return max(found.values(), key=lambda row: row["score"])["concept"]


def test_a_unit_for_two_things_gets_their_alternatives():
    found = rows_of([RED, STAR], {"red", "star"}, ["red", "star", "star", "red"])
    union, red = found["red things or star things"], found["red things"]
    assert best(found) == union["concept"]
    # 4 of 14 images are red, 8 excite the unit, all red ones among them
    assert red["correlation"] == pytest.approx(4 * 6 / np.sqrt(4 * 10 * 8 * 6))
    assert union["correlation"] == pytest.approx(1)
    assert (red["precision"], union["precision"]) == pytest.approx((1, 1))
    assert (red["parts"], red["shares"]) == (None, None)
    assert (union["parts"], union["shares"]) == ([2, 4], [0, 1, 1, 0])
    assert (union["candidate"], union["source"], union["rank_score"]) == (5, "union", None)


def test_evidence_by_hand():
    found = rows_of([RED, GRASS], {"red"}, ["red", "red", "star"])
    red, grass = found["red things"], found["grass things"]
    # of 13 images 4 are red, and these alone excite the unit; 6 show grass
    assert (red["correlation"], red["precision"]) == pytest.approx((1, 1))
    assert (grass["correlation"], grass["precision"]) == pytest.approx((-4 * 6 / np.sqrt(4 * 9 * 6 * 7), 0), abs=1e-6)
    # pictures excite the unit by 1, .5, 0, 0, of which the first two are red: deviations 5, 1, -3, -3 over 8
    assert red["drawn"] == pytest.approx(6 / np.sqrt(4 * (25 + 1 + 9 + 9) / 4))
    assert grass["drawn"] == pytest.approx(-red["drawn"])
    assert red["score"] == pytest.approx(0.25 * red["drawn"])
    assert grass["score"] == pytest.approx(1.5 * math.log(0.02) - 0.25 * red["drawn"])
    assert red["bimodality"] == grass["bimodality"] == pytest.approx(1)


def test_a_joined_concept_has_to_gain_something():
    found = rows_of([RED, STAR], {"red", "star"}, ["red", "star", "star", "red"])
    union = found["red things or star things"]
    assert union["drawn"] == 0  # every picture shows one of the two
    assert union["score"] == pytest.approx(-0.05)


def test_alternatives_are_as_strong_as_their_weakest_part():
    union = rows_of([RED, STAR], {"red", "star"}, ["red", "star", "star", "red"])["red things or star things"]
    assert (union["auc"], union["mad"], union["votes"]) == (0.8, 1.8, 3)
    assert union["activations"] == [1, 0.5, 1, 1]
    assert union["image_similarity"] == pytest.approx(1)  # every exemplar resembles one part wholly


def test_a_unit_for_one_thing_keeps_its_name():
    found = rows_of([RED, STAR], {"red"}, ["red", "red", "star"])  # one of its exemplars shows a star as well
    assert list(found) == ["red things", "star things"]  # the two together tell no more
    assert best(found) == "red things"


def test_concepts_that_hold_one_another_are_not_joined():
    """Half of what is starry is red, too: of a unit for both, the one holds no news beside the other."""
    joint = np.array([1, 1, 0]) / 2**0.5
    texts = {"red things": vectors("red")[0], "star things": joint.astype(np.float32)}
    unit = probe_scores.of_unit(5, seen({"red", "star"}, "red", "star"), ["e0", "e1"], vectors("red", "star"))
    found = judged(*zip(RED, STAR, strict=True), texts, unit, ScoreSettings(join=2, **WEIGHTS), SHARP)
    assert [score.concept for score in found] == ["red things", "star things"]


def test_three_parts_where_three_may_be_joined():
    sea, three = candidate(6, "sea", [1, 1]), ["red", "star", "sea"]
    found = rows_of([RED, STAR, sea], {*three}, three * 2, join=3)
    assert best(found) == "red things or star things or sea things"
    pairs = rows_of([RED, STAR, sea], {*three}, three * 2, join=2)
    assert [row["candidate"] for row in pairs.values()] == [2, 4, 6, 7, 8, 9]
    assert not any(row["parts"] for row in rows_of([RED, STAR, sea], {*three}, three, join=1).values())


def test_drawn_pictures_decide_between_what_always_goes_together():
    """All images of boats show water: on the probe the two are alike. The unit answers to pictures of boats alone."""
    boats, water = candidate(0, "red", [1, 1, 1], votes=1), candidate(1, "star", [0, 0, 0.1], votes=3)
    both = np.array([1, 1, 0], np.float32) / np.float32(2**0.5)
    shows = {f"c{number}": both if number < 3 else vectors("grass")[0] for number in range(10)}
    probe = Probe(sorted(shows), shows, {5: {name: float(vector[0] > 0) for name, vector in shows.items()}})
    unit = probe_scores.of_unit(5, probe, ["c0", "c1"], np.stack([both, both]))
    texts = {"red things": vectors("red")[0], "star things": vectors("star")[0]}
    found = judged(*zip(boats, water, strict=True), texts, unit, ScoreSettings(**WEIGHTS), SHARP)
    assert found[0].correlation == pytest.approx(found[1].correlation)
    assert found[0].precision == pytest.approx(found[1].precision)
    assert found[0].drawn > 0.9 > -0.9 > found[1].drawn
    assert found[0].score > found[1].score
    blind = judged(*zip(boats, water, strict=True), texts, unit, ScoreSettings(**WEIGHTS | {"drawn": 0}), SHARP)
    assert blind[0].score == pytest.approx(blind[1].score)


def borrowed(candidates, count=2, activations=None, texts=None, scales=SHARP):
    """What units borrow that are excited by red things and by stars."""
    shows = {f"c{number}": vectors(name)[0] for number, name in enumerate(RANDOM)}
    known = activations or {
        unit: {f"c{number}": float(name == excited) for number, name in enumerate(RANDOM)}
        for unit, excited in ((5, "red"), (6, "star"))
    }
    named = texts or {f"{name} things": vectors(name)[0] for name in AXES}
    return probe_scores.borrowed(Probe(sorted(shows), shows, known), named, candidates, count, scales)


def test_a_unit_borrows_what_fits_best_and_none_of_its_own():
    found = borrowed({5: ["grass things"], 6: ["star things"]})
    # no image shows the sea, least of all a red one
    # r with the one: red 1, star -.25, sea -1; with the other: sea .25, red -.25, grass -.61
    assert found == {5: ["red things", "star things"], 6: ["sea things", "red things"]}
    assert borrowed({5: ["grass things"], 6: ["star things"]}, count=1) == {5: ["red things"], 6: ["sea things"]}


def test_equal_fits_are_borrowed_by_name():
    texts = {f"{place} {name}": vectors(name)[0] for name in ("red", "star") for place in ("b", "c", "a")}
    assert borrowed({5: []}, count=2, texts=texts)[5] == ["a red", "b red"]


def test_what_is_borrowed_depends_neither_on_other_units_nor_on_how_concepts_are_dealt_out(monkeypatch):
    candidates = {5: ["grass things"], 6: ["star things"]}
    together = borrowed(candidates, count=3)
    assert borrowed(dict(reversed(candidates.items())), count=3) == together
    assert {unit: borrowed({unit: own}, count=3)[unit] for unit, own in candidates.items()} == together
    texts = {f"{name} things": vectors(name)[0] for name in reversed(AXES)}
    monkeypatch.setattr(probe_scores, "AT_ONCE", 1)
    assert borrowed(candidates, count=3, texts=texts) == together


def test_random_images_without_a_finite_activation_excite_least():
    known = {5: {f"c{number}": float(name != "grass") for number, name in enumerate(RANDOM) if name != "star"}}
    # starry images count like grass: what is left are red things
    assert borrowed({5: []}, count=1, activations=known)[5] == ["red things"]


def test_nothing_is_borrowed_where_nothing_may_be_or_no_image_is_random():
    assert borrowed({5: []}, count=0) == {5: []}
    empty = Probe([], {}, {5: {}})
    assert probe_scores.borrowed(empty, {"red": vectors("red")[0]}, {5: ["a"]}, 3, SHARP) == {5: []}


class Colours(Embedder):
    """Embeds images by their mean colour and texts by the colours they name."""

    def embed(self, images):
        found = np.array([np.asarray(image).reshape(-1, 3).mean(0) for image in images], np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def embed_texts(self, texts):
        found = np.array([[name in text for name in ("red", "green", "blue")] for text in texts], np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def flat(*colour):
    return png(np.full((8, 8, 3), colour))


CHOOSING = [name for name in (f"{number}.png" for number in range(40)) if halves.chooses(name)]
JUDGING = [name for name in (f"{number}.png" for number in range(40)) if not halves.chooses(name)]
COLOURS = {name: (200, 0, 0) for name in CHOOSING[:2]} | {name: (0, 200, 0) for name in CHOOSING[2:4]}
COLOURS |= {name: (0, 0, 200) for name in CHOOSING[4:8]} | {name: (9, 9, 9) for name in JUDGING[:3]}
NAMES = sorted(COLOURS)
SHOWN = {0: CHOOSING[0], 1: CHOOSING[2], 2: CHOOSING[4]}
"""Unit -> its exemplar."""


@pytest.fixture
def run(tmp_path):
    """A function that scores red, green and blue things for units of the red, the green and the blue channel."""
    probe = write_probe(tmp_path / "probe.parquet", {name: flat(*colour) for name, colour in COLOURS.items()})
    topk = [
        dict.fromkeys(schemas.TOPK.names)
        | {"unit": unit, "image_ids": [image], "activations": [200 / 255]}
        | {"controls": [COLOURS[name][unit] / 255 for name in NAMES]}
        for unit, image in SHOWN.items()
    ]
    topk[1]["controls"][NAMES.index(CHOOSING[7])] = float("nan")
    tables.write(tmp_path / "topk.parquet", tables.table(topk, schemas.TOPK), schemas.TOPK)
    colours = {"red things": (250, 0, 0), "green things": (0, 250, 0), "blue things": (0, 0, 250)}
    drawn = [
        {"concept": concept, "sample": sample, "seed": 0, "key": "", "problem": None, "image": flat(*colour)}
        for concept, colour in colours.items()
        for sample in range(2)
    ]
    tables.write(tmp_path / "images.parquet", tables.table(drawn, schemas.IMAGES), schemas.IMAGES)

    def scored(*units, embedder=None, borrow=0, named=("red things", "green things"), described=None, **options):
        shown = [
            {"unit": unit, "rank": 0, "image_id": SHOWN[unit], "box": None, "activation": 1.0, "heatmap": None}
            | {"heatmap_box": None}
            for unit in units
        ]
        concepts = [
            Concept("n", "s", unit, i, concept, 2 - i, [], "captions")
            for unit in (units if described is None else described)
            for i, concept in enumerate(named)
        ]
        return scores.run(
            TinyTarget(8),
            "colour",
            embedder or Colours(),
            scores.DrawnShard(
                concepts,
                [tmp_path / "images.parquet"],
                tables.table(shown, schemas.EXEMPLARS),
                tmp_path / "topk.parquet",
                [probe],
                list(colours),
            ),
            pooling="mean",
            weights=ScoreSettings(borrow=borrow),
            **{"texts": Colours(), "scales": SHARP} | options,
        ).to_pylist()

    return SimpleNamespace(scored=scored, folder=tmp_path, probe=probe)


def leading(found):
    return {
        unit: max((row for row in found if row["unit"] == unit), key=lambda row: row["score"])
        for unit in {row["unit"] for row in found}
    }


def test_the_probe_decides_between_candidates(run):
    found = run.scored(0, 1)
    best = leading(found)
    assert [best[unit]["concept"] for unit in (0, 1)] == ["red things", "green things"]
    assert [row["correlation"] for row in best.values()] == pytest.approx([1, 1])
    # 2 of the 8 images that choose are green, 2 others excite the unit
    other = next(row for row in found if (row["unit"], row["concept"]) == (0, "green things"))
    assert other["correlation"] == pytest.approx(-1 / 3)


def test_a_unit_whose_answers_missed_its_concept_borrows_it(run):
    missed = run.scored(2)
    assert {row["concept"] for row in missed} == {"red things", "green things"}
    best = leading(run.scored(2, borrow=1))[2]
    assert (best["concept"], best["source"], best["votes"], best["candidate"]) == ("blue things", "layer", 0, 2)
    assert best["correlation"] == pytest.approx(1)


@pytest.mark.parametrize("borrow", [0, 5])
def test_shards_change_no_score(run, borrow):
    together = run.scored(0, 1, 2, borrow=borrow)
    assert together == [row for unit in (0, 1, 2) for row in run.scored(unit, borrow=borrow)]


def test_units_without_candidates_are_passed_over(run):
    """All their answers were malformed: they have exemplars and no concepts."""
    assert run.scored(0, 1, described=[1]) == run.scored(1)


def test_weighing_needs_someone_who_reads_the_candidates(run):
    with pytest.raises(ValueError, match=r"`combination: evidence` needs an embedder that reads texts, and its scales"):
        run.scored(0, texts=None)


def test_the_probe_is_read_for_the_units_that_are_asked_about(run):
    found = probe_scores.read(Colours(), run.folder / "topk.parquet", [run.probe], {1: [CHOOSING[2]]})
    assert set(found.activations) == {1}
    expected = {name: COLOURS[name][1] / 255 for name in CHOOSING[:7]}  # finite ones of the half that chooses
    assert found.activations[1] == pytest.approx(expected)
    assert found.controls == sorted(CHOOSING[:8])
    assert found.vectors[CHOOSING[7]] == pytest.approx([0, 0, 1])


def test_an_exemplar_of_the_other_half_counts_where_all_images_may_be_exemplars(run):
    topk = tables.read(run.folder / "topk.parquet", schemas.TOPK).to_pylist()[:1]
    topk[0] |= {"image_ids": [JUDGING[0]], "activations": [0.5]}
    tables.write(run.folder / "topk.parquet", tables.table(topk, schemas.TOPK), schemas.TOPK)
    found = probe_scores.read(Colours(), run.folder / "topk.parquet", [run.probe], {0: [JUDGING[0]]})
    assert set(found.activations[0]) == {*CHOOSING[:8], JUDGING[0]}
    assert JUDGING[0] not in found.controls


def test_random_images_and_those_of_a_concept_are_embedded_once_for_all_units(run, tmp_path, monkeypatch):
    shown = []

    class Counting(Colours):
        def __init__(self, settings):
            pass

        def embed(self, images):
            shown.append(len(images))
            return super().embed(images)

    monkeypatch.setattr(embeddings, "TransformersEmbedder", Counting)
    stored = StoredEmbedder(EmbedderSettings(model=str(tmp_path)), Store(tmp_path / "store"))
    assert run.scored(0, embedder=stored) == run.scored(0)
    assert sorted(shown) == [1, 2, 2, 8]  # the exemplar, images of either concept, all random images that choose
    shown.clear()
    assert run.scored(1, embedder=stored) == run.scored(1)
    assert shown == [1]  # its exemplar
