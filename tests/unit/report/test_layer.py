"""The pages of a layer: every unit with all of its evidence, from the tables of a run made by hand."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from handmade import write_probe
from pages import GENERATED, png, write_run, write_site
from PIL import Image

from dnd.io import schemas, tables
from dnd.report import data_files, layer
from dnd.report.units import Tables
from dnd.shapeworld import render

PLANTED = [
    ("single", ("red",), ["red objects", "striped objects"]),
    ("conjunction", ("blue", "star"), ["snow backgrounds", "blue stars", "red objects"]),
    ("dead", None, []),
    ("random", None, ["various objects"]),
    ("single", ("red",), ["red objects or stars"]),
]

TABLES = {
    "descriptions": schemas.DESCRIPTIONS,
    "exemplars": schemas.EXEMPLARS,
    "scores": schemas.SCORES,
    "facets": schemas.FACETS,
    "topk": schemas.TOPK,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_site(folder, write_run(folder, {("planted", "concepts"): PLANTED}))
    return folder


@pytest.fixture(scope="module")
def pages(folder):
    return folder / "planted/pages"


@pytest.fixture(scope="module")
def index(pages):
    return data_files.read(pages / "index.js")


@pytest.fixture(scope="module")
def block(pages):
    return data_files.read(pages / "units/00000.js")


def rewritten(folder, name, schema, change):
    """Write a table anew whose rows a function changes in place."""
    rows = tables.read(folder / name, schema).to_pylist()
    for row in rows:
        change(row)
    tables.write(folder / name, tables.table(rows, schema), schema)


def built(folder, facts, given, **changes):
    """The folder of a layer's pages, its index and its first units, of tables some of which are others."""
    out = folder / "again"
    layer.run(out, facts, Tables(**{**vars(given), **changes}), {}, None)
    return out, data_files.read(out / "index.js"), data_files.read(out / "units/00000.js")["units"]


def test_the_index_holds_a_column_of_every_fact(index):
    assert [index[key] for key in ("name", "slug", "model", "recipe", "method")] == [
        *("planted", "concepts", "conceptnet", "dnd", "dnd")
    ]
    assert index["unit"] == [0, 1, 2, 3, 4]
    assert index["labels"] == ["red objects", "red objects or stars", "snow backgrounds", "various objects"]
    assert index["label"] == [0, 2, -1, 3, 1]
    assert (index["reasons"], index["abstained"]) == (["dead"], [-1, -1, 0, -1, -1])
    assert index["kinds"] == ["conjunction", "dead", "random", "single"]
    assert index["kind"] == [3, 0, 1, 2, 3]
    assert index["truth"] == ["red objects", "blue stars", None, None, "red objects"]
    assert (index["facets"], index["polysemantic"]) == ([1, 1, 0, 1, 2], [0, 0, 0, 0, 1])
    assert index["score"] == [2.4, 2.4, None, 2.4, 2.4]
    assert index["explains"] == [0.4, 0.45, None, 0.55, 0.6] and index["confidence"] == [None] * 5
    assert index["importance"] is None
    assert index["thumbs"] == {"per_sheet": 64, "columns": 4, "side": 56, "count": [4, 4, 0, 4, 4]}
    assert index["settings"] == [["pooling", "max"]]
    assert index["contact_sheet"] is True


def test_search_finds_the_rows_of_labels_candidates_and_captions(pages, block):
    search = data_files.read(pages / "search.js")
    rows = {kind: dict(zip(one["texts"], one["rows"], strict=True)) for kind, one in search.items()}
    assert rows["label"] == {
        "red objects": [0],
        "snow backgrounds": [1],
        "various objects": [3],
        "red objects or stars": [4],
    }
    assert rows["candidate"]["red objects"] == [0, 1]
    assert rows["candidate"]["blue stars"] == [1]
    caption = block["units"][0]["exemplars"][0]["caption"]
    assert rows["caption"][caption][0] == 0


def test_every_candidate_has_every_score(block):
    found = block["units"][1]["candidates"]
    assert [one["concept"] for one in found] == ["snow backgrounds", "blue stars", "red objects"]
    assert [one["chosen"] for one in found] == [True, False, False]
    assert [
        [one[key] for key in ("score", "auc", "mad", "rank_score", "image_similarity", "votes")] for one in found
    ] == [
        [2.4, 0.99, 3, 11, 0.8, 3],
        [1.9, 0.86, 2.1, 101, 0.7, 2],
        [1.4, 0.73, 1.2, 191, 0.6, 1],
    ]
    assert [[one[key] for key in ("correlation", "precision", "drawn")] for one in found] == [
        [0.6, 0.5, 0.7],
        [0.4, 0.5, 0.4],
        [0.2, 0.5, 0.1],
    ]


