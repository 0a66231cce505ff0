"""Images in tar files and in tables of files; what tells that a probe's files have changed."""

import os
import subprocess
import sys

import pytest
from probing import ids, listed, packed, picture, write_table

from dnd.config.targets import ProbeSettings
from dnd.probe import sources


@pytest.fixture
def manifest(tmp_path):
    folder = tmp_path / "table"
    for i, name in enumerate(("b.png", "a/x.dat", "c,d.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(i))
    text = 'class,path,source\ncat,./b.png,web\n,a/x.dat,web\ndog,"c,d.png",web\n'
    return {"source": "manifest", "path": write_table(folder / "images.csv", text)}


def test_images_of_a_table(manifest, tmp_path):
    rows, reasons = packed(tmp_path, photos=manifest | {"label": "class"})
    assert [(row["image_id"], row["label"]) for row in rows] == [
        ("a/x.dat", None),
        ("b.png", "cat"),
        ("c,d.png", "dog"),
    ]
    assert [row["image"] for row in rows] == [picture(1), picture(0), picture(2)]
    assert not reasons


def test_a_table_with_tabs_another_column_and_absolute_paths(manifest, tmp_path):
    folder = manifest["path"].parent
    text = f"\ufefffile\tpath\n../table/b.png\t1\n{folder}/a/x.dat\t2\n"
    table = write_table(tmp_path / "other/images.TSV", text)
    rows, _ = packed(tmp_path, photos=manifest | {"path": table, "image": "file"})
    assert ids(rows) == ["../table/b.png", f"{folder}/a/x.dat"]


def test_rows_without_a_file_are_left_out(manifest, tmp_path):
    with manifest["path"].open("a") as file:
        file.write("cat,gone.png,web\ncat\ncat,b.png,web\ncat,a,web\ncat,x\0y.png,web\n")
    rows, reasons = packed(tmp_path, photos=manifest)
    assert ids(rows) == ["a/x.dat", "b.png", "c,d.png"]
    assert reasons["gone.png"] == "No such file or directory"
    assert reasons["line 6"] == "the row names no file"
    assert reasons["b.png"] == "a second image of this name"
    assert reasons["a"] == "is not a file"
    assert "null" in reasons["x\0y.png"]


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("file,class\n", {}, r"probes.photos.image: \S+/t.csv has no column 'path', but \['file', 'class'\]"),
        ("path,class\n", {"label": "name"}, r"probes.photos.label: \S+ has no column 'name', but \['path', 'class'\]"),
        ("", {}, r"probes.photos.image: \S+ has no column 'path', but \[\]"),
        ("path\n", {}, r"probes.photos.path: \S+ has no rows"),
        ("path\nx.png\ny.png\n", {}, r"\S+ names 2 files, of which none is there, x.png for one: No such file"),
        ('path\n"' + "x" * 200_000, {}, r"probes.photos.path: \S+ is no table of text: field larger"),
    ],
)
def test_a_wrong_table_is_one_clear_error(tmp_path, text, settings, message):
    path = write_table(tmp_path / "t.csv", text)
    with pytest.raises(ValueError, match=message) as error:
        listed(photos={"source": "manifest", "path": path} | settings)
    assert "\n" not in str(error.value)


def test_a_table_that_is_no_text(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"path\n\xff\xfe.png")
    with pytest.raises(ValueError, match="is no table of text: 'utf-8' codec"):
        listed(photos={"source": "manifest", "path": tmp_path / "t.csv"})


def content(name="photos", **probes):
    return sources.content(name, {one: ProbeSettings(**values) for one, values in probes.items()})


def test_a_change_of_archives_is_seen(archives):
    before = content(photos=archives)
    assert content(photos=archives) == before
    os.utime(archives["path"] / "train-1.tar", (1, 1))
    assert content(photos=archives) != before


def test_a_change_of_a_table_or_of_its_files_is_seen(manifest):
    folder = manifest["path"].parent
    found = [content(photos=manifest)]
    (folder / "unnamed.png").write_bytes(picture(0))
    assert content(photos=manifest) == found[0]
    (folder / "b.png").write_bytes(b"other")
    found.append(content(photos=manifest))
    (folder / "b.png").unlink()
    found.append(content(photos=manifest))
    manifest["path"].write_text(manifest["path"].read_text() + "cat,unnamed.png,web\n")
    found.append(content(photos=manifest))
    assert len(set(found)) == 4


