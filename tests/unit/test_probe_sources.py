"""Images in tar files and in tables of files; what tells that a probe's files have changed."""

import io
import json
import os
import re
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from handmade import png
from probing import ids, listed, packed

from dnd import pictures, probe_sources
from dnd.subjects import ProbeSettings


def picture(i):
    return png(np.full((4, 4, 3), i))


def write_tar(path, files, **settings):
    """Files are name -> bytes, or what TarInfo attributes a member has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **settings) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, dict):
                for key, value in content.items():
                    setattr(member, key, value)
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


def write_table(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def archives(tmp_path):
    folder = tmp_path / "archives"
    write_tar(
        folder / "train-1.tar",
        {
            "0003.png": picture(3),
            "0003.cls": b"7\n",
            "0003.json": b'{"caption": "a cat", "meta": {"id": 12}}',
            "./b/0004.jpg.png": picture(4),
        },
    )
    write_tar(
        folder / "deeper/train-0.tar",
        {
            "0001.cls": b"3",
            "0001.png": picture(1),
            "0001.json": b"not json",
            "notes.md": b"",
            "0002.seg.png": picture(20),
            "0002.PNG": picture(2),
            "0002.json": json.dumps({"caption": None, "meta": []}).encode(),
        },
    )
    return {"source": "webdataset", "path": folder}


ALL = [
    "deeper/train-0.tar/0001.png",
    "deeper/train-0.tar/0002.PNG",
    "deeper/train-0.tar/0002.seg.png",
    "train-1.tar/0003.png",
    "train-1.tar/b/0004.jpg.png",
]


def test_images_of_archives(archives, tmp_path):
    rows, reasons = packed(tmp_path, photos=archives)
    assert ids(rows) == ALL
    assert [row["image"] for row in rows] == [picture(i) for i in (1, 2, 20, 3, 4)]
    assert not reasons
    assert packed(tmp_path, photos=archives, shards=4) == (rows, reasons)


def test_one_archive_and_images_of_one_suffix(archives, tmp_path):
    one = archives | {"path": archives["path"] / "deeper/train-0.tar", "image": "png"}
    rows, _ = packed(tmp_path, photos=one)
    assert ids(rows) == ["train-0.tar/0001.png", "train-0.tar/0002.PNG"]


@pytest.mark.parametrize(
    ("label", "labels"),
    [
        ("cls", ["3", None, None, "7", None]),
        ("json.caption", [None, None, None, "a cat", None]),
        ("json.meta.id", [None, None, None, "12", None]),
    ],
)
def test_labels_of_archives(archives, label, labels):
    rows, _ = listed(photos=archives | {"label": label})
    assert [row["label"] for row in rows] == labels


@pytest.mark.parametrize("suffix", ["png", "PNG", ".png", " .Png ", "png;jpg", "webp; .png"])
def test_a_suffix_is_the_same_in_any_case_and_with_its_dot(archives, suffix):
    rows, _ = listed(photos=archives | {"image": suffix})
    assert ids(rows) == [ALL[0], ALL[1], ALL[3]]


@pytest.mark.parametrize("suffix", ["gif", "*.png", "jpg,png", "jpg png"])
def test_suffixes_that_no_file_has_are_told_with_those_that_there_are(tmp_path, suffix):
    path = write_tar(tmp_path / "one.tar", {"1.png": picture(1), "1.cls": b"3", "2.JPG": picture(2)})
    told = rf"^probes.photos.image: '{re.escape(suffix)}' is the suffix of no file in .*, but cls, jpg, png$"
    with pytest.raises(ValueError, match=told):
        listed(photos={"source": "webdataset", "path": path, "image": suffix})


@pytest.mark.parametrize(("suffix", "chosen"), [("jpg;png", "1.jpg"), ("png;jpg", "1.png"), ("PNG;.jpg", "1.png")])
def test_of_several_suffixes_an_image_has_the_first_that_is_there(tmp_path, suffix, chosen):
    files = {"1.png": picture(1), "1.jpg": picture(2), "2.jpg": picture(3), "3.png": picture(4), "4.gif": picture(5)}
    path = write_tar(tmp_path / "one.tar", files)
    rows, _ = listed(photos={"source": "webdataset", "path": path, "image": suffix})
    assert ids(rows) == [f"one.tar/{name}" for name in (chosen, "2.jpg", "3.png")]


@pytest.mark.parametrize(
    ("label", "labels"),
    [
        (".CLS", ["3", None, None, "7", None]),
        ("txt;cls", ["3", None, None, "7", None]),
        ("json.caption;cls", ["3", None, None, "a cat", None]),
        ("json.name;json.caption", [None, None, None, "a cat", None]),
        (".json.meta.id", [None, None, None, "12", None]),
    ],
)
def test_labels_of_several_suffixes_and_in_any_case(archives, label, labels):
    rows, _ = listed(photos=archives | {"label": label})
    assert [row["label"] for row in rows] == labels


@pytest.mark.parametrize(
    "hidden",
    [
        *(".ipynb_checkpoints/x.png", "a/.thumbs/x.png", "a/._x.png", "__MACOSX/a/x.png"),
        *("@eaDir/1.png/x.png", "a/#recycle/x.png", "$RECYCLE.BIN/x.png", "System Volume Information/x.png"),
    ],
)
def test_what_is_hidden_is_neither_image_nor_label(tmp_path, hidden):
    for name, number in (("a/1.png", 1), (hidden, 2)):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(picture(number))
    rows, reasons = packed(tmp_path, photos={"source": "folder", "path": tmp_path / "photos", "label": "folder"})
    assert [(row["image_id"], row["label"]) for row in rows] == [("a/1.png", "a")]
    assert not reasons
    path = write_tar(tmp_path / "one.tar", {"./a/1.png": picture(1), hidden: picture(2)})
    rows, reasons = packed(tmp_path, photos={"source": "webdataset", "path": path})
    assert ids(rows) == ["one.tar/a/1.png"]
    assert not reasons


@pytest.mark.parametrize(
    "name", ["a.jpe", "b.PNM", "c.j2k", "d.mpo", "e.jpx", "f.JPEG", "g.Jpg ", "h. tif", "i.JFIF", "j.pjpeg", "k.jif"]
)
def test_all_suffixes_of_the_formats_that_are_read_belong_to_images(tmp_path, name):
    write_tar(tmp_path / "one.tar", {name: picture(1)})
    (tmp_path / name).write_bytes(picture(1))
    rows, _ = packed(tmp_path, photos={"source": "folder", "path": tmp_path})
    assert ids(rows) == [name]
    rows, _ = packed(tmp_path, photos={"source": "webdataset", "path": tmp_path})
    assert ids(rows) == [f"one.tar/{name}"]


@pytest.mark.parametrize("name", ["a.jxl", "b/c.JXR", "e.tga", "f.svg", "g.DNG ", "h.NRW", "i.psb"])
def test_images_of_formats_that_are_not_read_are_told(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"any")
    (tmp_path / "photo.png").write_bytes(picture(1))
    write_tar(tmp_path / "one.tar", {name: b"any", "photo.png": picture(1)})
    for source, folder in (("folder", ""), ("webdataset", "one.tar/")):
        rows, reasons = packed(tmp_path, photos={"source": source, "path": tmp_path})
        assert ids(rows) == [f"{folder}photo.png"]
        assert reasons.keys() == {folder + name}
        assert "not read: convert the image to PNG or JPEG, as `magick" in reasons[folder + name]


def test_no_suffix_of_an_image_that_pillow_knows_is_passed_over():
    from PIL import Image

    Image.init()
    others = {".bufr", ".grib", ".h5", ".hdf", ".mpeg", ".mpg", ".pdf"}  # measurements, films and documents
    known = set(Image.registered_extensions()) - others
    assert known == known & {*probe_sources.SUFFIXES, *probe_sources.UNREAD}
    read = {suffix for suffix, format in Image.registered_extensions().items() if format in pictures.FORMATS}
    assert read <= set(probe_sources.SUFFIXES)


def test_a_suffix_that_holds_no_label_is_an_error(archives):
    with pytest.raises(ValueError, match=r"probes.photos.label: 'txt' gives none of 5 images a label"):
        listed(photos=archives | {"label": "txt"})


def test_long_names_links_and_second_names(tmp_path):
    long = "a" * 150 + "/" + "b" * 120 + ".png"
    files = {long: picture(1), "x.png": picture(2), "link.png": {"type": tarfile.SYMTYPE, "linkname": "x.png"}}
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = write_tar(tmp_path / "one.tar", files, format=form)
        with tarfile.open(path, "a") as archive:
            member = tarfile.TarInfo("x.png")
            member.size = len(picture(3))
            archive.addfile(member, io.BytesIO(picture(3)))
        rows, reasons = packed(tmp_path, photos={"source": "webdataset", "path": path})
        assert ids(rows) == [f"one.tar/{long}", "one.tar/x.png"]
        assert rows[1]["image"] == picture(2)
        assert reasons == {"one.tar/link.png": "a link in the archive", "one.tar/x.png": "a second image of this name"}


@pytest.mark.parametrize("cut", ["in the third image", "in the third header", "before the end"])
def test_images_before_the_end_of_a_truncated_archive_stay(tmp_path, cut):
    data = [np.random.default_rng(i).integers(0, 255, (20, 20, 3)) for i in range(3)]
    path = write_tar(tmp_path / "cut.tar", {f"{i}.png": png(one) for i, one in enumerate(data)})
    with tarfile.open(path) as archive:
        third = archive.getmember("2.png")
    places = {
        "in the third image": third.offset_data + 700,
        "in the third header": third.offset + 100,
        "before the end": third.offset_data + third.size,  # all images are whole: only padding is missing
    }
    path.write_bytes(path.read_bytes()[: places[cut]])
    write_tar(tmp_path / "whole.tar", {"x.png": picture(1)})
    rows, reasons = packed(tmp_path, photos={"source": "webdataset", "path": tmp_path})
    kept = 3 if cut == "before the end" else 2
    assert ids(rows) == [*(f"cut.tar/{i}.png" for i in range(kept)), "whole.tar/x.png"]
    assert reasons.keys() == {"cut.tar"}
    assert reasons["cut.tar"].startswith(f"not readable behind its first {kept} images: ")


def test_a_broken_header_is_told_and_what_is_no_archive_too(tmp_path):
    path = write_tar(tmp_path / "broken.tar", {f"{i}.png": picture(i) for i in range(3)})
    with tarfile.open(path) as archive:
        place = archive.getmember("1.png").offset
    data = bytearray(path.read_bytes())
    data[place : place + 100] = b"\xff" * 100
    path.write_bytes(data)
    (tmp_path / "text.tar").write_text("no archive")
    (tmp_path / "nothing.tar").touch()
    rows, reasons = packed(tmp_path, photos={"source": "webdataset", "path": tmp_path})
    assert ids(rows) == ["broken.tar/0.png"]
    assert reasons["broken.tar"] == f"not readable behind its first 1 images: no header at byte {place}"
    assert reasons.keys() == {"broken.tar", "text.tar", "nothing.tar"}


@pytest.mark.timeout(60)
def test_an_archive_that_leads_back_to_its_start_ends(tmp_path):
    header = tarfile.TarInfo("back.png")
    header.size = -1024
    whole = write_tar(tmp_path / "whole.tar", {"x.png": picture(1)}).read_bytes()
    (tmp_path / "loop.tar").write_bytes(whole[:1024] + header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    rows, reasons = listed(photos={"source": "webdataset", "path": tmp_path})
    assert reasons["loop.tar"] == "not readable behind its first 1 images: a negative size at byte 1024"
    assert reasons["whole.tar/x.png"] == "duplicate of loop.tar/x.png"
    assert ids(rows) == ["loop.tar/x.png"]


@pytest.mark.timeout(60)
def test_headers_inside_one_another_end(tmp_path):
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 0
    (tmp_path / "deep.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) * 5000)
    write_tar(tmp_path / "whole.tar", {"x.png": picture(1)})
    rows, reasons = listed(photos={"source": "webdataset", "path": tmp_path})
    assert ids(rows) == ["whole.tar/x.png"]
    assert reasons.keys() == {"deep.tar"}


def test_damaged_archives_raise_nothing(tmp_path):
    whole = write_tar(tmp_path / "a/one.tar", {f"{i}.png": picture(i) for i in range(8)}, format=tarfile.PAX_FORMAT)
    write_tar(tmp_path / "a/two.tar", {"x.png": picture(99)})
    data, rng = whole.read_bytes(), np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), 40):
            damaged[place] = rng.integers(256)
        whole.write_bytes(damaged)
        rows, _ = listed(photos={"source": "webdataset", "path": tmp_path / "a"})
        assert "two.tar/x.png" in ids(rows)


def test_archives_without_images_and_folders_without_archives(tmp_path):
    write_tar(tmp_path / "a/one.tar", {"x.txt": b"text"})
    with pytest.raises(ValueError, match=r"probes.photos: none of 0 images can be read$"):
        listed(photos={"source": "webdataset", "path": tmp_path / "a"})
    (tmp_path / "b").mkdir()
    with pytest.raises(ValueError, match=r"probes.photos.path: \S+/b holds no archives \(.tar\)$"):
        listed(photos={"source": "webdataset", "path": tmp_path / "b"})


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
    return probe_sources.content(name, {one: ProbeSettings(**values) for one, values in probes.items()})


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
    assert probe_sources.most_images("photos", probes, probe_sources.files("photos", probes)) == 2


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
    found = {name: probe_sources.most_images(name, probes, probe_sources.files(name, probes)) for name in probes}
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
    assert [probe_sources.rendered(name, probes) for name in probes] == [["a"], [], ["a"]]


def test_rules_import_nothing_heavy_with_it():
    code = "import sys, dnd.probe_sources; print({'pyarrow', 'datasets', 'numpy', 'PIL', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
