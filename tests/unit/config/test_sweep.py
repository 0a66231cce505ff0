"""The tables of what to describe: each mistake is one clear line that names the file and the row."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spoilt import FILE, LAYERS, SWEEP, problem, write_good

from dnd.config import load
from dnd.config.sweep import OWN_FOLDERS, layers, spell, units
from dnd.run.paths import PATTERNS


@pytest.fixture
def good(tmp_path, monkeypatch):
    """Values of config.yaml that are right, in a folder with the files that they name."""
    monkeypatch.chdir(tmp_path)
    return write_good(tmp_path)


def sweep(*rows):
    Path("config/sweep.tsv").write_text("\n".join([SWEEP, *("\t".join(row) for row in rows)]) + "\n")


def test_a_missing_table_of_layers_is_an_empty_one(good):
    Path("config/layers.tsv").unlink()
    found = problem(good, layers)
    assert found.startswith("config/sweep.tsv line 2: unknown layer 'layer4' of model 'net'; config/layers.tsv has []")
    assert "snakemake inventory" in found


def layers_in(values):
    return layers(load.load(values, FILE))


def test_layers_the_sweep_in_its_order(good):
    sweep(
        ["b", "net", "blocks.0/fc, layer4", "photos", "dnd", ""],
        ["a", "net", "layer4", "photos", "dnd", "5,0-2"],
    )
    found = layers_in(good)
    assert [(one.name, one.layer, one.slug) for one in found] == [
        ("b", "blocks.0/fc", "blocks.0_fc"),
        ("b", "layer4", "layer4"),
        ("a", "layer4", "layer4"),
    ]
    assert list(found[0].units) == list(range(10))
    assert found[2].units == (0, 1, 2, 5)


ROW = ["mine", "net", "layer4", "photos", "dnd", "0-3"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["mine", "ner", *ROW[2:]]], r"line 2: unknown model 'ner'; .*\['net'\]"),
        ([[*ROW[:2], "layer5", *ROW[3:]]], r"line 2: unknown layer 'layer5' of model 'net'; .*'layer4'"),
        ([[*ROW[:2], "", *ROW[3:]]], "line 2: unknown layer ''"),
        ([[*ROW[:3], "foto", *ROW[4:]]], r"line 2: unknown probe 'foto'; .*\['photos'\]"),
        ([[*ROW[:4], "best", ROW[5]]], r"line 2: unknown recipe 'best'; .*\['dnd'\]"),
        ([["my row", *ROW[1:]]], "line 2: name 'my row' must be letters"),
        ([["../up", *ROW[1:]]], "line 2: name '../up' must be letters"),
        ([["images", *ROW[1:]]], "line 2: name 'images' is the name of another results folder"),
        ([["groups.tsv", *ROW[1:]]], "line 2: name 'groups.tsv' is the name of another results folder"),
        ([["comparisons.parquet", *ROW[1:]]], "line 2: name 'comparisons.parquet' is the name of another results"),
        ([["n" * 300, *ROW[1:]]], "line 2: name 'n*' must be letters, .* 64 at most"),
        ([[*ROW[:5], "\u0663"]], "line 2: units: '\u0663' is neither a unit nor a range"),
        ([[*ROW[:5], "9" * 5000]], r"line 2: units: '9{40}\.\.\.' is beyond any layer"),
        ([[*ROW[:5], "0-" + "\u0661" * 5000]], r"line 2: units: '0-.*\.\.\.' is neither a unit nor a range"),
        ([ROW, ROW], "line 3: name 'mine' with layer 'layer4' is listed twice"),
        ([ROW, ["b", *ROW[1:]], ROW], "line 4: name 'mine' with layer 'layer4' is listed twice"),
        ([[*ROW[:2], "layer4,layer4", *ROW[3:]]], "line 2: name 'mine' with layer 'layer4' is listed twice"),
        ([[*ROW[:5], "0-32"]], "line 2: unit 32 of layer 'layer4', which has 32"),
        ([[*ROW[:5], "3-1"]], "line 2: units: range '3-1' runs backwards"),
        ([[*ROW[:5], "1,0-2"]], "line 2: units: a unit is listed twice"),
        ([[*ROW[:5], "all"]], "line 2: units: 'all' is neither a unit nor a range"),
        ([[*ROW[:5], "0-99999999999"]], "line 2: units: '0-99999999999' is beyond any layer"),
        ([ROW, [*ROW[:5]]], "line 3: expected 6 columns"),
        ([[*ROW, "more"]], "line 2: expected 6 columns"),
        ([], "no rows"),
    ],
)
def test_a_mistake_in_the_sweep_names_file_and_row(good, rows, message):
    sweep(*rows)
    found = problem(good, layers)
    assert len(found.splitlines()) == 1
    assert re.search(rf"^config/sweep\.tsv:? {message}", found), found


def test_every_mistake_in_both_tables_is_told_at_once(good):
    Path("config/layers.tsv").write_text(LAYERS + "net\tlayer3\tlayer3\tmany\nnet\tlayer4\tlayer4\t32\n")
    sweep(
        ["logs", "net", "layer4", "photo", "dnd", "1-0"],
        ["b", "net", "layer4", "photos", "dnd", "32"],
        ["c", "net", "layer4", "photos"],
        ["d", "net", "layer4,layer4", "photos", "dnd", ""],
    )
    assert [line.split(": ")[0] for line in problem(good, layers).splitlines()] == [
        *("config/sweep.tsv line 4", "config/sweep.tsv line 2", "config/sweep.tsv line 2", "config/sweep.tsv line 2"),
        *("config/layers.tsv line 4", "config/layers.tsv line 5", "config/sweep.tsv line 3", "config/sweep.tsv line 5"),
    ]
    sweep(["a", "net", "layer8,layer4,layer9,encoder.*", "photos", "dnd", ""])
    Path("config/layers.tsv").write_text(LAYERS)
    assert [re.search("layer8|layer9|encoder", line)[0] for line in problem(good, layers).splitlines()] == [
        *("layer8", "layer9", "encoder"),
    ]


@pytest.mark.parametrize("table", ["sweep", "layers"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name\xff", ", line 1: no UTF-8 text"),
        (None, " is a folder, expected a text file"),
        (b"name\tmodel\tlayers\n" + b"x" * 200_000, ": "),
        (b"", ": the columns are None, expected "),
    ],
)
def test_a_table_that_is_none(good, table, content, message):
    loaded = load.load(good, FILE)
    path = Path(f"config/{table}.tsv")
    path.unlink()
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(load.ConfigError) as error:
        layers(loaded)
    assert str(error.value).startswith(f"config/{table}.tsv{message}")


def test_a_row_may_not_be_named_as_anything_that_a_run_writes():
    written = {pattern.partition("/")[0] for pattern in PATTERNS.values()} - {"{name}"}
    assert written | {"benchmarks", "logs"} == OWN_FOLDERS


def test_a_sweep_separated_by_commas_is_refused(good):
    Path("config/sweep.tsv").write_text(SWEEP.replace("\t", ",") + "\n")
    assert "expected ['name', 'model'" in problem(good, layers)
    assert "separated by tabs" in problem(good, layers)


def test_a_sweep_saved_by_a_spreadsheet_is_read(good):
    text = Path("config/sweep.tsv").read_text()
    Path("config/sweep.tsv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode() + b"\r\n")
    assert [one.name for one in layers_in(good)] == ["mine"]


def test_one_name_for_layers_of_two_models_that_are_named_alike(good):
    """Metrics of a run know a layer by its row's name and its own, whatever its slug."""
    good["models"]["other"] = good["models"]["net"]
    Path("config/layers.tsv").write_text(LAYERS + "other\tlayer4\tfourth\t8\n")
    sweep(ROW, ["mine", "other", *ROW[2:]])
    assert problem(good, layers) == (
        "config/sweep.tsv line 3: name 'mine' stands for layer 'layer4' of another model already; choose another name"
    )
    sweep(ROW, ["theirs", "other", *ROW[2:]])
    assert [(one.name, one.slug) for one in layers_in(good)] == [("mine", "layer4"), ("theirs", "fourth")]


