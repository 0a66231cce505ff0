"""The loop of LINE with a language model and a painter that can be followed by hand; red, green and blue are units."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from colour_loop import CONTROLS, GENERATOR, Improver, Painter, Script
from endpoints import KEY, external
from handmade import TinyTarget

from dnd.backends.llm import session
from dnd.backends.messages import Answer
from dnd.candidates.prompts import history_messages, read_prompt
from dnd.config.backends import LlmSettings
from dnd.config.rivals import LineRecipe
from dnd.io import schemas
from dnd.io.rows import Controls
from dnd.io.store import Store
from dnd.rivals import line, line_search
from dnd.selection import images
from dnd.target.generated import Reader

PROMPT = Path(__file__).parents[3] / "config/prompts/line.yaml"


def recipe(rounds, **values):
    return LineRecipe(method="line", generator=GENERATOR, prompt=PROMPT, rounds=rounds, **values)


def units(*numbers, controls=CONTROLS):
    return line_search.searches("n", "s", [Controls(one, None, controls) for one in numbers])


def run(folder, asked, ask, settings, painter=None):
    draw = partial(images.run, painter or Painter(), settings=GENERATOR, store=Store(folder / "images"))
    read = Reader(TinyTarget(), "colour", [one.unit for one in asked], "mean", draw, "line")
    scores, rounds = line.run(asked, ask, read, settings)
    assert (scores.schema, rounds.schema) == (schemas.SCORES, schemas.LINE_ROUNDS)
    return scores.to_pylist(), rounds.to_pylist()


def test_every_unit_finds_its_colour_within_the_rounds(tmp_path):
    scores, rounds = run(tmp_path, units(0, 1, 2), Improver(), recipe(4))
    best = {row["unit"]: row["concept"] for row in scores if row["candidate"] == 0}
    assert best == {0: "red", 1: "green", 2: "blue"}
    assert len(rounds) == 3 * 4
    assert [row["concept"] for row in rounds if row["unit"] == 1] == ["blue", "green", "green", "green"]


def test_scores_are_those_of_a_hand_calculation(tmp_path):
    scores, rounds = run(tmp_path, units(0), Script(["green"], ["dark red"], ["red"]), recipe(3))
    assert [row["concept"] for row in scores] == ["red", "dark red", "green"]
    assert [row["candidate"] for row in scores] == [0, 1, 2]
    # controls: mean .2, standard deviation sqrt(.028)
    assert [row["mad"] for row in scores] == pytest.approx([0.8 / 0.028**0.5, 0.4 / 0.028**0.5, -0.2 / 0.028**0.5])
    assert [row["score"] for row in scores] == [row["mad"] for row in scores]
    assert [row["auc"] for row in scores] == pytest.approx([1, 1, 0.1])  # black equals one control of five
    assert scores[1]["activations"] == pytest.approx([0.6] * 5)
    assert {row["source"] for row in scores} == {"line"}
    assert {row["votes"] for row in scores} == {None}
    assert [row["activation"] for row in rounds] == pytest.approx([0, 0.6, 1])


def test_the_next_question_shows_all_that_was_tried_on_the_scale_of_the_controls(tmp_path):
    script = Script(["green"], ["dark red"], ["red"])
    _, rounds = run(tmp_path, units(0), script, recipe(3))
    shown = [asked[0].messages[-1]["content"] for asked in script.asked]
    assert shown == ["nothing yet", "green: 0", "green: 0\ndark red: 120"]
    assert [row["shown"] for row in rounds] == [0, 120, 200]
    assert json.loads(rounds[2]["prompt"]) == list(script.asked[2][0].messages)


def test_a_unit_that_is_negative_on_random_images_is_shown_from_zero_too(tmp_path):
    script = Script(["red"], ["green"], ["red"])
    run(tmp_path, units(0, controls=[-1.0, 1.0]), script, recipe(3))
    assert script.asked[2][0].messages[-1]["content"] == "red: 100\ngreen: 50"


def test_malformed_answers_are_recorded_and_not_shown(tmp_path):
    rounds = [
        ["one two three four five six", Answer(None, "timed out"), "1234"],
        ["Concept: Red.", Answer("gre", "cut off at max_tokens"), "blue"],
    ]
    script = Script(*rounds, ["white"] * 3)
    scores, found = run(tmp_path, units(0, 1, 2), script, recipe(3))
    problems = {(row["unit"], row["round"]): row["problem"] for row in found}
    assert problems[0, 0] == "6 words, more than 5"
    assert problems[1, 0] == "timed out"
    assert problems[2, 0] == "no words"
    assert problems[1, 1] == "cut off at max_tokens"
    assert problems[0, 1] is None
    assert found[0]["answer"] == rounds[0][0]
    assert [one.messages[-1]["content"] for one in script.asked[2]] == ["red: 200", "nothing yet", "blue: 200"]
    assert {row["concept"] for row in scores if row["unit"] == 1} == {"white"}


def test_a_concept_named_again_is_neither_drawn_nor_shown_again(tmp_path):
    script, painter = Script(["red"], ["Red"], ["red"]), Painter()
    scores, rounds = run(tmp_path, units(0), script, recipe(3), painter)
    assert painter.prompts == ["red"] * 5
    assert script.asked[2][0].messages[-1]["content"] == "red: 200"
    assert [row["problem"] for row in rounds] == [None, "named before", "named before"]
    assert len(scores) == 1
    assert len({request.seed for asked in script.asked for request in asked}) == 3  # so that another answer may come


def test_pictures_are_shared_by_units_and_with_the_images_stage(tmp_path):
    painter = Painter()
    images.run(Painter(), ["green"], GENERATOR, Store(tmp_path / "images"))
    run(tmp_path, units(0, 1, 2), Script(["red", "red", "green"], ["green", "blue", "red"]), recipe(2), painter)
    assert sorted(painter.prompts) == ["blue"] * 5 + ["red"] * 5


def test_a_concept_without_a_usable_picture_is_no_candidate(tmp_path):
    script = Script(["red"], ["darkness"], ["dark red"])
    scores, rounds = run(tmp_path, units(0), script, recipe(3))
    assert [row["concept"] for row in scores] == ["red", "dark red"]
    assert (rounds[1]["concept"], rounds[1]["problem"]) == ("darkness", "no usable image")
    assert script.asked[2][0].messages[-1]["content"] == "red: 200"


def test_a_generator_that_draws_nothing_usable_ends_the_job(tmp_path):
    with pytest.raises(images.ImagesError, match="black"):
        run(tmp_path, units(0), Script(["darkness"]), recipe(1))


def test_units_are_independent_of_the_others_in_their_job(tmp_path):
    together = run(tmp_path / "a", units(0, 1, 2), Improver(), recipe(3))
    alone = [run(tmp_path / f"b{unit}", units(unit), Improver(), recipe(3)) for unit in (0, 1, 2)]
    for number in (0, 1):
        assert together[number] == [row for one in alone for row in one[number]]


def test_seeds_differ_between_units_and_rounds_but_not_between_jobs(tmp_path):
    scripts = [Script(["red", "green"], ["blue", "blue"]), Script(["green"], ["blue"])]
    run(tmp_path, units(0, 1), scripts[0], recipe(2))
    run(tmp_path, units(1), scripts[1], recipe(2))
    seeds = [[request.seed for asked in one.asked for request in asked] for one in scripts]
    assert len(set(seeds[0])) == 4
    assert seeds[1] == seeds[0][1::2]
    assert all(0 <= one < 2**31 for one in seeds[0])


def tried(*rounds):
    (one,) = units(0, controls=[0.0, 1.0])
    for concept, activation in rounds:
        one.trials.append(line_search.Trial("[]", concept, concept, np.array([activation], np.float32)))
    return one


def test_within_the_tolerance_the_concept_named_last_leads():
    one = tried(("red", 0.8), ("star", 0.2), ("red star", 0.84), ("dark red star", 0.7), ("red", 0.8))
    assert line.candidates(one) == ["red star", "red", "dark red star", "star"]
    assert line.candidates(one, 0.1) == ["red", "red star", "dark red star", "star"]
    assert line.candidates(one, 0.2) == ["red", "dark red star", "red star", "star"]


def test_scores_fall_from_candidate_to_candidate_under_a_tolerance_too(tmp_path):
    scores, _ = run(tmp_path, units(0), Script(["red"], ["dark red"], ["green"]), recipe(3, tolerance=0.5))
    assert [row["concept"] for row in scores] == ["dark red", "red", "green"]
    assert scores[0]["score"] > scores[1]["score"] > scores[2]["score"]
    assert scores[0]["mad"] < scores[1]["mad"]


def test_a_job_that_was_killed_goes_on_with_what_it_has_asked_and_drawn(tmp_path, monkeypatch):
    """The stand-in for a server answers with the history and the seed; its lines are counted for a colour."""
    log = tmp_path / "asked"
    colours = ["white", "red", "green", "blue", "dark red"]
    monkeypatch.setattr(line_search, "tidy", lambda text: colours[len(text.split("\n")) + ("nothing" not in text)])
    with external(tmp_path, f"log={log}") as server:
        monkeypatch.setenv(KEY, server.key)
        llm = LlmSettings(model="m", base_url=server.base_url, api_key_env=KEY)

        def once(painter):
            with session(llm, Store(tmp_path / "answers"), tmp_path / "log") as ask:
                return run(tmp_path, units(0, 1), ask, recipe(4), painter)

        with pytest.raises(KeyboardInterrupt):
            once(Painter(fail_at="blue"))
        before = log.read_text().splitlines()
        painter = Painter()
        once(painter)
        questions = log.read_text().splitlines()
    assert len(before) == 6  # two units, and the third round's pictures killed it
    assert len(questions) == len(set(questions)) == 8
    assert set(painter.prompts) <= {"blue", "dark red"}


def test_the_shipped_prompt_ends_with_what_was_tried_one_per_line():
    template = read_prompt(PROMPT, "history")
    assert history_messages(template, ["red: 3", "stars: 90"])[-1] == {"role": "user", "content": "red: 3\nstars: 90"}
    assert history_messages(template, [])[-1]["content"] == "nothing yet"
    assert "0 is the weakest and 100 the strongest" in history_messages(template, [])[0]["content"]
