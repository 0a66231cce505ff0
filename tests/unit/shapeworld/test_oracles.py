"""What the shape world knows, in the place of models: captions of scenes, exact renders, known answers."""

from functools import partial

import numpy as np
import pytest

from dnd.candidates import concepts
from dnd.candidates.questions import UnitCaptions
from dnd.config.scenes import SceneSettings, Stream
from dnd.config.stages import ConceptSettings
from dnd.io import schemas, tables
from dnd.shapeworld import oracles
from dnd.shapeworld.grammar import PLACES
from dnd.shapeworld.render import draw

STREAM = 5
CORNER = [0, 0, 6, 6]  # no object reaches it


def exemplars(*places):
    rows = [
        {"unit": 0, "rank": rank, "image_id": name, "box": box, "activation": 1.0, "heatmap": None, "heatmap_box": None}
        for rank, (name, box) in enumerate(places)
    ]
    return tables.table(rows, schemas.EXEMPLARS)


def told(*places, streams=None, errors=0.0):
    found = oracles.captions(exemplars(*places), streams or {"": Stream(seed=STREAM)}, errors)
    return {(row["image_id"], row["box"] and tuple(row["box"])): row["caption"] for row in found.to_pylist()}


def test_the_caption_of_a_whole_render_names_all_of_its_scene():
    found = told(*((f"{number:06d}.png", None) for number in range(40)))
    for number in range(40):
        scene, _, _ = draw(STREAM, number)
        words = found[f"{number:06d}.png", None].split()
        assert {scene.colour, scene.texture, scene.shape, PLACES[scene.background]} <= set(words)


def test_the_caption_of_a_corner_names_the_background_alone():
    scene, _, _ = draw(STREAM, 3)
    words = set(told(("000003.png", CORNER))["000003.png", tuple(CORNER)].split())
    assert PLACES[scene.background] in words
    assert not words & {scene.colour, scene.texture, scene.shape}


def test_a_view_of_an_object_s_middle_tells_no_shape():
    for number in range(20):
        scene, _, mask = draw(STREAM, number)
        if not mask[26:38, 26:38].all():  # the hole of a ring
            continue
        words = set(told((f"{number:06d}.png", [26, 26, 38, 38]))[f"{number:06d}.png", (26, 26, 38, 38)].split())
        assert {scene.colour, scene.texture} <= words
        assert not words & {scene.shape, PLACES[scene.background]}


def test_a_sliver_of_an_object_tells_neither_texture_nor_shape():
    for number in range(20):
        scene, _, mask = draw(STREAM, number)
        top = int(np.flatnonzero(mask.any(1))[0])
        box = next(
            (0, 0, 64, bottom) for bottom in range(top, 64) if 0.05 <= mask[:bottom].mean() < 0.12 or bottom == 63
        )
        words = set(told((f"{number:06d}.png", list(box)))[f"{number:06d}.png", box].split())
        assert PLACES[scene.background] in words
        assert not words & {scene.texture, scene.shape}


def test_a_caption_depends_on_no_other_exemplar():
    several = told(("000007.png", None), ("000001.png", None), ("000007.png", [8, 8, 60, 60]))
    assert told(("000007.png", None)).items() <= several.items()


def test_each_member_of_a_union_has_a_stream_of_its_own():
    one, other = draw(5, 2)[0], draw(6, 2)[0]
    found = told(("a/000002.png", None), ("b/000002.png", None), streams={"a/": Stream(seed=5), "b/": Stream(seed=6)})
    assert (one.colour, one.shape) != (other.colour, other.shape)
    assert {one.colour, one.shape} <= set(found["a/000002.png", None].split())
    assert {other.colour, other.shape} <= set(found["b/000002.png", None].split())


def test_captions_tell_the_scenes_that_the_probe_shows():
    scenes = SceneSettings(together=["colour", "shape"])
    texts = told(
        *((f"{number:06d}.png", None) for number in range(30)), streams={"": Stream(seed=STREAM, scenes=scenes)}
    )
    for (name, _), text in texts.items():
        scene, _, _ = draw(STREAM, int(name[:6]), scenes)
        assert {scene.colour, scene.shape} <= set(text.split())


def test_a_share_of_the_captions_has_an_error_and_a_larger_share_has_the_same_and_more():
    places = [(f"{number:06d}.png", None) for number in range(200)]
    true, few, many, all_wrong = (told(*places, errors=share) for share in (0, 0.2, 0.4, 1))
    wrong = [sum(texts[place] != true[place] for place in true) / len(true) for texts in (few, many, all_wrong)]
    assert wrong == pytest.approx([0.2, 0.4, 1], abs=0.08)
    assert all(many[place] == few[place] for place in true if few[place] != true[place])
    assert few == told(*places[::-1], errors=0.2)


def test_an_image_that_is_no_render_is_named():
    with pytest.raises(ValueError, match=r"image 'photo\.png' is no render of the shape world"):
        told(("photo.png", None))


def test_a_known_answer_is_the_only_candidate_with_all_votes():
    units = [UnitCaptions("n", "s", unit, ["a blue ring on sand", "a red star"]) for unit in range(3)]
    labels = ["red striped stars or blue plain rings", None, "stars"]
    settings = ConceptSettings(known_answers=True, max_words=None, split=False)
    found, answers = oracles.candidates(units, labels, partial(concepts.propose, settings=settings))
    assert found.schema.names == schemas.CONCEPTS.names
    assert [(row["unit"], row["concept"], row["votes"]) for row in found.to_pylist()] == [
        (0, "red striped stars or blue plain rings", 5),
        (2, "stars", 5),
    ]
    assert {row["problem"] for row in answers.to_pylist() if row["unit"] == 1} == {"nothing to name"}
    parted = ConceptSettings(known_answers=True, max_words=None, split=True)
    found, _ = oracles.candidates(units, labels, partial(concepts.propose, settings=parted))
    assert found["concept"].to_pylist() == ["red striped stars", "blue plain rings", "stars"]


def test_no_unit_is_a_table_without_rows():
    found, answers = oracles.candidates([], [], partial(concepts.propose, settings=ConceptSettings(known_answers=True)))
    assert (len(found), len(answers)) == (0, 0)


def test_units_with_nothing_to_name_have_no_known_label():
    found = oracles.labels("resources/shapeworld/target/units.json")
    assert found["concepts", 0] == "red objects"
    assert ("concepts", 92) not in found  # a random unit