INVENTORY = "layer\tclass\tshape\tunits\tproblem\n"


def test_layers_by_pattern(good):
    Path("config/layers.tsv").write_text(LAYERS + "net\tblocks.1/fc\tb1\t4\nother\tblocks.2/fc\tb2\t4\n")
    sweep(["mine", "net", "blocks.*,layer?", "photos", "dnd", ""])
    assert [one.layer for one in layers_in(good)] == ["blocks.0/fc", "blocks.1/fc", "layer4"]


def test_star_ends_at_a_dot(good):
    Path("config/layers.tsv").write_text(LAYERS + "net\tblocks.1\tb1\t4\nnet\tblocks.1.mlp\tmlp\t4\n")
    sweep(["mine", "net", "*.1", "photos", "dnd", ""], ["too", "net", "blocks.*.mlp", "photos", "dnd", ""])
    assert [one.layer for one in layers_in(good)] == ["blocks.1", "blocks.1.mlp"]


def test_pattern_of_nothing_known(good):
    sweep(["mine", "net", "encoder.*", "photos", "dnd", ""])
    found = problem(good, layers)
    assert found.startswith("config/sweep.tsv line 2: config/layers.tsv has no layer of model 'net' that is named like")
    assert "snakemake inventory" in found


def test_pattern_asks_for_layers_that_only_the_inventory_knows(good):
    """A row that is widened to a pattern must not be taken for the layers that happen to be listed."""
    sweep(["mine", "net", "layer?", "photos", "dnd", ""])
    assert [one.layer for one in layers_in(good)] == ["layer4"]
    Path("results/demo/modules").mkdir(parents=True)
    rows = "layer3\tBlock\t8x4x4\t8\t\nlayer9\tBlock\t\t\tis not called\n"
    Path("results/demo/modules/net.tsv").write_text(INVENTORY + rows)
    assert "unknown layer 'layer3' of model 'net'" in problem(good, layers)


