"""Candidates before the probe: evidence of each, and of alternatives. Worked values: hand calculation."""

from types import SimpleNamespace

import numpy as np
import pytest
from handmade import TinyTarget, png, write_probe

from dnd.backends import embeddings
from dnd.backends.embedder import Embedder
from dnd.backends.embeddings import StoredEmbedder
from dnd.config.backends import EmbedderSettings
from dnd.config.stages import ScoreSettings
from dnd.io import schemas, tables
from dnd.io.rows import Concept, Score
from dnd.io.store import Store
from dnd.selection import probe_scores, scores
from dnd.selection.components import DrawnCandidate
from dnd.selection.probe_scores import Probe, judged
from dnd.selection.verdict import Verdict

AXES = {"red": (1, 0, 0), "star": (0, 1, 0), "grass": (0, 0, 1), "sea": (-1, 0, 0)}
SHARP = {"scale": 200.0, "bias": -100.0}
"""An image shows a concept or does not."""
VERDICT = {
    "weights": {"fit": 6.0, "gap": 1.0, "votes": 0.5, "joined": -0.4},
    "intercept": -4.0,
    "slope": 1.0,
    "offset": 0.0,
    "least_confidence": 0.1,
    "fitted_on": {},
}


def vectors(*names):
    return np.array([AXES[name] for name in names], np.float32).reshape(-1, 3)


def candidate(number, name, activations, votes=1, auc=0.9):
    """A candidate and what its images tell."""
    activations = np.array(activations, np.float32)
    concept = Concept("n", "s", 5, number, f"{name} things", votes, [], "captions")
    score = Score(5, number, concept.concept, "captions", votes, 0, auc, 1 + auc, 1.0, 1.0)
    drawn = DrawnCandidate(concept, votes / 4, activations, vectors(*[name] * len(activations)))
    return drawn, score._replace(activations=activations.tolist())


RED, STAR = candidate(2, "red", [1, 0.5], votes=3, auc=0.8), candidate(4, "star", [1, 1])
GRASS = candidate(6, "grass", [0, 0])


def seen(excited, *exemplars):
    """A probe of two red, two starry and six grassy random images, and the exemplars."""
    random = ["red"] * 2 + ["star"] * 2 + ["grass"] * 6
    shows = {f"c{number}": name for number, name in enumerate(random)}
    shows |= {f"e{number}": name for number, name in enumerate(exemplars)}
    return Probe(
        {name: vectors(one)[0] for name, one in shows.items()},
        frozenset(name for name in shows if name[0] == "c"),
        {5: {name: float(one in excited) for name, one in shows.items()}},
    )


def rows_of(candidates, excited, exemplars, join=2, **weights):
    names = [f"e{rank}" for rank in range(len(exemplars))]
    settings = ScoreSettings(verdict="v.json", join=join, **weights or SHARP)
    unit = probe_scores.of_unit(5, seen(excited, *exemplars), names, vectors(*exemplars))
    texts = {f"{name} things": vectors(name)[0] for name in AXES}
    scored = judged(*zip(*candidates, strict=True), texts, unit, settings, Verdict(**VERDICT))
    return {score.concept: score._asdict() for score in scored}


def best(found):
    return max(found.values(), key=lambda row: row["score"])["concept"]


def test_a_unit_for_two_things_gets_their_alternatives():
    found = rows_of([RED, STAR], {"red", "star"}, ["red", "star", "star", "red"])
    union, red = found["red things or star things"], found["red things"]
    assert best(found) == union["concept"]
    # 4 of 14 images are red, 8 excite the unit, all red ones among them
    assert red["fit"] == pytest.approx(4 * 6 / np.sqrt(4 * 10 * 8 * 6))
    assert (union["fit"], red["hard"], union["hard"]) == (pytest.approx(1), pytest.approx(1), pytest.approx(1))
    assert (red["gap"], union["gap"]) == (0, 1)  # more than a twentieth of what is not red excites the unit
    assert (red["parts"], red["shares"]) == (None, None)
    assert (union["parts"], union["shares"]) == ([2, 4], [0, 1, 1, 0])
    assert (union["candidate"], union["source"], union["rank_score"]) == (5, "union", None)


def test_alternatives_are_as_strong_as_their_weakest_part():
    union = rows_of([RED, STAR], {"red", "star"}, ["red", "star", "star", "red"])["red things or star things"]
    assert (union["auc"], union["mad"], union["votes"]) == (0.8, 1.8, 3)
    assert union["agreement"] == pytest.approx(0.75)  # of red things
    assert union["activations"] == [1, 0.5, 1, 1]
    assert union["image_similarity"] == pytest.approx(1)  # every exemplar resembles one part wholly


def test_scores_are_the_log_odds_of_the_verdict():
    found = rows_of([RED, STAR], {"red", "star"}, ["red", "star", "star", "red"])
    assert found["star things"]["score"] == pytest.approx(6 * found["star things"]["fit"] + 0.5 * 1 / 4 - 4)
    assert found["red things or star things"]["score"] == pytest.approx(6 + 1 + 0.5 * 3 / 4 - 0.4 - 4)


def test_a_unit_for_one_thing_keeps_its_name():
    found = rows_of([RED, STAR], {"red"}, ["red", "red", "star"])  # one of its exemplars shows a star as well
    assert list(found) == ["red things", "star things"]  # the two together fit no better
    assert found["red things"]["fit"] == pytest.approx(1)


