"""From a folder to shards: what is chosen, what is left out, and that neither depends on how it is done."""

import hashlib
import logging
import os

import numpy as np
import pyarrow.parquet as pq
import pytest
from handmade import png
from probing import ids, listed, opened, packed

from dnd.io import schemas, tables
from dnd.io.rows import Entry
from dnd.probe import pack
from dnd.shapeworld.render import draw

NOISE = png(np.random.default_rng(0).integers(0, 255, (64, 64, 3)))


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "images"
    (folder / "deep" / "er").mkdir(parents=True)
    for i, name in enumerate(["b.png", "a.PNG", "deep/c.png", "deep/er/d.png"]):
        (folder / name).write_bytes(png(np.full((6, 9, 3), i)))
    (folder / "broken.png").write_bytes(NOISE[:2000])
    (folder / "text.jpg").write_text("no image")
    (folder / "notes.txt").write_text("not listed")
    return folder


@pytest.fixture
def many(tmp_path):
    """Twenty small images."""
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(20):
        (folder / f"{i:02d}.png").write_bytes(png(np.full((4, 4, 3), i)))
    return {"source": "folder", "path": folder}


def test_bytes_are_unchanged_and_ids_sorted(folder, tmp_path):
    rows, _ = packed(tmp_path, photos={"source": "folder", "path": folder})
    assert ids(rows) == ["a.PNG", "b.png", "deep/c.png", "deep/er/d.png"]
    assert rows[1]["image"] == (folder / "b.png").read_bytes()
    assert rows[1]["digest"] == hashlib.sha256(rows[1]["image"]).hexdigest()
    assert (rows[1]["width"], rows[1]["height"], rows[1]["label"]) == (9, 6, None)


def test_unreadable_images_are_listed_with_a_reason(folder, tmp_path):
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "empty.png").touch()
    _, reasons = packed(tmp_path, photos={"source": "folder", "path": folder})
    assert list(reasons) == ["broken.png", "empty.png", "gone.png", "text.jpg"]
    assert "truncated" in reasons["broken.png"]
    assert reasons["empty.png"] == "the file is empty"
    assert reasons["gone.png"] == "No such file or directory"
    assert "cannot identify" in reasons["text.jpg"]


def test_a_name_that_is_not_utf8_is_left_out(folder, tmp_path):
    (folder / os.fsdecode(b"\xff.png")).write_bytes(NOISE)
    rows, reasons = packed(tmp_path, photos={"source": "folder", "path": folder})
    assert len(rows) == 4
    assert reasons["\\udcff.png"] == "its name is not UTF-8"


@pytest.mark.parametrize("shards", [3, 7])
def test_shards_partition_the_probe(folder, tmp_path, shards):
    photos = {"source": "folder", "path": folder}
    assert packed(tmp_path, photos=photos, shards=shards) == packed(tmp_path, photos=photos)


def test_the_first_of_images_with_the_same_bytes_stays(folder, tmp_path):
    (folder / "deep/again.png").write_bytes((folder / "b.png").read_bytes())
    (folder / "z.png").write_bytes((folder / "b.png").read_bytes())
    (folder / "same length.png").write_bytes(b"x" * (folder / "b.png").stat().st_size)
    rows, reasons = packed(tmp_path, photos={"source": "folder", "path": folder})
    assert ids(rows) == ["a.PNG", "b.png", "deep/c.png", "deep/er/d.png"]
    assert reasons["deep/again.png"] == reasons["z.png"] == "duplicate of b.png"
    assert "cannot identify" in reasons["same length.png"]


def test_only_images_of_one_size_are_read_to_find_duplicates(folder):
    entries = [Entry(name, None, "photos", name, size=size) for name, size in (("a", 1), ("b", 2), ("c", 1), ("d", 3))]
    read = []

    def reader(entry):
        read.append(entry.image_id)
        return b"x"

    kept, refused = pack.distinct(entries, {"photos": reader})
    assert read == ["a", "c"]
    assert [one.image_id for one in kept] == ["a", "b", "d"]
    assert refused == [("c", "duplicate of a")]


def test_an_image_of_unknown_size_may_be_the_duplicate_of_a_file():
    entries = [Entry("a", None, "files", "a", size=3), Entry("b", None, "rows", "b"), Entry("c", None, "rows", "c")]
    data = {"a": b"one", "b": b"one", "c": b"four"}
    kept, refused = pack.distinct(entries, dict.fromkeys(("files", "rows"), lambda entry: data[entry.image_id]))
    assert [one.image_id for one in kept] == ["a", "c"]
    assert refused == [("b", "duplicate of a")]