@given(st.sets(st.integers(0, 300), min_size=1))
def test_units_are_spelt_as_they_are_read(numbers):
    assert units(spell(sorted(numbers))) == tuple(sorted(numbers))


def test_runs_of_units_are_spelt_as_ranges():
    assert spell((0, 1, 2, 5, 7, 8)) == "0-2,5,7-8"
    assert spell(range(1024)) == "0-1023"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("7", (7,)), ("0-3", (0, 1, 2, 3)), ("9, 0-2", (0, 1, 2, 9)), ("4-4", (4,)), ("007", (7,))],
)
def test_units(text, expected):
    assert units(text) == expected


@pytest.mark.parametrize("text", ["", ",", "1,", "-1", "1-", "a", "1.5", "1--2", "2-1", "1,1", "0-2,2"])
def test_other_texts_are_no_units(text):
    with pytest.raises(ValueError, match=r"neither a unit|backwards|twice"):
        units(text)


@given(st.sets(st.integers(0, 300), min_size=1), st.randoms(use_true_random=False))
def test_units_written_in_any_way_are_the_same_units(wanted, random):
    parts, left = [], sorted(wanted)
    while left:
        length = 1
        while length < len(left) and left[length] == left[0] + length and random.random() < 0.8:
            length += 1
        parts.append(str(left[0]) if length == 1 else f"{left[0]}-{left[length - 1]}")
        left = left[length:]
    random.shuffle(parts)
    assert units(",".join(parts)) == tuple(sorted(wanted))
