"""The configuration: each mistake is one clear line that names the file, the key or row, and what is right."""

import copy
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnd import config
from dnd.config import ConfigError

FILE = "config/config.yaml"
SWEEP = "name\tmodel\tlayers\tprobe\trecipe\tunits"
LAYERS = "model\tlayer\tslug\tunits\nnet\tlayer4\tlayer4\t32\nnet\tblocks.0/fc\tblocks.0_fc\t10\n"


@pytest.fixture
def good(tmp_path, monkeypatch):
    """Values of config.yaml that are right, and the files that they name."""
    monkeypatch.chdir(tmp_path)
    for folder in ("config/prompts", "images", "models/mine/captioner"):
        Path(folder).mkdir(parents=True)
    Path("config/prompts/concept.yaml").write_text("")
    Path("config/layers.tsv").write_text(LAYERS)
    Path("config/sweep.tsv").write_text(f"{SWEEP}\nmine\tnet\tlayer4\tphotos\tdnd\t0-3\n")
    return {
        "run": "demo",
        "sweep": "config/sweep.tsv",
        "models": {"net": {"source": "torchvision", "factory": "resnet18"}},
        "probes": {"photos": {"source": "folder", "path": "images"}},
        "recipes": {
            "dnd": {
                "captions": {"model": "models/mine/captioner"},
                "generator": {"model": "owner/generator"},
                "embedder": {"model": "owner/embedder"},
            }
        },
        "llm": {"model": "owner/llm"},
    }


def changed(values, place, value):
    """A copy of the values with one of them changed, or removed where it is ``...``."""
    values = copy.deepcopy(values)
    inner = values
    *path, last = place.split(".")
    for name in path:
        inner = inner.setdefault(name, {})
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return values


def sweep(*rows):
    Path("config/sweep.tsv").write_text("\n".join([SWEEP, *("\t".join(row) for row in rows)]) + "\n")


def problem(values, call=lambda loaded: None):
    with pytest.raises(ConfigError) as error:
        call(config.load(values, FILE))
    return str(error.value)


def test_good_values_load_with_their_defaults(good):
    loaded = config.load(good, FILE)
    recipe = loaded.recipes["dnd"]
    assert (recipe.pooling, recipe.exemplars.keep, recipe.generator.steps) == ("mean", 10, 20)
    assert loaded.probes["photos"].path == Path("images")


def test_the_repositorys_own_configuration_is_good(monkeypatch):
    yaml = pytest.importorskip("yaml")
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    loaded = config.Config.model_validate(yaml.safe_load((root / FILE).read_text()))
    assert loaded.run == "demo"


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("colour", 1, "colour: unknown key"),
        ("models.net.wieghts", "x", "models.net.wieghts: unknown key"),
        ("recipes.dnd.generator.step", 5, "recipes.dnd.generator.step: unknown key"),
        ("llm", ..., "llm: is missing"),
        ("recipes.dnd.captions.model", ..., "recipes.dnd.captions.model: is missing"),
        ("models.net.source", "keras", "models.net.source: .*'python' or 'torchvision'.*'keras'"),
        ("recipes.dnd.generator.steps", "many", "recipes.dnd.generator.steps: .*integer.*'many'"),
        ("recipes.dnd.generator.steps", 0, "recipes.dnd.generator.steps: .*greater.*1, not 0"),
        ("recipes.dnd.exemplars.max_overlap", 1.5, "max_overlap: .*less than or equal to 1, not 1.5"),
        ("recipes.dnd.pooling", "median", "recipes.dnd.pooling: .*'mean' or 'max'"),
        ("recipes.dnd.generator.prompt", "a photo", r"generator.prompt: .*must hold \{concept\} once"),
        ("recipes.dnd.generator.prompt", "{concept} {x}", r"generator.prompt: .*no other braces"),
        ("probes.photos.path", None, "probes.photos: .*source folder needs `path`"),
        ("run", "../demo", "run: .*pattern"),
        ("run", "store", "run: 'store' is the folder of the item store"),
        ("models", {}, "models: .*at least 1"),
        ("models", [], "models: .*dictionary"),
        ("sweep", "config/none.tsv", "sweep: config/none.tsv does not exist"),
        ("probes.photos.path", "pictures", "probes.photos.path: pictures does not exist"),
        ("models.net.known_answers", "units.json", "models.net.known_answers: units.json does not exist"),
        ("models.net.preprocess", "pre.json", "models.net.preprocess: pre.json does not exist"),
        ("recipes.dnd.captions.model", "./blip", r"recipes.dnd.captions.model: blip does not exist"),
        ("recipes.dnd.embedder.model", "a/b/c", "recipes.dnd.embedder.model: a/b/c does not exist"),
        ("recipes.dnd.concepts.prompt", "no.yaml", "recipes.dnd.concepts.prompt: no.yaml does not exist"),
        ("llm.model", "/models/llm", "llm.model: /models/llm does not exist"),
        ("models.my net", {"source": "python", "factory": "a:b"}, "models.my net: a name is letters"),
    ],
)
def test_a_mistake_is_one_line_with_file_and_key(good, place, value, message):
    found = problem(changed(good, place, value))
    assert len(found.splitlines()) == 1
    assert re.match(rf"{re.escape(FILE)}: .*{message}", found), found


