"""The rule on activations made by hand, and whole rounds with a painter of colours; red, green and blue are units."""

from functools import partial
from itertools import combinations

import numpy as np
import pytest
from handmade import TinyTarget, png, write_probe
from PIL import Image
from scipy.stats import mannwhitneyu

from dnd.backends.embedder import Embedder
from dnd.backends.generator import Drawn
from dnd.config.backends import GeneratorSettings
from dnd.config.stages import ScoreSettings, StoppingSettings
from dnd.io import schemas, tables
from dnd.io.rows import Concept, Controls
from dnd.io.store import Store
from dnd.selection import images, scores, stopping

GENERATOR = GeneratorSettings(model="owner/model", images=6, prompt="{concept}")
HUES = {"red": (1, 0, 0), "rose": (1, 0, 0), "green": (0, 1, 0), "grey": (1, 1, 1), "dark red": (0.2, 0, 0)}


def values(*numbers):
    return np.array(numbers, np.float32)


class Painter:
    """Paints the named colour, as bright as the seed says, between half and all; what has no colour is black."""

    def __init__(self, fail_after=None):
        self.drawn, self.fail_after = [], fail_after

    def draw(self, prompts, seeds):
        if self.fail_after is not None and len(self.drawn) >= self.fail_after:
            raise KeyboardInterrupt
        self.drawn += zip(prompts, seeds, strict=True)
        pixels = [
            np.array(HUES.get(prompt, (0, 0, 0))) * (128 + seed % 128)
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
        pictures = [Image.new("RGB", (64, 64), tuple(pixel.astype(int))) for pixel in pixels]
        return [Drawn(one, None if one.getbbox() else "black") for one in pictures]


def rows(candidates):
    return [
        Concept("n", "s", unit, i, concept, 1, [0], "captions")
        for unit, concepts in candidates.items()
        for i, concept in enumerate(concepts)
    ]


def run(folder, candidates, painter=None, settings=None, generator=GENERATOR):
    draw = partial(images.draw, painter or Painter(), settings=generator, store=Store(folder))
    units = stopping.contests(rows(candidates), [Controls(unit, None, [0.5, 0.0]) for unit in range(3)])
    drawings = stopping.Drawings(TinyTarget(), "colour", [contest.unit for contest in units], "mean", draw)
    drawn, counted = stopping.run(units, drawings, settings or StoppingSettings(), generator.images)
    assert (drawn.schema, counted.schema) == (schemas.IMAGES, schemas.DRAWN)
    return drawn, counted.to_pylist()


def asked(counted, unit):
    return {row["concept"]: row["images"] for row in counted if row["unit"] == unit}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((5, 6), (1, 2), 1 / 6),
        ((5, 6, 7), (1, 2, 3), 1 / 20),
        ((5, 6, 7, 8), (1, 2, 3, 4), 1 / 70),
        ((2, 6), (1, 5), 2 / 6),  # ranks 2 and 4: so are 6 or more those of {2, 4} and {3, 4}
        ((1, 2), (5, 6), 1.0),
        ((3, 3), (3, 3), 1.0),
        ((3, 4), (3, 3), 3 / 6),  # the 4 is in the first sample
        ((), (1, 2), 1.0),
    ],
)
def test_chance_counts_the_ways_to_part_the_values(first, second, expected):
    assert stopping.chance(values(*first), values(*second)) == pytest.approx(expected)


def test_chance_agrees_with_scipy_and_with_plain_counting():
    random = np.random.default_rng(0)
    for n, m in ((2, 3), (5, 4), (8, 8)):
        first, second = random.normal(0.5, 1, n).astype(np.float32), random.normal(0, 1, m).astype(np.float32)
        expected = mannwhitneyu(first, second, alternative="greater", method="exact").pvalue
        assert stopping.chance(first, second) == pytest.approx(expected)
    first, second = random.integers(0, 4, 5).astype(np.float32), random.integers(0, 4, 4).astype(np.float32)
    pooled = np.concatenate([first, second])
    above = (pooled[:, None] > pooled).sum(1) + 0.5 * (pooled[:, None] == pooled).sum(1)  # a rank, but for a constant
    sums = [above[list(one)].sum() for one in combinations(range(9), 5)]
    assert stopping.chance(first, second) == pytest.approx(np.mean(np.array(sums) >= above[:5].sum()))