def test_a_part_that_no_exemplar_shows_best_is_not_joined():
    found = rows_of([RED, STAR, GRASS], {"red", "star"}, ["red", "star"], join=3)
    assert [name for name in found if " or " in name] == ["red things or star things"]


def test_three_parts_where_three_may_be_joined():
    sea, three = candidate(6, "sea", [1, 1]), ["red", "star", "sea"]
    found = rows_of([RED, STAR, sea], {*three}, three * 2, join=3)
    assert best(found) == "red things or star things or sea things"
    pairs = rows_of([RED, STAR, sea], {*three}, three * 2, join=2)
    assert [row["candidate"] for row in pairs.values()] == [2, 4, 6, 7, 8, 9]
    assert not any(row["parts"] for row in rows_of([RED, STAR, sea], {*three}, three, join=1).values())


def test_without_a_calibration_the_concept_s_own_images_say_what_showing_it_is():
    exemplars = ["red", "star", "star", "red"]
    sharp = rows_of([RED, STAR], {"red", "star"}, exemplars)
    ramped = rows_of([RED, STAR], {"red", "star"}, exemplars, scale=None, bias=None)
    # its own images have a cosine of 1, those that do not show it one of 0, below the random images' mean of .2
    assert {name: row["fit"] for name, row in ramped.items()} == pytest.approx(
        {name: row["fit"] for name, row in sharp.items()}
    )


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


@pytest.fixture
def run(tmp_path):
    """A function that scores red and green things for units of the red and of the green channel."""
    colours = {"a.png": (200, 0, 0), "b.png": (0, 200, 0), "c.png": (0, 0, 200), "d.png": (0, 0, 100)}
    names = sorted(colours)
    probe = write_probe(tmp_path / "probe.parquet", {name: flat(*colour) for name, colour in colours.items()})
    topk = [
        dict.fromkeys(schemas.TOPK.names)
        | {"unit": unit, "image_ids": [names[unit]], "activations": [200 / 255]}
        | {"controls": [colours[name][unit] / 255 for name in names]}
        for unit in (0, 1)
    ]
    topk[1]["controls"][3] = float("nan")
    tables.write(tmp_path / "topk.parquet", tables.table(topk, schemas.TOPK), schemas.TOPK)
    drawn = [
        {"concept": concept, "sample": sample, "seed": 0, "key": "", "problem": None, "image": flat(*colour)}
        for concept, colour in {"red things": (250, 0, 0), "green things": (0, 250, 0)}.items()
        for sample in range(2)
    ]
    tables.write(tmp_path / "images.parquet", tables.table(drawn, schemas.IMAGES), schemas.IMAGES)
    (tmp_path / "verdict.json").write_text(Verdict(**VERDICT).model_dump_json())

    def scored(*units, embedder=None, **options):
        shown = [
            {"unit": unit, "rank": 0, "image_id": names[unit], "box": None, "activation": 1.0, "heatmap": None}
            | {"heatmap_box": None}
            for unit in units
        ]
        concepts = [
            Concept("n", "s", unit, i, concept, 2 - i, [], "captions")
            for unit in units
            for i, concept in enumerate(("red things", "green things"))
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
            ),
            pooling="mean",
            weights=ScoreSettings(verdict=tmp_path / "verdict.json", **SHARP),
            **options,
        ).to_pylist()

    return SimpleNamespace(scored=scored, folder=tmp_path, probe=probe)


def test_the_probe_decides_between_candidates(run):
    found = run.scored(0, 1, texts=Colours())
    leading = {
        unit: max((row for row in found if row["unit"] == unit), key=lambda row: row["score"]) for unit in (0, 1)
    }
    assert [leading[unit]["concept"] for unit in (0, 1)] == ["red things", "green things"]
    assert [row["fit"] for row in leading.values()] == pytest.approx([1, 1])
    assert leading[0]["agreement"] == 1  # 250 against the exemplar's 200
    # one of the four images shows green, another excites the unit
    other = next(row for row in found if (row["unit"], row["concept"]) == (0, "green things"))
    assert other["fit"] == pytest.approx(-1 / 3)


def test_shards_change_no_score(run):
    assert run.scored(0, 1, texts=Colours()) == run.scored(0, texts=Colours()) + run.scored(1, texts=Colours())


def test_weighing_needs_someone_who_reads_the_candidates(run):
    with pytest.raises(ValueError, match=r"`scores\.verdict` needs an embedder that reads texts"):
        run.scored(0)


def test_the_probe_is_read_for_the_units_that_are_asked_about(run):
    seen = probe_scores.read(Colours(), run.folder / "topk.parquet", [run.probe], {1: ["b.png"]})
    assert set(seen.activations) == {1}
    assert seen.activations[1] == pytest.approx({"a.png": 0, "b.png": 200 / 255, "c.png": 0})  # finite ones
    assert seen.controls == {"a.png", "b.png", "c.png", "d.png"}
    assert seen.vectors["d.png"] == pytest.approx([0, 0, 1])


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
    assert run.scored(0, texts=Colours(), embedder=stored) == run.scored(0, texts=Colours())
    assert sorted(shown) == [1, 2, 2, 4]  # the exemplar, images of either concept, all random images
    shown.clear()
    assert run.scored(1, texts=Colours(), embedder=stored) == run.scored(1, texts=Colours())
    assert shown == [1]  # its exemplar
