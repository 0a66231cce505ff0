"""Images, labels and damage of archives as WebDataset has them."""

import io
import re
import tarfile

import numpy as np
import pytest
from handmade import png
from probing import ids, listed, packed, picture, write_tar

from dnd.io import pictures
from dnd.probe.source import SUFFIXES, UNREAD

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
    assert known == known & {*SUFFIXES, *UNREAD}
    read = {suffix for suffix, format in Image.registered_extensions().items() if format in pictures.FORMATS}
    assert read <= set(SUFFIXES)


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
