"""Images in Parquet files and in datasets of the hub's format."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import datasets
import fake_hub
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handmade import png
from probing import ids, listed, opened, packed

from dnd.probe import sources
from dnd.probe.table_sources import READ

CLASSES = ["cat", "dog"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Tests share no prepared datasets."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def picture(i):
    return png(np.full((4, 4, 3), i))


def write_parquet(path, table, **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table), path, **settings)
    return path


@pytest.fixture
def files(tmp_path):
    """Two files: bytes alone, and bytes beside names; the second has rows without an image."""
    folder = tmp_path / "files"
    write_parquet(folder / "a.parquet", {"image": [picture(i) for i in range(3)], "class": [7, 8, None]})
    rows = [{"bytes": picture(9), "path": "x/nine.png"}, None, {"bytes": None, "path": None}]
    write_parquet(folder / "deeper/b.parquet", {"class": [1, 2, 3], "image": rows})
    return {"source": "parquet", "path": folder}


def test_images_of_parquet_files(files, tmp_path):
    rows, reasons = packed(tmp_path, photos=files | {"label": "class"})
    assert [(row["image_id"], row["label"]) for row in rows] == [
        ("a.parquet/00000000", "7"),
        ("a.parquet/00000001", "8"),
        ("a.parquet/00000002", None),
        ("deeper/b.parquet/00000000-nine.png", "1"),
    ]
    assert [row["image"] for row in rows] == [picture(i) for i in (0, 1, 2, 9)]
    assert reasons == dict.fromkeys(("deeper/b.parquet/00000001", "deeper/b.parquet/00000002"), "the row has no image")
    assert packed(tmp_path, shards=3, photos=files | {"label": "class"}) == (rows, reasons)


def test_one_file_with_another_column(tmp_path):
    path = write_parquet(tmp_path / "x.parquet", {"jpg": pa.array([picture(1)], pa.large_binary()), "image": ["x"]})
    rows, _ = packed(tmp_path, photos={"source": "parquet", "path": path, "image": "jpg"})
    assert [(row["image_id"], row["image"]) for row in rows] == [("x.parquet/00000000", picture(1))]


def test_bytes_of_all_kinds_of_columns(tmp_path):
    kinds = {
        "binary": pa.array([picture(1), None], pa.binary()),
        "large": pa.array([picture(1), None], pa.large_binary()),
        "view": pa.array([picture(1), None], pa.binary_view()),
        "struct": pa.array([{"bytes": picture(1)}, None]),
        "more": pa.array([{"path": None, "bytes": picture(1), "size": 3}, None]),
    }
    path = write_parquet(tmp_path / "x.parquet", kinds)
    for kind in kinds:
        rows, reasons = packed(tmp_path, photos={"source": "parquet", "path": path, "image": kind})
        assert [row["image"] for row in rows] == [picture(1)]
        assert reasons == {"x.parquet/00000001": "the row has no image"}


@pytest.mark.parametrize("wanted", [range(100), [0, 99], [15, 16, 17, 40, 41], [99, 3, 50]])
def test_rows_are_found_wherever_they_are(tmp_path, wanted):
    """Row groups of 40 rows, read 16 rows at a time."""
    assert READ == 16
    data = [bytes([i]) * 10 for i in range(100)]
    path = write_parquet(tmp_path / "x.parquet", {"image": data}, row_group_size=40)
    _, (source,) = opened(photos={"source": "parquet", "path": path})
    entries = list(source.entries())
    assert [source.read(entries[i]) for i in wanted] == [data[i] for i in wanted]


def test_a_row_group_need_not_fit_the_memory(tmp_path):
    """One of 8192 rows and 128 MB; its writer makes pages of 1024 rows, of which the reader holds no more than two."""
    rng, path = np.random.default_rng(0), tmp_path / "x.parquet"
    pq.write_table(pa.table({"image": [rng.bytes(1 << 14) for _ in range(8192)]}), path)
    assert pq.read_metadata(path).num_row_groups == 1
    _, (source,) = opened(photos={"source": "parquet", "path": path})
    entries, before, peak = list(source.entries()), pa.total_allocated_bytes(), 0
    for entry in entries:
        assert len(source.read(entry)) == 1 << 14
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert 0 < peak < 48 << 20


def test_broken_and_other_files_are_left_out(files, tmp_path):
    whole = (files["path"] / "a.parquet").read_bytes()
    (files["path"] / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    (files["path"] / "text.parquet").write_text("no table")
    rows, reasons = packed(tmp_path, photos=files)
    assert len(rows) == 4
    assert {"cut.parquet", "text.parquet"} < reasons.keys()


def test_damaged_pages_cost_their_rows_only(tmp_path):
    data = [np.random.default_rng(i).bytes(5000) for i in range(4)]
    path = write_parquet(tmp_path / "x.parquet", {"image": data}, row_group_size=1, compression="gzip")
    place = pq.read_metadata(path).row_group(1).column(0).data_page_offset
    damaged = bytearray(path.read_bytes())
    damaged[place : place + 40] = b"\xff" * 40
    path.write_bytes(damaged)
    rows, reasons = listed(photos={"source": "parquet", "path": path})
    assert ids(rows) == [f"x.parquet/0000000{i}" for i in (0, 2, 3)]
    assert reasons.keys() == {"x.parquet/00000001"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image": "picture"}, r"probes.photos.image: x.parquet has no column 'picture', but \['image', 'text', 'l"),
        ({"label": "class"}, r"probes.photos.label: x.parquet has no column 'class', but \['image', 'text', 'list'\]"),
        ({"image": "text"}, r"probes.photos.image: column 'text' of x.parquet holds string, not the bytes of image fi"),
        ({"label": "list"}, r"probes.photos.label: column 'list' holds list<.*int64>, neither text nor numbers"),
    ],
)
def test_wrong_columns_are_one_clear_error(tmp_path, settings, message):
    path = write_parquet(tmp_path / "x.parquet", {"image": [picture(1)], "text": ["x"], "list": [[1]]})
    with pytest.raises(ValueError, match=message) as error:
        listed(photos={"source": "parquet", "path": path} | settings)
    assert "\n" not in str(error.value)


def test_labels_of_all_kinds(tmp_path):
    kinds = {
        "text": ["a", None],
        "whole": pa.array([3, 4], pa.uint8()),
        "dictionary": pa.array(["a", "b"]).dictionary_encode(),
        "truth": [True, False],
    }
    path = write_parquet(tmp_path / "x.parquet", {"image": [picture(1), picture(2)], **kinds})
    found = {kind: listed(photos={"source": "parquet", "path": path, "label": kind})[0] for kind in kinds}
    assert {kind: [row["label"] for row in rows] for kind, rows in found.items()} == {
        "text": ["a", None],
        "whole": ["3", "4"],
        "dictionary": ["a", "b"],
        "truth": ["true", "false"],
    }


def dataset(count=3, first=0):
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=CLASSES)})
    rows = [{"bytes": picture(i), "path": f"{i}.png" if i % 2 else None} for i in range(first, first + count)]
    return datasets.Dataset.from_dict({"image": rows, "label": [i % 2 for i in range(count)]}, features=features)


@pytest.fixture
def saved(tmp_path):
    """A dataset of two splits, as ``save_to_disk`` leaves it."""
    both = datasets.DatasetDict({"train": dataset(5), "validation": dataset(3, first=10)})
    both.save_to_disk(tmp_path / "saved")
    return {"source": "huggingface", "path": tmp_path / "saved", "split": "validation"}


def test_images_of_a_saved_dataset_and_names_of_its_classes(saved, tmp_path):
    rows, reasons = packed(tmp_path, photos=saved | {"label": "label"})
    assert [(row["image_id"], row["label"]) for row in rows] == [
        ("00000000", "cat"),
        ("00000001-11.png", "dog"),
        ("00000002", "cat"),
    ]
    assert [row["image"] for row in rows] == [picture(i) for i in (10, 11, 12)]
    assert not reasons
    assert packed(tmp_path, shards=2, photos=saved | {"label": "label"}) == (rows, reasons)


def test_a_saved_split_needs_no_name_of_one(saved, tmp_path):
    alone = {"source": "huggingface", "path": saved["path"] / "train"}
    assert len(packed(tmp_path, photos=alone)[0]) == 5


def test_a_dataset_may_name_files_that_it_does_not_hold(tmp_path):
    (tmp_path / "here.png").write_bytes(picture(1))
    rows = [{"path": str(tmp_path / name), "bytes": None} for name in ("here.png", "gone.png")]
    path = write_parquet(tmp_path / "hub/data/train-0.parquet", {"image": rows})
    assert path.exists()
    images, reasons = packed(tmp_path, photos={"source": "huggingface", "path": tmp_path / "hub"})
    assert [(row["image_id"], row["image"]) for row in images] == [("00000000-here.png", picture(1))]
    assert reasons == {"00000001-gone.png": f"{tmp_path}/gone.png: No such file or directory"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": None}, r"probes.photos.split: \S+ has no split None, but \['train', 'validation'\]"),
        ({"split": "test"}, r"probes.photos.split: \S+ has no split 'test', but \['train', 'validation'\]"),
        ({"image": "img"}, r"probes.photos.image: \S+ has no column 'img', but \['image', 'label'\]"),
        ({"image": "label"}, r"probes.photos.image: column 'label' of \S+ holds int64, not the bytes"),
        ({"label": "class"}, r"probes.photos.label: \S+ has no column 'class', but \['image', 'label'\]"),
    ],
)
def test_a_wrong_split_or_column_is_one_clear_error(saved, settings, message):
    with pytest.raises(ValueError, match=message) as error:
        listed(photos=saved | settings)
    assert "\n" not in str(error.value)


def test_a_folder_that_is_no_dataset(tmp_path):
    (tmp_path / "notes.md").write_text("nothing")
    with pytest.raises(ValueError, match=r"probes.photos.path: \S+ cannot be loaded: \w+: ") as error:
        listed(photos={"source": "huggingface", "path": tmp_path})
    assert "\n" not in str(error.value)


def test_a_change_of_a_saved_dataset_is_seen(saved):
    settings, _ = opened(photos=saved)
    before = sources.content("photos", settings)
    listed(photos=saved)  # leaves nothing behind
    assert sources.content("photos", settings) == before
    dataset(4).save_to_disk(saved["path"] / "validation")
    assert sources.content("photos", settings) != before


def test_class_names_of_a_parquet_file_that_a_dataset_was(tmp_path):
    dataset().to_parquet(tmp_path / "x.parquet")
    rows, _ = listed(photos={"source": "parquet", "path": tmp_path / "x.parquet", "label": "label"})
    assert [row["label"] for row in rows] == ["cat", "dog", "cat"]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A hub with a dataset of two splits, a dataset of two subsets, and code that must never run."""
    folder = tmp_path_factory.mktemp("hub")
    (folder / "pictures/data").mkdir(parents=True)
    for split, count in (("train", 5), ("validation", 3)):
        dataset(count).to_parquet(folder / f"pictures/data/{split}-00000-of-00001.parquet")
    (folder / "scripted").mkdir()
    (folder / "scripted/scripted.py").write_text("raise SystemExit('code of the hub was run')")
    for subset in ("small", "large"):
        (folder / "subsets" / subset).mkdir(parents=True)
        dataset(2).to_parquet(folder / f"subsets/{subset}/train-00000-of-00001.parquet")
    text = "---\nconfigs:\n" + "".join(
        f"- config_name: {one}\n  data_files: {one}/*.parquet\n" for one in ("small", "large")
    )
    (folder / "subsets/README.md").write_text(f"{text}---\n")
    with fake_hub.serve({f"owner/{name}": folder / name for name in ("pictures", "subsets", "scripted")}) as found:
        yield found


