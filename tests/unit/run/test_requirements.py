"""Methods and audits are refused before any job starts where what they need is not there."""

from pathlib import Path

import pytest
import yaml

from dnd.config.load import ConfigError, load
from dnd.config.sweep import Layer
from dnd.run import requirements

EMBEDDER = {"model": "resources/shapeworld/embedder"}
RECIPES = {
    "words": {"method": "clip-dissect", "concepts": "resources/shapeworld/concepts.txt", "embedder": EMBEDDER},
    "masks": {"method": "network-dissection"},
    "labels": {"method": "invert"},
    "seen": {"captions": {"model": "shapeworld"}},
    "drawn": {
        "captions": {"model": "resources/shapeworld/captioner"},
        "generator": {"model": "shapeworld"},
        "embedder": EMBEDDER,
    },
    "known": {"captions": {"model": "resources/shapeworld/captioner"}, "concepts": {"known_answers": True}},
}


def refuse(config, layers):
    """Raise what is missing as the workflow does."""
    if lacking := requirements.missing(config, layers):
        raise ConfigError("\n".join(lacking))


def checked(recipe, probe="shapes", values=None, layer="concepts"):
    plain = yaml.safe_load(Path("config/config.yaml").read_text())
    plain["recipes"] |= RECIPES
    plain["probes"]["photos"] = {"source": "folder", "path": "docs"}
    plain["probes"]["both"] = {"source": "union", "members": ["shapes", "photos"]}
    for key, value in (values or {}).items():
        plain.setdefault(key, {}).update(value)
    config = load(plain)
    layers = [Layer("row", "conceptnet", layer, layer, probe, recipe, range(8))]
    refuse(config, layers)


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
        checked("dnd", values={"audits": {"one": {"layer": "layer4"} | audit}}, layer="layer4")


@pytest.mark.parametrize(("recipe", "part"), [("seen", "captions"), ("drawn", "generator")])
@pytest.mark.parametrize("probe", ["photos", "both"])
def test_the_truth_is_known_of_renders_only(recipe, part, probe):
    told = rf"^recipes\.{recipe}\.{part}\.model: shapeworld tells .*, and probe 'photos' is of source folder$"
    with pytest.raises(ConfigError, match=told):
        checked(recipe, probe)


def test_known_answers_are_those_of_a_network_and_a_layer():
    checked("known", "photos")
    with pytest.raises(ConfigError, match=r"^recipes\.known\.concepts\.known_answers: .* has no layer 'layer4'; there"):
        checked("known", layer="layer4")
    network = yaml.safe_load(Path("config/config.yaml").read_text())["models"]["conceptnet"] | {"known_answers": None}
    with pytest.raises(ConfigError, match=r"^recipes\.known\.concepts\.known_answers: models\..* is missing$"):
        checked("known", values={"models": {"conceptnet": network}})