def test_one_wild_image_makes_no_leader():
    assert stopping.leader({"noise": values(100, 0, 0, 0), "star": values(2, 3, 2, 3)}) == "star"


def test_equal_candidates_are_led_by_the_higher_mean_then_by_spelling():
    assert stopping.leader({"a": values(1, 4), "b": values(2, 3.5)}) == "b"
    assert stopping.leader({"b": values(1, 2), "a": values(1, 2)}) == "a"
    assert stopping.leader({"a": values(), "b": values(0)}) == "b"
    assert stopping.leader({"a": values()}) is None


def test_candidates_that_the_leader_outranks_are_dropped():
    found = stopping.beaten({"star": values(8, 9), "red": values(7, 8.5), "grass": values(0, 1)}, 0.2)
    assert found == {"grass": "star"}  # star above red in 3 of 4 pairs: 1/3


def test_the_level_decides_how_many_images_a_lead_takes():
    two, three = {"a": values(5, 6), "b": values(1, 2)}, {"a": values(5, 6, 7), "b": values(1, 2, 3)}
    assert stopping.beaten(two, 0.1) == {}
    assert stopping.beaten(three, 0.1) == {"b": "a"}
    assert stopping.beaten(three, 0.05) == {"b": "a"}  # exactly at the level


def test_the_leader_is_never_dropped():
    random = np.random.default_rng(1)
    for _ in range(300):
        activations = {str(i): random.integers(0, 5, 4).astype(np.float32) for i in range(5)}
        found = stopping.beaten(activations, 0.45)
        assert stopping.leader(activations) not in found
        assert set(found.values()) <= {stopping.leader(activations)}


@pytest.mark.parametrize(
    ("first", "step", "most", "expected"), [(2, 1, 5, [2, 3, 4, 5]), (2, 3, 10, [2, 5, 8, 10]), (4, 2, 4, [4])]
)
def test_rounds_end_at_the_most_images(first, step, most, expected):
    assert stopping.counts(StoppingSettings(first=first, step=step), most) == expected


def test_a_clear_leader_needs_the_first_images_only(tmp_path):
    painter = Painter()
    drawn, counted = run(tmp_path, {0: ["red", "green"]}, painter)
    assert counted == [
        {"unit": 0, "concept": "green", "images": 2, "beaten_by": "red"},
        {"unit": 0, "concept": "red", "images": 2, "beaten_by": None},
    ]
    assert len(painter.drawn) == drawn.num_rows == 4


def test_a_lone_candidate_needs_the_first_images_only(tmp_path):
    drawn, counted = run(tmp_path, {1: ["green"]}, settings=StoppingSettings(first=3))
    assert asked(counted, 1) == {"green": 3}
    assert drawn["sample"].to_pylist() == [0, 1, 2]


def test_candidates_that_excite_alike_are_drawn_to_the_end_and_the_others_are_not(tmp_path):
    _, counted = run(tmp_path, {2: ["red", "rose", "green", "grey"]})  # only grey has blue in it
    assert set(asked(counted, 2).values()) == {2}
    _, counted = run(tmp_path, {0: ["dark red", "red", "rose"]}, settings=StoppingSettings(level=0.001))
    assert asked(counted, 0) == {"dark red": 6, "red": 6, "rose": 6}
    _, counted = run(tmp_path, {0: ["dark red", "red", "grey"]}, settings=StoppingSettings(level=0.17))
    assert asked(counted, 0)["dark red"] == 2


def test_a_candidate_without_a_usable_image_is_no_leader_and_no_error(tmp_path):
    drawn, counted = run(tmp_path, {0: ["darkness", "red"]})
    assert asked(counted, 0) == {"darkness": 6, "red": 6}  # it cannot be compared, so nothing is clear
    problems = dict(zip(drawn["concept"].to_pylist(), drawn["problem"].to_pylist(), strict=True))
    assert problems == {"darkness": "black", "red": None}


