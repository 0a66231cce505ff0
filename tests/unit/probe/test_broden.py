"""A data set in Broden's layout, written by hand, as a probe and as annotations; and what goes wrong."""

import numpy as np
import pytest
from handmade import png
from probing import annotated, listed, packed

from dnd.config.targets import AnnotationSettings, ProbeSettings
from dnd.shapeworld.render import draw

GREY = png(np.full((4, 6, 3), 90))


def broden_folder(tmp_path, rows):
    folder = tmp_path / "broden"
    (folder / "images").mkdir(parents=True)
    (folder / "label.csv").write_text("number,name\n1,sky\n2,tree\n300,red-c\n4,street-s\n5,tree\n")
    (folder / "index.csv").write_text("\n".join(["image,split,ih,iw,sh,sw,color,object,scene", *rows]) + "\n")
    labels = np.zeros((2, 3), int)
    labels[0] = [1, 2, 300]
    labels[1] = [0, 5, 300]
    pixels = np.stack([labels % 256, labels // 256, np.zeros_like(labels)], 2)
    (folder / "images" / "map.png").write_bytes(png(pixels))
    return folder


def of_broden(folder, **settings):
    annotation = AnnotationSettings(source="broden", path=folder, **settings)
    return {"p": ProbeSettings(source="folder", path=folder / "images", annotations=annotation)}


def test_brodens_layout(tmp_path):
    folder = broden_folder(tmp_path, ["a.png,train,4,6,2,3,300,map.png;2,4", "b.png,val,4,6,2,3,,,"])
    found = annotated(tmp_path, of_broden(folder), {"a.png": GREY, "b.png": GREY, "c.png": GREY})
    own = found["a.png"]
    assert found["b.png"] == found["c.png"] == {}
    assert set(own) == {("color", "red"), ("object", "sky"), ("object", "tree"), ("object", "red"), ("scene", "street")}
    assert own["color", "red"] is None and own["scene", "street"] is None
    assert own["object", "tree"] is None  # the whole image is told beside the map
    # each pixel of the map is 2 x 2 of the image's
    assert own["object", "sky"].astype(int).tolist() == [[1, 1, 0, 0, 0, 0]] * 2 + [[0] * 6] * 2
    assert own["object", "red"].astype(int).tolist() == [[0, 0, 0, 0, 1, 1]] * 4


def photographs(folder, names):
    """A probe of photographs that lie among the maps of a data set in Broden's layout, each with other pixels."""
    for number, name in enumerate(names):
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "images" / name).write_bytes(png(np.full((4, 6, 3), number)))
    return {"source": "folder", "path": folder / "images", "annotations": {"source": "broden", "path": folder}}


@pytest.mark.parametrize(
    ("images", "others"),
    [
        (["deep/b.png", "photo.png"], ["deep/b_object.png", "photo_part_1.png"]),  # as Broden has them
        (["map_1.png", "map_2.png"], ["masks/map_1.png", "map.tif", "of_no_row.png"]),
    ],
)
@pytest.mark.parametrize("inside", ["", "images/"])
def test_a_probe_of_broden_has_the_images_of_its_index_and_none_of_the_maps(tmp_path, images, others, inside):
    folder = broden_folder(tmp_path, [f"{name},train,4,6,2,3,300,map.png,4" for name in images])
    probe = photographs(folder, [*images, *others])
    if inside:
        probe["path"] = folder
    rows, reasons = packed(tmp_path, photos=probe)
    assert [row["image_id"] for row in rows] == [inside + name for name in images]
    assert not reasons
    known = annotated(
        tmp_path, {"photos": ProbeSettings(**probe)}, {row["image_id"]: row["image"] for row in rows}, name="photos"
    )
    assert all(("object", "sky") in concepts for concepts in known.values())


def test_images_of_the_index_that_are_missing_are_told(tmp_path):
    names = ["a.png", "deep/gone.jpg", "raw.jxl", "z.png"]
    folder = broden_folder(tmp_path, [f"{name},train,4,6,2,3,,," for name in names])
    rows, reasons = listed(photos=photographs(folder, ["a.png", "raw.jxl", "z.png"]))
    assert [row["image_id"] for row in rows] == ["a.png", "z.png"]
    assert reasons.keys() == {"deep/gone.jpg", "raw.jxl"}
    assert reasons["deep/gone.jpg"] == "No such file or directory"


def test_photographs_in_another_place_than_their_maps(tmp_path):
    folder = broden_folder(tmp_path, ["street/a.png,train,4,6,2,3,,map.png,"])
    probe = photographs(folder, ["street/a.png", "street/a_object.png"])
    probe["path"] = (folder / "images/street").rename(tmp_path / "street").parent
    rows, reasons = listed(photos=probe | {"label": "folder"})
    assert [(row["image_id"], row["label"]) for row in rows] == [("street/a.png", "street")]
    assert not reasons


def test_renders_that_an_index_does_not_list_stay_in_their_probe(tmp_path):
    folder = broden_folder(tmp_path, ["000001.png,train,4,6,2,3,,map.png,"])
    renders = tmp_path / "renders"
    renders.mkdir()
    for i in range(3):
        (renders / f"{i:06d}.png").write_bytes(png(draw(9, i)[1]))
    probe = {"source": "shapeworld", "seed": 9, "annotations": {"source": "broden", "path": folder}}
    rows, _ = listed("shapes", [renders], shapes=probe)
    assert [row["image_id"] for row in rows] == ["000000.png", "000001.png", "000002.png"]


def test_a_probe_of_broden_without_images_or_index_is_told(tmp_path):
    folder = broden_folder(tmp_path, ["a.png,train,4,6,2,3,300,map.png,4"])
    probe = photographs(folder, ["b.png"])
    with pytest.raises(
        ValueError,
        match=r"^probes.photos.path: \S+/images holds none of the 1 images that \S+/index.csv lists, such as a.png$",
    ):
        listed(photos=probe)
    (folder / "index.csv").unlink()
    with pytest.raises(ValueError, match=r"^probes.photos.annotations.path: \S+/index.csv: no table of text"):
        listed(photos=probe)


@pytest.mark.parametrize("image", ["", "../photo.png", "/photo.png"])
def test_an_index_cannot_lead_out_of_its_folder(tmp_path, image):
    folder = broden_folder(tmp_path, ["a.png,train,4,6,2,3,,,", f"{image},train,4,6,2,3,,,"])
    with pytest.raises(
        ValueError, match=rf"index.csv, line 3: `image` is '{image}', expected a path inside the folder"
    ):
        listed(photos=photographs(folder, ["a.png"]))


def test_labels_of_one_name_are_one_concept_and_categories_can_be_chosen(tmp_path):
    folder = broden_folder(tmp_path, ["a.png,train,4,6,2,3,300,map.png,4"])
    found = annotated(tmp_path, of_broden(folder, categories=["object"]), {"images/a.png": GREY})["images/a.png"]
    assert {category for category, _ in found} == {"object"}
    assert found["object", "tree"].astype(int).tolist() == [[0, 0, 1, 1, 0, 0]] * 4


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.png,train,4,6,2,3,77,,", "index.csv, line 2, color: label 77 has no name"),
        ("a.png,train,4,6,2,3,,no.png,", "index.csv, line 2, object: .*no.png is no readable map"),
        ("a.png,train,4,6,2,3,,../map.png,", "index.csv, line 2, object: '../map.png' leads out of the folder"),
    ],
)
def test_mistakes_in_the_index_are_named(tmp_path, row, message):
    folder = broden_folder(tmp_path, [row])
    with pytest.raises(ValueError, match=message):
        annotated(tmp_path, of_broden(folder), {"a.png": GREY})


def test_mistakes_in_the_label_table_are_named(tmp_path):
    folder = broden_folder(tmp_path, ["a.png,train,4,6,2,3,1,,"])
    (folder / "label.csv").write_text("number,name\n1,sky\nx,tree\n")
    with pytest.raises(ValueError, match=r"label.csv, line 3: `number` is 'x'"):
        annotated(tmp_path, of_broden(folder), {"a.png": GREY})
    (folder / "label.csv").write_text("name\nsky\n")
    with pytest.raises(ValueError, match=r"label.csv: no column 'number'"):
        annotated(tmp_path, of_broden(folder), {"a.png": GREY})
    with pytest.raises(ValueError, match=r"no category 'sound'"):
        annotated(tmp_path, of_broden(folder, categories=["sound"]), {"a.png": GREY})
