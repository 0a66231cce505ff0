"""The refinement loop with a model and a painter that can be followed by hand; red, green and blue are units."""

import io
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from colour_loop import CONTROLS, GENERATOR, Improver, Painter, Script
from handmade import TinyTarget
from PIL import Image

from dnd.backends.messages import Answer
from dnd.candidates import captions, refinement
from dnd.candidates import search as trials
from dnd.candidates.prompts import PromptError, read_prompt, refinement_messages
from dnd.config.backends import CaptionSettings
from dnd.config.stages import RefinementSettings
from dnd.io import schemas, tables
from dnd.io.rows import Concept, Controls
from dnd.io.store import Store
from dnd.selection import images
from dnd.target.generated import Reader

PROMPTS = Path(__file__).parents[3] / "config/prompts"
CANDIDATES = {0: ["dark red", "blue"], 1: ["green"], 2: ["white", "red"]}
EXEMPLARS = {0: 1.0, 1: 1.0, 2: 1.0}


def settings(**values):
    return RefinementSettings(**{"prompt": PROMPTS / "refine.yaml", "failures": 0} | values)


def concept_rows(units=CANDIDATES, slug="s"):
    return [
        Concept("n", slug, unit, number, concept, 2, [0, 1], "captions")
        for unit, named in units.items()
        for number, concept in enumerate(named)
    ]


def write(files):
    """Captions tell the brightest channel."""
    means = [np.asarray(Image.open(io.BytesIO(file))).mean((0, 1)) for file in files]
    return [f"mostly {('red', 'green', 'blue')[int(mean.argmax())]}\n{mean.max():.0f}" for mean in means]


def run(folder, ask, chosen, units=CANDIDATES, painter=None, controls=CONTROLS, exemplars=EXEMPLARS):
    draw = partial(images.run, painter or Painter(), settings=GENERATOR, store=Store(folder / "images"))
    searches = trials.searches("n", "s", [Controls(one, None, controls) for one in units])
    read = Reader(TinyTarget(), "colour", [one.unit for one in searches], "mean", draw, "refinement")
    rows = concept_rows(units)
    best = (
        tables.table([], schemas.EXEMPLARS)
        .select(["unit", "activation"])
        .from_pylist([{"unit": unit, "activation": exemplars[unit]} for unit in units for _ in range(3)])
    )
    texts = {unit: [f"caption {unit} a", f"caption {unit} b"] for unit in units}
    describe = partial(refinement.describe, draw=draw, write=write)
    further, rounds = refinement.run(searches, rows, best, texts, ask, read, describe, chosen)
    joined = refinement.joined(tables.table(rows, schemas.CONCEPTS), further)
    return joined.to_pylist(), tables.table(rounds, schemas.REFINEMENT_ROUNDS).to_pylist()


def test_the_level_is_half_way_between_the_lowest_tenth_and_the_exemplars():
    controls = np.arange(11, dtype=np.float32)  # their lowest tenth ends at 1
    assert refinement.level(controls, np.array([8, 10], np.float32)) == pytest.approx(5)


def test_a_unit_of_a_common_concept_is_excited_by_what_most_controls_show():
    controls = np.array([0.0] * 3 + [10.0] * 7, np.float32)
    level = refinement.level(controls, np.array([10.0], np.float32))
    assert refinement.exciting(np.array([9.0, 9.5, 1.0], np.float32), level) == pytest.approx(2 / 3)


@pytest.mark.parametrize(("below", "is_clear"), [(0.5, True), (0.75, True), (0.76, False), (1.0, False)])
def test_a_unit_is_clear_when_one_candidate_excites_it_often_enough(below, is_clear):
    tried = [np.array([0, 0, 0, 0], np.float32), np.array([1, 1, 0, 2], np.float32)]
    assert refinement.is_clear(tried, 1.0, below) is is_clear
    assert not refinement.is_clear([], 1.0, below)