def test_a_generator_that_draws_nothing_usable_ends_the_job(tmp_path):
    with pytest.raises(images.ImagesError, match="black"):
        run(tmp_path, {0: ["darkness"]})


CANDIDATES = {0: ["red", "rose", "grey"], 1: ["grey", "red"], 2: ["grey", "rose", "red"]}
"""Unit 0 cannot tell its candidates apart and asks for more images of each than the others do."""


def scored(folder, candidates, painter=None):
    """Draw and score the candidates as one job does; (unit, concept) -> what is known of it."""
    folder.mkdir(exist_ok=True)
    drawn, counted = run(folder / "store", candidates, painter)
    tables.write(folder / "images.parquet", drawn, schemas.IMAGES, row_group_size=2)
    probe = write_probe(folder / "probe.parquet", {"a.png": png(np.full((8, 8, 3), 51))})
    shown = {"rank": 0, "image_id": "a.png", "box": None, "activation": 1.0, "heatmap": None, "heatmap_box": None}
    empty = {name: None for name in schemas.TOPK.names}
    topk = tables.table([empty | {"unit": unit, "controls": [0.5, 0.0]} for unit in range(3)], schemas.TOPK)
    tables.write(folder / "topk.parquet", topk, schemas.TOPK)
    found = scores.run(
        TinyTarget(),
        "colour",
        Shade(),
        scores.DrawnShard(
            rows(candidates),
            [folder / "images.parquet"],
            tables.table([shown | {"unit": unit} for unit in candidates], schemas.EXEMPLARS),
            folder / "topk.parquet",
            [probe],
            tables.table(counted, schemas.DRAWN),
        ),
        pooling="mean",
        weights=ScoreSettings(),
    )
    return counted, found.to_pylist()


class Shade(Embedder):
    """Embeds an image as (mean brightness, rest) on the unit circle."""

    def embed(self, pictures):
        shade = np.array([np.asarray(image).mean() / 255 for image in pictures], np.float32)
        return np.stack([shade, np.sqrt(1 - shade**2)], 1)


def test_units_are_judged_and_scored_alike_in_any_company(tmp_path):
    counted, found = scored(tmp_path / "all", CANDIDATES)
    alone = [scored(tmp_path / str(unit), {unit: CANDIDATES[unit]}) for unit in CANDIDATES]
    assert counted == [row for one, _ in alone for row in one]
    assert found == [row for _, one in alone for row in one]
    assert max(asked(counted, 0).values()) > max(asked(counted, 1).values())  # more of "red" than unit 1 asked for
    lengths = {(row["unit"], row["concept"]): len(row["activations"]) for row in found}
    assert lengths == {(row["unit"], row["concept"]): row["images"] for row in counted}


def test_the_order_of_candidates_and_units_changes_nothing(tmp_path):
    backwards = {unit: CANDIDATES[unit][::-1] for unit in reversed(CANDIDATES)}
    first, second = run(tmp_path / "a", CANDIDATES), run(tmp_path / "b", backwards)
    assert first[0].equals(second[0])
    assert first[1] == second[1]


def test_a_job_that_was_killed_goes_on_with_what_it_has_drawn(tmp_path):
    whole = Painter()
    expected = run(tmp_path / "a", CANDIDATES, whole)
    before, after = Painter(fail_after=6), Painter()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", CANDIDATES, before)
    found = run(tmp_path / "b", CANDIDATES, after)
    assert found[0].equals(expected[0])
    assert found[1] == expected[1]
    assert 0 < len(before.drawn) < len(whole.drawn)
    assert sorted(before.drawn + after.drawn) == sorted(whole.drawn)


def test_no_image_is_drawn_twice_and_none_that_nobody_asked_for(tmp_path):
    painter = Painter()
    drawn, counted = run(tmp_path, CANDIDATES, painter)
    most = {concept: max(row["images"] for row in counted if row["concept"] == concept) for concept in ("red", "rose")}
    assert len(painter.drawn) == len(set(painter.drawn)) == drawn.num_rows
    for concept, count in most.items():
        assert [row["sample"] for row in drawn.to_pylist() if row["concept"] == concept] == list(range(count))