def test_a_change_of_brodens_index_or_of_its_images_is_seen(tmp_path):
    index = write_table(tmp_path / "index.csv", "image,object\na.png,a_object.png\n")
    for name in ("a.png", "b.png"):
        write_table(tmp_path / "images" / name, name)
    probe = {
        **{"source": "folder", "path": tmp_path / "images"},
        "annotations": {"source": "broden", "path": tmp_path},
    }
    found = [content(photos=probe)]
    write_table(tmp_path / "images/a_object.png", "map")
    assert content(photos=probe) == found[0]
    write_table(tmp_path / "images/a.png", "other")
    found.append(content(photos=probe))
    index.write_text("image,object\na.png,a_object.png\nb.png,\n")
    found.append(content(photos=probe))
    assert len(set(found)) == 3
    probes = {"photos": ProbeSettings(**probe)}
    assert sources.most_images("photos", probes, sources.files("photos", probes)) == 2


def test_a_change_of_a_member_of_a_union_is_seen(archives, manifest):
    union = {"source": "union", "members": ["tars", "table", "shapes"]}
    probes = {"tars": archives, "table": manifest, "shapes": {"source": "shapeworld"}, "both": union}
    before = content("both", **probes)
    (manifest["path"].parent / "b.png").write_bytes(b"other")
    assert content("both", **probes) != before


def test_files_that_are_missing_are_told_before_a_run(tmp_path):
    with pytest.raises(ValueError, match=r"probes.photos.path: \S+ holds no images"):
        content(photos={"source": "folder", "path": tmp_path})


def test_how_many_images_there_are_at_most(archives, manifest, tmp_path):
    (tmp_path / "folder").mkdir()
    for name in "abc":
        (tmp_path / f"folder/{name}.png").touch()
    values = {
        "renders": {"source": "shapeworld", "images": 9, "sample": 5},
        "files": {"source": "folder", "path": tmp_path / "folder"},
        "few": {"source": "folder", "path": tmp_path / "folder", "limit": 2},
        "rows": manifest,
        "tars": archives,
        "some": archives | {"sample": 4},
        "known": {"source": "union", "members": ["renders", "few"]},
        "unknown": {"source": "union", "members": ["tars", "few"]},
        "cut": {"source": "union", "members": ["tars", "few"], "limit": 6},
    }
    probes = {name: ProbeSettings(**one) for name, one in values.items()}
    found = {name: sources.most_images(name, probes, sources.files(name, probes)) for name in probes}
    assert found == {
        **{"renders": 5, "files": 3, "few": 2, "rows": 3, "tars": None, "some": 4},
        **{"known": 7, "unknown": None, "cut": 6},
    }


def test_renders_stand_for_a_probe_of_shapes():
    probes = {
        "a": ProbeSettings(source="shapeworld"),
        "b": ProbeSettings(source="folder", path="x"),
        "c": ProbeSettings(source="union", members=["b", "a"]),
    }
    assert [sources.rendered(name, probes) for name in probes] == [["a"], [], ["a"]]


def test_scenes_are_known_where_all_images_are_renders():
    probes = {
        "a": ProbeSettings(source="shapeworld", seed=6),
        "b": ProbeSettings(source="folder", path="x"),
        "some": ProbeSettings(source="union", members=["b", "a"]),
        "c": ProbeSettings(source="shapeworld", seed=7),
        "all": ProbeSettings(source="union", members=["a", "c"]),
    }
    found = {name: sources.rendered_streams(name, probes) for name in probes}
    assert found == {"a": {"": 6}, "b": {}, "some": {}, "c": {"": 7}, "all": {"a/": 6, "c/": 7}}


def test_rules_import_nothing_heavy_with_it():
    code = "import sys, dnd.probe.sources; print({'pyarrow', 'datasets', 'numpy', 'PIL', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
