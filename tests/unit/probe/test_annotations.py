"""Annotations: of renders, of a data set in Broden's layout written by hand, of labels; and what goes wrong."""

import numpy as np
import pytest
from handmade import png, write_probe
from probing import annotated

from dnd.config.targets import AnnotationSettings, ProbeSettings
from dnd.io import schemas, tables
from dnd.probe import annotations, masks
from dnd.shapeworld.render import draw
from dnd.shapeworld.world import GROUPS

GREY = png(np.full((4, 6, 3), 90))


def test_renders_know_their_scenes(tmp_path):
    images = {f"{i:06d}.png": png(draw(9, i)[1]) for i in range(3)}
    found = annotated(tmp_path, {"p": ProbeSettings(source="shapeworld", seed=9, images=3)}, images)
    for i in range(3):
        scene, _, mask = draw(9, i)
        own = found[f"{i:06d}.png"]
        for category in ("colour", "texture", "shape"):
            assert np.array_equal(own[category, getattr(scene, category)], mask)
        assert np.array_equal(own["background", scene.background], ~mask)
        assert own["scene", scene.background] is None
        groups = {name for name, (attribute, values) in GROUPS.items() if getattr(scene, attribute) in values}
        assert {concept for category, concept in own if category == "group"} == groups


def test_renders_know_the_scenes_that_their_probe_shows(tmp_path):
    settings = ProbeSettings(source="shapeworld", seed=9, images=12, scenes={"together": ["colour", "shape"]})
    images = {f"{i:06d}.png": png(draw(9, i, settings.scenes)[1]) for i in range(12)}
    annotations_of = annotated(tmp_path, {"p": settings}, images)
    assert any(draw(9, i)[0] != draw(9, i, settings.scenes)[0] for i in range(12))
    for i in range(12):
        scene, _, mask = draw(9, i, settings.scenes)
        for category in ("colour", "shape"):
            assert np.array_equal(annotations_of[f"{i:06d}.png"][category, getattr(scene, category)], mask)


def test_labels_and_what_they_are_a_kind_of(tmp_path):
    parents = tmp_path / "parents.tsv"
    parents.write_text("terrier\tdog\ndog\tanimal\ndog\tpet\npet\tdog\n")
    annotation = AnnotationSettings(source="labels", parents=parents)
    probes = {"p": ProbeSettings(source="folder", path=tmp_path, label="folder", annotations=annotation)}
    found = annotated(tmp_path, probes, {"a": GREY, "b": GREY, "c": GREY}, {"a": "terrier", "b": "cat"})
    assert list(found["a"]) == [("label", "terrier"), ("parent", "animal"), ("parent", "dog"), ("parent", "pet")]
    assert list(found["b"]) == [("label", "cat")]
    assert found["c"] == {}
    parents.write_text("terrier\tdog\nterrier dog\n")
    with pytest.raises(ValueError, match=r"parents.tsv, line 2: expected a label, a tab and a concept"):
        annotations.hypernyms(parents)


def test_members_of_a_union_have_their_own(tmp_path):
    probes = {
        "u": ProbeSettings(source="union", members=["p", "q"]),
        "p": ProbeSettings(source="shapeworld", seed=9),
        "q": ProbeSettings(source="folder", path=tmp_path),
    }
    images = {"p/000000.png": png(draw(9, 0)[1]), "q/000000.png": GREY}
    found = annotated(tmp_path, probes, images, name="u")
    assert ("colour", draw(9, 0)[0].colour) in found["p/000000.png"]
    assert found["q/000000.png"] == {}
    with pytest.raises(ValueError, match=r"probes.q.annotations: missing"):
        annotations.annotators("q", probes)


def test_annotations_of_other_images_are_an_error(tmp_path):
    shard = write_probe(tmp_path / "shard.parquet", {"000000.png": png(draw(9, 0)[1])})
    path = tmp_path / "annotations.parquet"
    rows = annotations.run("p", {"p": ProbeSettings(source="shapeworld", seed=9)}, shard)
    tables.write(path, next(rows), schemas.ANNOTATIONS)
    with pytest.raises(ValueError, match=r"annotations.parquet: image '000000.png' is not in the probe"):
        list(masks.by_image([path], ["000001.png"]))