def test_a_limit_takes_the_first_by_id(many):
    rows, _ = listed(photos=many | {"limit": 3})
    assert ids(rows) == ["00.png", "01.png", "02.png"]


def test_a_sample_is_the_same_for_the_same_seed_and_spreads(many):
    first, _ = listed(photos=many | {"sample": 8, "seed": 1})
    assert len(first) == 8
    assert ids(first) == sorted(ids(first))
    assert listed(photos=many | {"sample": 8, "seed": 1})[0] == first
    other, _ = listed(photos=many | {"sample": 8, "seed": 2})
    assert ids(other) != ids(first)
    fewer, _ = listed(photos=many | {"sample": 5, "seed": 1})
    assert set(ids(fewer)) < set(ids(first))


def test_a_sample_is_the_hashes_documented(many):
    names = [f"{i:02d}.png" for i in range(20)]
    expected = sorted(sorted(names, key=lambda name: hashlib.sha256(f"4/{name}".encode()).hexdigest())[:6])
    assert ids(listed(photos=many | {"sample": 6})[0]) == expected


def test_a_sample_keeps_its_images_when_others_come(many):
    before = ids(listed(photos=many | {"sample": 10})[0])
    for i in range(20, 25):
        (many["path"] / f"{i}.png").write_bytes(png(np.full((4, 4, 3), i)))
    after = ids(listed(photos=many | {"sample": 10})[0])
    assert set(after) - {f"{i}.png" for i in range(20, 25)} <= set(before)


def test_a_sample_is_drawn_from_the_limit(many):
    rows, _ = listed(photos=many | {"limit": 6, "sample": 4})
    assert len(rows) == 4
    assert set(ids(rows)) < {f"{i:02d}.png" for i in range(6)}


def test_more_than_there_are_is_all(many):
    assert len(listed(photos=many | {"limit": 99, "sample": 50})[0]) == 20


def test_first_folders_are_labels(folder, tmp_path):
    rows, _ = packed(tmp_path, photos={"source": "folder", "path": folder, "label": "folder"})
    assert [row["label"] for row in rows] == [None, None, "deep", "deep"]


def test_a_label_that_no_image_has_is_an_error(many):
    with pytest.raises(ValueError, match=r"probes.photos.label: 'folder' gives none of 20 images a label"):
        listed(photos=many | {"label": "folder"})


def test_a_union_joins_probes_under_their_names(folder, many, tmp_path):
    some = {"source": "folder", "path": folder, "label": "folder", "limit": 4}  # of which one is broken
    probes = {"some": some, "many": many | {"sample": 3}, "both": {"source": "union", "members": ["some", "many"]}}
    rows, reasons = packed(tmp_path, "both", **probes)
    alone = ids(listed("many", **probes)[0])
    assert ids(rows) == [*(f"many/{name}" for name in alone), "some/a.PNG", "some/b.png", "some/deep/c.png"]
    assert [row["label"] for row in rows] == [None] * 5 + ["deep"]
    assert list(reasons) == ["some/broken.png"]
    assert packed(tmp_path, "both", shards=3, **probes) == (rows, reasons)


def test_a_union_has_duplicates_once_and_a_limit_of_its_own(folder, many, tmp_path):
    (folder / "copy.png").write_bytes((many["path"] / "07.png").read_bytes())
    union = {"source": "union", "members": ["some", "many"]}
    probes = {"some": {"source": "folder", "path": folder}, "many": many, "both": union}
    _, reasons = packed(tmp_path, "both", **probes)
    assert reasons["some/copy.png"] == "duplicate of many/07.png"
    rows, _ = listed("both", **probes | {"both": union | {"limit": 21}})
    assert ids(rows)[-1] == "some/a.PNG"
    assert len(rows) == 21
    rows, _ = listed("both", **probes | {"both": union | {"sample": 9}})
    assert len(rows) == 9
    assert {row["probe"] for row in rows} == {"some", "many"}


def test_renders_are_a_folder_too(many, tmp_path):
    rows, _ = packed(tmp_path, "shapes", renders=[many["path"]], shapes={"source": "shapeworld", "limit": 2})
    assert ids(rows) == ["00.png", "01.png"]


def test_the_label_of_a_render_is_what_it_shows(many, tmp_path):
    rows, _ = packed(tmp_path, "shapes", renders=[many["path"]], shapes={"source": "shapeworld", "seed": 9})
    scenes = [draw(9, i)[0] for i in range(len(rows))]
    assert [row["label"] for row in rows] == [f"{scene.colour} {scene.shape}" for scene in scenes]


