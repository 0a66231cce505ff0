import re

import pytest

from dnd.config import Config, Layer
from dnd.plan import Plan, either


def config(**shards):
    recipe = {part: {"model": "owner/model"} for part in ("captions", "generator", "embedder")}
    return Config.model_validate(
        {
            "run": "test",
            "sweep": "sweep.tsv",
            "models": {"m": {"source": "torchvision", "factory": "resnet18"}},
            "probes": {"p": {"source": "folder", "path": "images"}},
            "recipes": {"r": recipe, "s": recipe | {"controls": 999}},
            "llm": {"model": "owner/llm"},
            "shards": shards,
        }
    )


def layer(name, count, recipe="r"):
    return Layer(name, "m", f"layer.{name}", name, "p", recipe, tuple(range(count)))


@pytest.mark.parametrize(("size", "count"), [(7, 15), (32, 4), (10_000, 1)])
def test_shards_partition_the_units(size, count):
    plan = Plan(config(units=size), [layer("a", 100)])
    shards = plan.unit_shards(plan.layers[0])
    assert len(shards) == count
    assert [unit for units in shards.values() for unit in units] == list(range(100))


def test_shards_are_named_by_their_first_and_last_unit():
    one = Layer("a", "m", "x", "x", "p", "r", (0, 1, 5, 900))
    assert list(Plan(config(units=2), [one]).unit_shards(one)) == ["000000-000001", "000005-000900"]


def test_bundles_join_layers_of_one_recipe_up_to_the_limit():
    layers = [layer("a", 60), layer("b", 30), layer("c", 20, "s"), layer("d", 40)]
    bundles = Plan(config(llm_units=100), layers).bundles
    names = {place: [one.name for one in members] for place, members in bundles.items()}
    assert names == {("r", "000"): ["a", "b"], ("r", "001"): ["d"], ("s", "000"): ["c"]}


def test_one_pass_serves_all_layers_and_the_most_demanding_recipe():
    plan = Plan(config(), [layer("a", 1), layer("b", 1, "s")])
    assert plan.hooked("m", "p", "mean") == {"a": "layer.a", "b": "layer.b"}
    assert plan.controls("m", "p", "mean") == 999


def test_either_matches_names_and_nothing_else():
    pattern = re.compile(either(["a.b", "c"]))
    assert pattern.fullmatch("a.b")
    assert not pattern.fullmatch("axb")
