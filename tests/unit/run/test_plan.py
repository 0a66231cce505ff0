import pytest

from dnd.config.load import Config, ConfigError
from dnd.config.sweep import Layer, units
from dnd.run.plan import Bundle, Member, Pass, Plan, read_groups, write_groups


def config(**shards):
    recipe = {part: {"model": "owner/model"} for part in ("captions", "generator", "embedder")}
    return Config.model_validate(
        {
            "run": "test",
            "sweep": "sweep.tsv",
            "models": {"m": {"source": "torchvision", "factory": "resnet18"}},
            "probes": {"p": {"source": "folder", "path": "images"}},
            "recipes": {
                "r": recipe,
                "s": recipe | {"controls": 999},
                "later": recipe | {"concepts": {"samples": 1}},
                "cropped": recipe | {"exemplars": {"crops_per_image": 1}},
                "captioned": recipe | {"captions": {"model": "owner/other"}},
                "remote": recipe | {"captions": {"model": "owner/model", "concurrency": 3}},
            },
            "llm": {"model": "owner/llm"},
            "shards": shards,
        }
    )


def layer(name, count, recipe="r"):
    return Layer(name, "m", f"layer.{name}", name, "p", recipe, tuple(range(count)))


def plan(layers, remembered=None, **shards):
    slugs = {("m", f"layer.{name}"): name for name in "abcdxyz"}
    return Plan(config(**shards), layers, slugs, remembered or {})


@pytest.mark.parametrize(("size", "count"), [(7, 15), (32, 4), (10_000, 1)])
def test_shards_partition_the_units(size, count):
    one = layer("a", 100)
    shards = plan([one], units=size).unit_shards(one)
    assert len(shards) == count
    assert [unit for part in shards.values() for unit in units(part)] == list(range(100))


def test_shards_are_named_by_their_first_and_last_unit_and_say_their_units_as_the_sweep_does():
    one = Layer("a", "m", "x", "x", "p", "r", (0, 1, 2, 5, 900))
    assert plan([one], units=4).unit_shards(one) == {"000000-000005": "0-2,5", "000900-000900": "900"}


def test_bundles_join_layers_of_one_model_probe_and_recipe_up_to_the_limit():
    found = plan([layer("a", 60), layer("b", 30), layer("c", 20, "s"), layer("d", 40)], llm_units=100).bundles
    assert {bundle: [one.name for one in members] for bundle, members in found.items()} == {
        Bundle("m", "p", "r", "000-000"): ["a", "b"],
        Bundle("m", "p", "r", "000-001"): ["d"],
        Bundle("m", "p", "s", "000-000"): ["c"],
    }


SHARED = Pass("m", "p", "mean", "positive", 800, 10_000)


def test_one_pass_serves_the_layers_whose_recipes_keep_the_same():
    found = plan([layer("a", 1), layer("b", 1), layer("c", 1, "s")])
    assert found.pass_of(found.layers[0]) == SHARED
    assert found.hooked(SHARED, 0) == {"a": "layer.a", "b": "layer.b"}
    assert found.hooked(Pass("m", "p", "mean", "positive", 800, 999), 0) == {"c": "layer.c"}


def test_what_is_added_later_shares_no_job_with_what_was_there():
    first = [layer("a", 3), layer("b", 3)]
    before = plan(first)
    after = plan([layer("c", 3), *first, layer("d", 3, "s")], before.groups)
    for one in first:
        assert after.bundle_of(one) == before.bundle_of(one)
        assert after.bundles[after.bundle_of(one)] == first
        assert after.group_of(SHARED, one.slug) == 0
    assert after.hooked(SHARED, 0) == before.hooked(SHARED, 0)
    assert after.hooked(SHARED, 1) == {"c": "layer.c"}
    assert after.bundle_of(layer("c", 3)) == Bundle("m", "p", "r", "001-000")


def test_a_layer_described_again_comes_from_the_pass_that_saw_it():
    again = Layer("again", "m", "layer.a", "a", "p", "r", (0,))
    after = plan([layer("a", 3), again], plan([layer("a", 3)]).groups)
    assert after.group_of(SHARED, "a") == 0
    assert after.bundle_of(again).bundle == "001-000"


def test_a_layer_that_leaves_the_sweep_stays_in_its_pass():
    before = plan([layer("a", 3), layer("b", 3)])
    assert plan([layer("b", 3)], before.groups).hooked(SHARED, 0) == before.hooked(SHARED, 0)


def test_a_recipe_that_leaves_the_configuration_is_forgotten():
    gone = {Member("a", "m", "layer.a", "p", "gone"): 0}
    after = plan([layer("b", 3)], gone)
    assert after.hooked(SHARED, 1) == {"b": "layer.b"}


def test_groups_are_remembered(tmp_path):
    groups = plan([layer("a", 1), layer("b", 1, "s")]).groups
    write_groups(tmp_path / "run/groups.tsv", groups)
    assert read_groups(tmp_path / "run/groups.tsv") == groups
    assert read_groups(tmp_path / "none.tsv") == {}


def test_a_damaged_table_of_groups_is_named(tmp_path):
    path = tmp_path / "groups.tsv"
    write_groups(path, {Member("a", "m", "layer.a", "p", "r"): 0})
    path.write_text(path.read_text().replace("0\t", "x\t"))
    with pytest.raises(ConfigError, match=r"groups.tsv line 2: group is 'x', expected a number"):
        read_groups(path)


def test_a_layer_that_is_not_in_the_sweep_is_named():
    with pytest.raises(KeyError, match=r"sweep.tsv has no row named 'a' with a layer whose slug is 'z'"):
        plan([layer("a", 1)]).layer("a", "z")


def test_rows_that_differ_in_later_stages_only_share_exemplars_and_captions():
    one, other, apart = layer("a", 3), Layer("again", "m", "layer.a", "a", "p", "later", (0, 1, 2)), layer("b", 3)
    found = plan([one, other, apart])
    for stage in ("exemplars", "captions"):
        assert [found.serving(stage, own) for own in (one, other, apart)] == [one, one, apart]
    assert found.serving("scores", other) == other


@pytest.mark.parametrize(
    ("recipe", "shared"), [("captioned", ["exemplars"]), ("cropped", []), ("remote", ["exemplars", "captions"])]
)
def test_what_a_stage_depends_on_keeps_it_apart(recipe, shared):
    first, other = layer("a", 3), Layer("again", "m", "layer.a", "a", "p", recipe, (0, 1, 2))
    found = plan([first, other])
    assert [stage for stage in ("exemplars", "captions") if found.serving(stage, other) == first] == shared


def test_rows_for_other_units_share_nothing():
    first, other = layer("a", 3), Layer("again", "m", "layer.a", "a", "p", "r", (0, 1))
    assert plan([first, other]).serving("exemplars", other) == other


def test_what_is_added_before_a_row_takes_no_exemplars_from_it():
    first, other = layer("a", 3), Layer("again", "m", "layer.a", "a", "p", "later", (0, 1, 2))
    after = plan([other, first], plan([first]).groups)
    assert after.serving("exemplars", other) == after.serving("exemplars", first) == first