def test_every_mistake_is_told_at_once(good):
    values = changed(changed(good, "colour", 1), "recipes.dnd.generator.steps", 0)
    assert len(problem(values).splitlines()) == 2


def test_a_hub_model_and_an_external_servers_model_need_no_folder(good):
    values = changed(good, "llm", {"model": "/models/llm", "base_url": "http://localhost:1/v1"})
    assert config.load(values, FILE).llm.model == "/models/llm"


def test_a_missing_table_of_layers_is_an_empty_one(good):
    Path("config/layers.tsv").unlink()
    found = problem(good, config.layers)
    assert found.startswith("config/sweep.tsv line 2: unknown layer 'layer4' of model 'net'; config/layers.tsv has []")
    assert "snakemake inventory" in found


def layers(values):
    return config.layers(config.load(values, FILE))


def test_layers_of_the_sweep_in_its_order(good):
    sweep(
        ["b", "net", "blocks.0/fc, layer4", "photos", "dnd", ""],
        ["a", "net", "layer4", "photos", "dnd", "5,0-2"],
    )
    found = layers(good)
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
    found = problem(good, config.layers)
    assert len(found.splitlines()) == 1
    assert re.search(rf"^config/sweep\.tsv:? {message}", found), found


def test_a_sweep_separated_by_commas_is_refused(good):
    Path("config/sweep.tsv").write_text(SWEEP.replace("\t", ",") + "\n")
    assert "expected ['name', 'model'" in problem(good, config.layers)
    assert "separated by tabs" in problem(good, config.layers)


def test_a_sweep_saved_by_a_spreadsheet_is_read(good):
    text = Path("config/sweep.tsv").read_text()
    Path("config/sweep.tsv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode() + b"\r\n")
    assert [one.name for one in layers(good)] == ["mine"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("net\tlayer4\tlayer4\t32", "line 4: model 'net', layer 'layer4' is listed twice"),
        ("net\tlayer3\tlayer 3\t32", "line 4: slug 'layer 3' must be letters"),
        ("net\tlayer3\tlayer3\tmany", "line 4: units is 'many', expected a number above zero"),
        ("net\tlayer3\tlayer3\t0", "line 4: units is '0', expected a number above zero"),
    ],
)
def test_a_mistake_in_the_inventory_names_file_and_row(good, row, message):
    Path("config/layers.tsv").write_text(LAYERS + row + "\n")
    assert problem(good, config.layers).startswith(f"config/layers.tsv {message}")


@given(st.sets(st.integers(0, 300), min_size=1))
def test_units_are_spelt_as_they_are_read(numbers):
    assert config.units(config.spell(sorted(numbers))) == tuple(sorted(numbers))


def test_runs_of_units_are_spelt_as_ranges():
    assert config.spell((0, 1, 2, 5, 7, 8)) == "0-2,5,7-8"
    assert config.spell(range(1024)) == "0-1023"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("7", (7,)), ("0-3", (0, 1, 2, 3)), ("9, 0-2", (0, 1, 2, 9)), ("4-4", (4,)), ("007", (7,))],
)
def test_units(text, expected):
    assert config.units(text) == expected


@pytest.mark.parametrize("text", ["", ",", "1,", "-1", "1-", "a", "1.5", "1--2", "2-1", "1,1", "0-2,2"])
def test_other_texts_are_no_units(text):
    with pytest.raises(ValueError, match=r"neither a unit|backwards|twice"):
        config.units(text)


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
    assert config.units(",".join(parts)) == tuple(sorted(wanted))
