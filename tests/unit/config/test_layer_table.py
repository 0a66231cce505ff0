"""The table of known layers: each mistake is one clear line that names the file and the row."""

import re
from pathlib import Path

import pytest
from spoilt import FILE, LAYERS, problem, write_good

from dnd.config import load
from dnd.config.layer_table import LAYER_SLUG, LONGEST_SLUG, matching
from dnd.config.load import LONGEST_NAME
from dnd.config.sections import MOST
from dnd.config.sweep import known_layers
from dnd.target.inventory import slug_of


@pytest.fixture
def good(tmp_path, monkeypatch):
    """Values of config.yaml that are right, in a folder with the files that they name."""
    monkeypatch.chdir(tmp_path)
    return write_good(tmp_path)


def test_names_of_layers_make_names_of_logs_that_a_disk_can_hold():
    model, probe = "m" * LONGEST_NAME, "p" * LONGEST_NAME
    slug = slug_of(".".join(["encoder"] * 60), {slug_of(".".join(["encoder"] * 60), set())})
    assert len(f"{model}-{probe}-mean-negative-{MOST}-{MOST}-{'s' * LONGEST_SLUG}.log") <= 255
    assert re.fullmatch(LAYER_SLUG, slug)
    assert slug.endswith("-2")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("net\tlayer4\tlayer4\t32", "line 4: model 'net', layer 'layer4' is listed twice"),
        ("net\tlayer3\tlayer 3\t32", "line 4: slug 'layer 3' must be letters"),
        (
            "net\tlayer3\tlayer4\t32",
            "line 4: slug 'layer4' is that of layer 'layer4' of model 'net' already; each layer of a model needs its",
        ),
        (
            "net\tblocks.0.fc\tblocks.0_fc\t7",
            "line 4: slug 'blocks.0_fc' is that of layer 'blocks.0/fc' of model 'net'",
        ),
        ("net\tlayer3\tlayer3\tmany", "line 4: units is 'many', expected a number above zero"),
        ("net\tlayer3\tlayer3\t0", "line 4: units is '0', expected a number above zero"),
        ("net\tlayer3\tlayer3\t\u00b2", "line 4: units is '\u00b2', expected a number above zero"),
        ("net\tlayer3\tlayer3\t" + "9" * 5000, "line 4: units is '" + "9" * 40 + "...', expected a number above zero"),
        ("net\tlayer3\tlayer3\t10000001", "line 4: units is '10000001', expected a number above zero, 10,000,000 at"),
        ("net\tlayer3\t" + "s" * 81 + "\t3", "line 4: slug '" + "s" * 81 + "' must be letters"),
    ],
)
def test_a_mistake_in_the_inventory_names_file_and_row(good, row, message):
    Path("config/layers.tsv").write_text(LAYERS + row + "\n")
    assert problem(good, known_layers).startswith(f"config/layers.tsv {message}")


def test_layers_of_two_models_may_share_a_slug(good):
    Path("config/layers.tsv").write_text(LAYERS + "other\tfirst\tlayer4\t8\n")
    assert known_layers(load.load(good, FILE))["other", "first"] == ("layer4", 8)


def test_a_pattern_stands_for_names_of_as_many_parts():
    assert matching("blocks.*.fc?", ["blocks.0.fc1", "blocks.0.mlp.fc1", "blocks.1.fc2", "blocks.1.fc"]) == [
        "blocks.0.fc1",
        "blocks.1.fc2",
    ]