def test_an_empty_folder_is_named_with_what_was_looked_for(tmp_path):
    (tmp_path / "readme.txt").touch()
    with pytest.raises(ValueError, match=r"^probes.photos.path: \S+ holds no images \(.avif, .*.jpg, .*.webp\)$"):
        listed(photos={"source": "folder", "path": tmp_path})


def test_a_probe_of_unreadable_images_is_an_error(tmp_path):
    (tmp_path / "x.png").write_text("no image")
    packed(tmp_path, photos={"source": "folder", "path": tmp_path})
    rejected = pack.rejected([tmp_path / "rejected-0.parquet"])
    with pytest.raises(ValueError, match=r"probes.photos: none of 1 images can be read; x\.png: cannot identify"):
        pack.require_images("photos", [tmp_path / "1-0.parquet"], rejected)


def test_a_probe_of_empty_files_is_an_error(tmp_path):
    (tmp_path / "x.png").touch()
    with pytest.raises(ValueError, match=r"probes.photos: none of 1 images can be read; x\.png: the file is empty"):
        listed(photos={"source": "folder", "path": tmp_path})


def test_one_good_image_among_many_bad_ones_is_enough(tmp_path, caplog):
    for i in range(30):
        (tmp_path / f"{i}.png").write_text(f"no image {i}")
    for name in ("good.png", "same.png"):
        (tmp_path / name).write_bytes(NOISE)
    rows, reasons = packed(tmp_path, shards=4, photos={"source": "folder", "path": tmp_path})
    assert ids(rows) == ["good.png"]
    assert len(reasons) == 31
    parts = [tmp_path / f"rejected-{i}.parquet" for i in range(4)] + [tmp_path / "unlisted.parquet"]
    with caplog.at_level(logging.INFO):
        pack.require_images("photos", [tmp_path / f"4-{i}.parquet" for i in range(4)], pack.rejected(parts))
    assert caplog.messages[-1] == "1 of 32 images used, 1 duplicates, 30 unreadable"
    assert caplog.records[-1].levelno == logging.WARNING
    assert "rejected same.png: duplicate of good.png" in caplog.messages
    assert "3 of 4 shards hold no image: probes.photos.shards is too large" in caplog.messages


def test_a_file_that_goes_between_the_jobs_is_left_out(many, tmp_path):
    settings, sources = opened(photos=many)
    listing, _ = pack.listing("photos", settings, sources)
    tables.write(tmp_path / "l.parquet", listing, schemas.LISTING)
    (many["path"] / "03.png").unlink()
    rows = []
    rejected = pack.pack(pack.part(tmp_path / "l.parquet", 0, 1), pack.readers(sources), rows.append)
    assert rejected.to_pylist() == [{"image_id": "03.png", "reason": "No such file or directory"}]
    assert len(rows[0]) == 19


def test_shards_are_written_in_row_groups(tmp_path, monkeypatch):
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(150):
        (folder / f"{i:03d}.png").write_bytes(png(np.full((2, 2, 3), i)))
    packed(tmp_path, photos={"source": "folder", "path": folder})
    assert groups(tmp_path / "1-0.parquet") == [64, 64, 22]
    before = (tmp_path / "1-0.parquet").read_bytes()
    packed(tmp_path, photos={"source": "folder", "path": folder})
    assert (tmp_path / "1-0.parquet").read_bytes() == before
    monkeypatch.setattr(pack, "GROUP_BYTES", 10 * (folder / "000.png").stat().st_size)
    packed(tmp_path, photos={"source": "folder", "path": folder})
    assert max(groups(tmp_path / "1-0.parquet")) <= 11


def groups(path):
    metadata = pq.read_metadata(path)
    return [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]


def test_controls_do_not_depend_on_the_shards(folder, tmp_path):
    for count in (1, 3):
        packed(tmp_path, shards=count, photos={"source": "folder", "path": folder})
    one = pack.controls([tmp_path / "1-0.parquet"], 2)
    tables.write(tmp_path / "ids", pack.shuffled([tmp_path / f"3-{i}.parquet" for i in range(3)]), schemas.SHUFFLED)
    assert pack.read_controls(tmp_path / "ids", 2) == one
    assert pack.controls([tmp_path / f"3-{i}.parquet" for i in range(3)], 2) == one
    assert len(one) == 2
    assert one == sorted(one)
