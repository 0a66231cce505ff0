"""Methods and audits are refused before any job starts where what they need is not there."""

from pathlib import Path

import pytest
import yaml

from dnd import requirements
from dnd.config import ConfigError, load
from dnd.sweep import Layer

EMBEDDER = {"model": "resources/shapeworld/embedder"}
RECIPES = {
    "words": {"method": "clip-dissect", "concepts": "resources/shapeworld/concepts.txt", "embedder": EMBEDDER},
    "masks": {"method": "network-dissection"},
    "labels": {"method": "invert"},
}


def checked(recipe, probe="shapes", values=None):
    plain = yaml.safe_load(Path("config/config.yaml").read_text())
    plain["recipes"] |= RECIPES
    plain["probes"]["photos"] = {"source": "folder", "path": "docs"}
    for key, value in (values or {}).items():
        plain.setdefault(key, {}).update(value)
    config = load(plain)
    layers = [Layer("row", "conceptnet", "layer4", "layer4", probe, recipe, range(8))]
    requirements.check(config, layers)


@pytest.mark.parametrize("recipe", ["dnd", *RECIPES])
def test_the_embedded_world_has_what_every_method_needs(recipe):
    checked(recipe)


@pytest.mark.parametrize(("recipe", "needs"), [("masks", "pixel masks"), ("labels", "image labels")])
def test_a_probe_without_annotations(recipe, needs):
    with pytest.raises(ConfigError, match=rf"^probes\.photos\.annotations: is missing; recipe '{recipe}'.*{needs}$"):
        checked(recipe, "photos")
    checked("words", "photos")


def test_more_images_than_are_kept():
    few = {"recipes": {"words": RECIPES["words"] | {"kept": 50}}}
    with pytest.raises(
        ConfigError, match=r"^recipes\.words\.top: 100 images are wanted, but `kept` keeps 50 of a unit$"
    ):
        checked("words", values=few)


@pytest.mark.parametrize(
    ("audit", "message"),
    [
        ({"row": "rwo", "units": "0"}, r"^audits\.one: .* has no row 'rwo' with layer 'layer4'$"),
        ({"row": "row", "units": "0", "probe": "x"}, r"^audits\.one\.probe: unknown probe 'x'"),
        ({"row": "row", "units": "7-8"}, r"^audits\.one\.units: row 'row' does not describe unit 8 of layer 'layer4'$"),
        ({"row": "row", "units": "a"}, r"^audits\.one\.units: 'a' is neither a unit nor a range"),
    ],
)
def test_an_audit_of_something_else(audit, message):
    with pytest.raises(ConfigError, match=message):
        checked("dnd", values={"audits": {"one": {"layer": "layer4"} | audit}})