def test_generated_images_are_in_order_of_activation_and_kept_once(folder, block):
    scores = tables.read(folder / "planted/scores.parquet", schemas.SCORES).to_pylist()
    concepts = sorted({one["concept"] for row in block["units"] for one in row["candidates"] if one["pictures"]})
    cells = set()
    for row in scores:
        (shown,) = [one for one in block["units"][row["unit"]]["candidates"] if one["concept"] == row["concept"]]
        values = [value for _, value in shown["pictures"]]
        assert values == pytest.approx(sorted(row["activations"], reverse=True), rel=1e-3)
        cells |= {cell for cell, _ in shown["pictures"]}
    assert cells == set(range(GENERATED * len(concepts)))
    assert block["drawn"]["count"] == len(cells)


def test_exemplars_are_those_of_the_tables(folder, block):
    rows = tables.read(folder / "planted/exemplars.parquet", schemas.EXEMPLARS).to_pylist()
    own = [row for row in rows if row["unit"] == 0]
    found = block["units"][0]["exemplars"]
    assert [(one["id"], one["box"]) for one in found] == [(row["image_id"], row["box"]) for row in own]
    assert {tuple(one["size"]) for one in found} == {(64, 64)}
    assert all(one["heat_box"] == [0, 0, 64, 64] for one in found)
    assert all(one["caption"].startswith("a red") for one in found)


def cell_of(path, facts, number):
    side, (y, x) = facts["side"], divmod(number, facts["columns"])
    return np.asarray(Image.open(path).convert("RGB"), float)[y * side :, x * side :][:side, :side]


def test_an_exemplar_shows_its_own_image(pages, block):
    one = block["units"][1]["exemplars"][0]
    _, truth, _ = render.draw(4, int(one["id"][-8:-4]))
    truth = np.asarray(Image.fromarray(truth).resize((112, 112)), float)
    found = cell_of(pages / "units/00000-exemplars.webp", block["exemplars"], one["cell"])
    others = [cell_of(pages / "units/00000-exemplars.webp", block["exemplars"], cell) for cell in range(10)]
    assert np.abs(found - truth).mean() < 12  # compressed, but this image
    assert sum(np.abs(other - truth).mean() < 12 for other in others) <= 1


def test_facets_reasons_and_histograms(block, index):
    units = block["units"]
    assert [(one["label"], one["share"]) for one in units[4]["facets"]] == [("red objects", 0.5), ("stars", 0.5)]
    assert units[0]["reason"] is None
    assert units[2]["reason"] == "The unit is never active, its activation is zero for every image of the probe."
    bars = units[0]["histogram"]
    assert (bars["low"], bars["high"], sum(bars["counts"]), len(bars["counts"])) == (0, 4.8, 9, 24)
    assert (bars["counts"][0], bars["counts"][5], bars["counts"][10], bars["counts"][23]) == (6, 1, 1, 1)
    low, high = index["span"]
    assert low <= 0 and high >= 4.8


def test_alternatives_show_the_images_of_their_parts(folder, tmp_path):
    places = write_run(
        tmp_path, {("planted", "concepts"): [("single", ("red",), ["red objects", "stars", "x or y"])]}, probe=20
    )

    def joined(row):
        if row["candidate"] == 2:
            row |= {"parts": [0, 1], "shares": [0] * 10, "activations": [9.0] * (2 * GENERATED)}
        if row["candidate"] == 1:
            row["activations"] = row["activations"][:4]  # it was drawn less often

    rewritten(tmp_path, "planted/scores.parquet", schemas.SCORES, joined)
    _, _, (unit,) = built(tmp_path, *places[0])
    first, second, both = unit["candidates"]
    assert len(second["pictures"]) == 4
    assert sorted(both["pictures"]) == sorted(first["pictures"] + second["pictures"])


def test_layers_of_other_methods_have_less_to_show(folder, tmp_path):
    places = write_run(tmp_path, {("rival", "concepts"): PLANTED}, probe=20)

    def bare(row):
        row["captions"] = [None] * len(row["captions"])
        row["exemplars"] = [one | {"box": None} for one in row["exemplars"]]
        row["candidates"] = [
            one | dict.fromkeys(("auc", "mad", "rank_score", "image_similarity")) for one in row["candidates"]
        ]

    rewritten(tmp_path, "rival/descriptions.parquet", schemas.DESCRIPTIONS, bare)
    out, index, units = built(tmp_path, *places[0], exemplars=[], scores=[], images=[])
    assert index["labels"] and index["kinds"] == [] and index["truth"] is None
    assert {one["caption"] for unit in units for one in unit["exemplars"]} == {None}
    assert {one["heat"] for unit in units for one in unit["exemplars"]} == {None}
    assert [one["pictures"] for one in units[0]["candidates"]] == [[], []]
    assert units[0]["candidates"][0]["votes"] is None
    assert not (out / "units/00000-drawn.webp").exists() and not (out / "units/00000-heat.webp").exists()
    assert data_files.read(out / "search.js")["caption"] == {"texts": [], "rows": []}