def described(home, settings, **environment):
    """What a process that reaches a hub, or only its cache, makes of a dataset: its ids and commit, or the error."""
    code = f"""
        import json
        from probing import ids, listed, opened
        from dnd.probe import pack
        photos = {settings!r}
        try:
            rows, _ = listed(photos=photos)
            origin = pack.origin({{"models": {{}}}}, opened(photos=photos)[1])
            found = [ids(rows), [row["label"] for row in rows], origin]
        except ValueError as error:
            found = str(error)
        print(json.dumps(found))
    """
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    ours |= {"HF_HOME": str(home), "NO_PROXY": "127.0.0.1", "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, env=ours | environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


PICTURES = {"source": "huggingface", "dataset": "owner/pictures", "split": "validation", "label": "label"}


def test_a_dataset_of_the_hub_is_fetched_once_and_its_commit_recorded(hub, tmp_path):
    first = described(tmp_path, PICTURES, HF_ENDPOINT=hub.url)
    names, labels, origin = first
    assert names == ["00000000", "00000001-1.png", "00000002"]
    assert labels == ["cat", "dog", "cat"]
    assert origin == {"models": {"owner/pictures": fake_hub.COMMIT}}
    assert described(tmp_path, PICTURES, HF_HUB_OFFLINE="1") == first
    pinned = described(tmp_path, PICTURES | {"revision": fake_hub.COMMIT}, HF_HUB_OFFLINE="1")
    assert pinned == [names, labels, {"models": {f"owner/pictures@{fake_hub.COMMIT}": fake_hub.COMMIT}}]
    other = described(tmp_path, PICTURES | {"revision": "f" * 40}, HF_HUB_OFFLINE="1")
    assert other.startswith(
        f"probes.photos.revision: owner/pictures is here at commit {fake_hub.COMMIT} only: fetch ffff"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": "owner/nothing"}, "probes.photos.dataset: owner/nothing cannot be loaded: DatasetNotFoundError"),
        ({"dataset": "owner/scripted"}, "owner/scripted cannot be loaded: RuntimeError: Dataset scripts are no longer"),
        ({"split": "test"}, "probes.photos.dataset: owner/pictures cannot be loaded: ValueError: Unknown split"),
        (
            {"revision": "v9"},
            "probes.photos.dataset: owner/pictures cannot be loaded: DatasetNotFoundError: Revision 'v9'",
        ),
        (
            {"dataset": "owner/subsets", "split": "train"},
            "Please pick one among the available configs: ['small', 'large']",
        ),
        ({"dataset": "owner/subsets", "subset": "huge"}, "'huge' not found. Available: ['small', 'large']"),
    ],
)
def test_what_the_hub_does_not_have_is_one_clear_error(hub, tmp_path, settings, message):
    found = described(tmp_path, PICTURES | settings, HF_ENDPOINT=hub.url)
    assert message in found
    assert "\n" not in found


def test_a_dataset_that_is_not_in_the_cache(tmp_path):
    found = described(tmp_path, PICTURES, HF_HUB_OFFLINE="1")
    assert found.startswith("probes.photos.dataset: owner/pictures cannot be loaded: ConnectionError: ")
    assert found.endswith("; run `snakemake prefetch` where there is internet")


def test_a_subset_is_chosen_by_its_name(hub, tmp_path):
    subset = PICTURES | {"dataset": "owner/subsets", "subset": "large", "split": None}
    assert described(tmp_path, subset, HF_ENDPOINT=hub.url)[0] == ["00000000", "00000001-1.png"]