def test_only_unclear_units_are_asked_and_what_they_find_joins_their_candidates(tmp_path):
    """Half way to the exemplars of unit 2 is .5, which dark red does not reach for it, nor blue for unit 0."""
    units = {0: ["green", "blue"], 1: ["green"], 2: ["red"]}
    script = Script(["dark red", "green"], ["blue"])
    found, rounds = run(tmp_path, script, settings(), units)
    assert [len(asked) for asked in script.asked] == [2, 1]
    assert [(row["unit"], row["candidate"], row["concept"], row["votes"], row["source"]) for row in found] == [
        (0, 0, "green", 2, "captions"),
        (0, 1, "blue", 2, "captions"),
        (0, 2, "dark red", 1, "refined"),
        (1, 0, "green", 2, "captions"),
        (2, 0, "red", 2, "captions"),
        (2, 1, "green", 1, "refined"),
        (2, 2, "blue", 1, "refined"),
    ]
    assert [(row["unit"], row["round"], row["concept"]) for row in rounds] == [
        (0, 0, "dark red"),
        (2, 0, "green"),
        (2, 1, "blue"),
    ]
    assert [row["activation"] for row in rounds] == pytest.approx([0.6, 0, 1])
    assert [row["shown"] for row in rounds] == [120, 0, 200]
    assert [row["exciting"] for row in rounds] == [1, 0, 1]


def test_the_question_tells_captions_what_was_tried_and_what_failed(tmp_path):
    script = Script(["white"])
    _, rounds = run(tmp_path, script, settings(rounds=1, failures=3), {0: ["blue", "green"]})
    assert script.asked[0][0].messages[-1]["content"] == (
        "Images that excite the unit:\ncaption 0 a\ncaption 0 b\n\n"
        "Concepts that were tried:\nblue: 0\ngreen: 0\n\n"
        "Pictures that do not excite it:\nblue: mostly blue 255\nblue: mostly blue 255\nblue: mostly blue 255"
    )
    assert json.loads(rounds[0]["prompt"]) == list(script.asked[0][0].messages)


def test_failures_are_those_of_the_best_candidates_the_weakest_first():
    (search,) = trials.searches("n", "s", [Controls(0, None, [0.0, 1.0])])
    for concept, values in {"poor": [0.1], "good": [0.9, 0.4, 0.2]}.items():
        search.trials.append(trials.Trial(None, None, concept, np.array(values, np.float32)))
    one = refinement.Refined(search, 0.5, [])
    assert one.failures(5) == [("good", 2), ("good", 1), ("poor", 0)]
    assert one.failures(2) == [("good", 2), ("good", 1)]
    assert one.failures(0) == []


def test_without_failures_nothing_is_captioned(tmp_path, monkeypatch):
    monkeypatch.setattr(refinement, "describe", pytest.fail)
    script = Script(["red"])
    run(tmp_path, script, settings(), {0: ["blue"]})
    assert "do not excite it" not in script.asked[0][0].messages[-1]["content"]


def test_rounds_and_samples_are_bounded_and_each_question_has_a_seed_of_its_own(tmp_path):
    script = Script(["green", "white", "green"], ["dark red"] * 3)
    found, rounds = run(
        tmp_path, script, settings(samples=3, below=1.0), {2: ["blue", "red"], 0: ["red"]}, exemplars={0: 1.0, 2: 9.0}
    )
    assert [(row["concept"], row["votes"], row["samples"]) for row in found if row["source"] == "refined"] == [
        ("green", 2, [0, 2]),
        ("white", 1, [1]),
        ("dark red", 3, [3, 4, 5]),
    ]
    assert [(row["round"], row["sample"]) for row in rounds] == [(0, 0), (0, 1), (0, 2), (1, 3), (1, 4), (1, 5)]
    assert [row["problem"] for row in rounds] == [None, None, "named before", None, "named before", "named before"]
    seeds = {request.seed for asked in script.asked for request in asked}
    assert len(seeds) == 6 and all(0 <= one < 2**31 for one in seeds)


def test_what_is_malformed_undrawable_or_known_becomes_no_candidate(tmp_path):
    answers = ["one two three four five six", Answer(None, "timed out"), "darkness", "Blue."]
    script = Script(answers)
    found, rounds = run(tmp_path, script, settings(rounds=1, samples=4), {0: ["blue"]})
    assert [row["concept"] for row in found] == ["blue"]
    assert [row["problem"] for row in rounds] == [
        "6 words, more than 5",
        "timed out",
        "no usable image",
        "named before",
    ]