def test_a_layer_of_which_nothing_is_said(tmp_path):
    places = write_run(tmp_path, {("planted", "concepts"): [("dead", None, [])] * 3}, probe=20)
    out, index, units = built(tmp_path, *places[0])
    assert (index["labels"], index["label"], index["contact_sheet"]) == ([], [-1] * 3, False)
    assert [unit["exemplars"] for unit in units] == [[], [], []]
    assert sorted(path.name for path in out.iterdir()) == ["index.js", "search.js", "units"]


def test_importance_is_that_of_the_layers_own_units(tmp_path):
    places = write_run(tmp_path, {("planted", "concepts"): PLANTED}, probe=20)
    rows = [
        {"unit": unit, "attribution": 0.5, "absolute": 1.5 + unit, "std": 0.1, "images": 4, "note": None}
        for unit in range(4)
    ]
    tables.write(tmp_path / "weights.parquet", tables.table(rows, schemas.IMPORTANCE), schemas.IMPORTANCE)
    _, index, _ = built(tmp_path, *places[0], importance=[tmp_path / "weights.parquet"])
    assert index["importance"] == [1.5, 2.5, 3.5, 4.5, None]


def test_an_exemplar_that_the_probe_lacks_is_told(tmp_path):
    places = write_run(tmp_path, {("planted", "concepts"): PLANTED[:1]}, probe=20)
    rows = tables.read(tmp_path / "probe.parquet", schemas.PROBE).slice(0, 1)
    tables.write(tmp_path / "probe.parquet", rows, schemas.PROBE)
    with pytest.raises(ValueError, match="no image 'shapes/"):
        built(tmp_path, *places[0])


def test_many_units_in_several_processes_give_the_same_files(tmp_path):
    """Units of a part of the layer, whose numbers are not their rows."""
    (facts, given), *_ = write_run(tmp_path, {("planted", "concepts"): [PLANTED[i % 4] for i in range(70)]}, probe=20)
    for name, schema in TABLES.items():
        rewritten(tmp_path, f"planted/{name}.parquet", schema, lambda row: row.update(unit=3 * row["unit"] + 1))
    given = Tables(**{**vars(given), "images": []})
    outs = [tmp_path / f"pages-{threads}" for threads in (1, 2)]
    for threads, out in zip((1, 2), outs, strict=True):
        layer.run(out, facts, given, {}, None, threads)
    files = [{path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()} for out in outs]
    assert files[0] == files[1]
    index, last = (data_files.read(outs[0] / f"{name}.js") for name in ("index", "units/00004"))
    assert index["unit"] == list(range(1, 211, 3))
    assert [unit["unit"] for unit in last["units"]] == index["unit"][64:]
    counts = index["thumbs"]["count"][64:]
    assert [min(len(unit["exemplars"]), 4) for unit in last["units"]] == counts == [4, 4, 0, 4, 4, 4]
    assert Image.open(outs[0] / "thumbs/00001.webp").size == (4 * 56, 64 * 56)


def test_pictures_of_a_png_with_an_odd_size_are_read(tmp_path):
    places = write_run(tmp_path, {("planted", "concepts"): PLANTED[:1]}, probe=20)
    wide = png(np.full((50, 320, 3), 200, np.uint8))
    rewritten(tmp_path, "probe.parquet", schemas.PROBE, lambda row: row.update(image=wide, width=320, height=50))
    _, _, (unit,) = built(tmp_path, *places[0])
    assert {tuple(one["size"]) for one in unit["exemplars"]} == {(320, 50)}


CONFINED = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
may_mount = shutil.which("unshare") and subprocess.run([*CONFINED, "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not may_mount, reason="needs a disk of its own, which this system does not let us mount")
@pytest.mark.parametrize("images", [30, 200])
def test_a_disk_without_room_for_thumbnails_is_told(tmp_path, images):
    names = [f"{i:03d}.png" for i in range(images)]
    shard = write_probe(tmp_path / "probe.parquet", {name: png(np.full((4, 4, 3), 9, np.uint8)) for name in names})
    (tmp_path / "small").mkdir()
    code = f"""
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from dnd.report.thumbnails import thumbnails
thumbnails(Path("small"), {names}, [Path({str(shard)!r})], 96, ThreadPoolExecutor(1))
"""
    script = 'mount -t tmpfs -o size=256k none small && exec "$@"'
    line = [*CONFINED, script, "sh", sys.executable, "-c", code]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "OSError: [Errno 28] No space left on device")