def test_first_candidates_without_a_usable_image_are_not_told(tmp_path):
    script = Script(["red"])
    found, _ = run(tmp_path, script, settings(rounds=1), {0: ["darkness", "blue"]})
    assert "darkness" not in script.asked[0][0].messages[-1]["content"]
    assert [row["concept"] for row in found] == ["darkness", "blue", "red"]


def test_few_images_are_drawn_and_they_are_those_of_the_images_stage(tmp_path):
    draw = partial(images.run, settings=GENERATOR, store=Store(tmp_path / "images"))
    few = images.run(Painter(), ["red"], GENERATOR.model_copy(update={"images": 2}), Store(tmp_path / "images"))
    painter = Painter()
    all_of_it = draw(painter, ["red"])
    assert painter.prompts == ["red"] * 3
    assert all_of_it["key"].to_pylist()[:2] == few["key"].to_pylist()


class Colours(Improver):
    """Answers with a colour that the question does not say was tried."""

    def __call__(self, requests):
        asked = [request.messages[-1]["content"].partition("tried:")[2] for request in requests]
        return [Answer(self.answer(lines.partition("Pictures")[0])) for lines in asked]


def test_units_are_independent_of_the_others_in_their_job(tmp_path):
    units = {0: ["blue"], 1: ["blue", "dark red"], 2: ["white"]}
    chosen = settings(failures=2, samples=2)
    together = run(tmp_path / "a", Colours(), chosen, units)
    alone = [run(tmp_path / f"b{unit}", Colours(), chosen, {unit: units[unit]}) for unit in (2, 0, 1)]
    for number in (0, 1):
        parts = [row for one in alone for row in one[number]]
        assert together[number] == sorted(parts, key=lambda row: row["unit"])
    assert {row["unit"] for row in together[1]} == {0, 1}


def test_rows_of_other_layers_stay_where_they_are():
    first = concept_rows({1: ["a"]}, "x") + concept_rows({1: ["b", "c"], 3: ["d"]}, "y")
    (new,) = concept_rows({1: ["e"]}, "y")
    found = refinement.joined(tables.table(first, schemas.CONCEPTS), [new]).to_pylist()
    assert [(row["slug"], row["unit"], row["concept"]) for row in found] == [
        ("x", 1, "a"),
        ("y", 1, "b"),
        ("y", 1, "c"),
        ("y", 1, "e"),
        ("y", 3, "d"),
    ]


class Captioner:
    def __init__(self):
        self.seen = []

    def captions(self, pictures):
        for picture in pictures:
            self.seen.append(picture.size)
            yield "" if picture.size == (1, 1) else f"{picture.width} wide"


def png(width):
    buffer = io.BytesIO()
    Image.new("RGB", (width, 1), "red").save(buffer, "PNG")
    return buffer.getvalue()


def test_captions_of_drawn_pictures_are_kept_but_for_empty_ones(tmp_path):
    captioner, how = Captioner(), CaptionSettings(model="owner/model")
    for _ in range(2):
        found = captions.of_files(captioner, [png(3), png(1), png(2)], how, Store(tmp_path))
        assert found == ["3 wide", "", "2 wide"]
    assert captioner.seen == [(3, 1), (1, 1), (2, 1), (1, 1)]


def test_a_caption_cannot_pass_for_several_lines():
    template = read_prompt(PROMPTS / "refine.yaml", "refinement")
    told = refinement_messages(template, ["red: 3"], ["a\nred: 99"], ["red: b\nc"])[-1]["content"]
    assert "a red: 99\n" in told
    assert told.endswith("red: b c")


def test_the_prompt_of_line_serves_as_well():
    template = read_prompt(PROMPTS / "line.yaml", "refinement")
    assert refinement_messages(template, ["red: 3"], ["a"], ["b"])[-1]["content"] == "red: 3"


def test_a_prompt_that_does_not_show_the_history_is_refused(tmp_path):
    path = tmp_path / "prompt.yaml"
    path.write_text('- role: user\n  content: "{{ captions }}"\n')
    with pytest.raises(PromptError, match="no message shows the `history`"):
        read_prompt(path, "refinement")
    path.write_text('- role: user\n  content: "{{ others }}"\n')
    with pytest.raises(PromptError, match="the lists `history`, `captions` and `failures`"):
        read_prompt(path, "refinement")
