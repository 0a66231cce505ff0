"""The ablation: a table of variants becomes a run, bad rows are told by their line, the document tells what counts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from spoilt import SWEEP, write_good

from dnd.config.load import ConfigError, load
from dnd.config.recipes import Recipe
from dnd.config.sweep import layers
from dnd.io import schemas, tables
from studies import ablation, ablation_docs
from studies.costs import Cost

ROOT = Path(__file__).parents[3]
HEADER = "variant\tkey\tvalue\tquestion"


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write a configuration and a table of variants, and expand them."""
    monkeypatch.chdir(tmp_path)
    values = write_good(tmp_path)
    del values["sweep"]
    values["models"]["other"] = {"source": "torchvision", "factory": "resnet18"}
    Path("config/config.yaml").write_text(yaml.safe_dump(values))
    Path("config/layers.tsv").write_text("model\tlayer\tslug\tunits\nnet\tlayer4\tlayer4\t32\nother\tfc\tfc\t5\n")
    Path("config/sweep.tsv").write_text(
        f"{SWEEP}\nnet\tnet\tlayer4\tphotos\tdnd\t0-7\nother\tother\tfc\tphotos\tdnd\t\n"
    )

    def write(*lines, only=()):
        Path("ablations.tsv").write_text("\n".join([HEADER, *lines]) + "\n")
        return ablation.write(Path("config/config.yaml"), Path("ablations.tsv"), Path("results/demo"), only)

    return write


def expanded():
    return load(yaml.safe_load(Path("results/demo/config.yaml").read_text()))


def test_each_variant_differs_from_the_recipe_in_its_settings_alone(written):
    rows = ("few\texemplars.images\t5\tfew?", "few\texemplars.keep\t5\t", "undrawn\tgenerator\tnull\tdraw?")
    assert written(*rows) == ["dnd", "few", "undrawn"]
    recipes = expanded().recipes
    same = recipes["dnd"].model_dump()
    assert (recipes["few"].exemplars.images, recipes["few"].exemplars.keep) == (5, 5)
    assert recipes["few"].model_dump() | {"exemplars": same["exemplars"]} == same
    assert recipes["undrawn"].model_dump() == same | {"generator": None}


def test_every_row_is_described_by_every_recipe_and_recipes_that_were_not_chosen_stay_out(written):
    written("few\texemplars.keep\t5\tfew?", "slow\tgenerator.steps\t50\tslow?", only=["slow"])
    found = [(one.name, one.model, one.layer, one.recipe, len(one.units)) for one in layers(expanded())]
    assert found == [
        ("net-dnd", "net", "layer4", "dnd", 8),
        ("net-slow", "net", "layer4", "slow", 8),
        ("other-dnd", "other", "fc", "dnd", 5),
        ("other-slow", "other", "fc", "slow", 5),
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a\texemplars.reech\t0.5\twhy?", "exemplars.reech: unknown key"),
        ("a\texemplars.reach\t5\twhy?", "exemplars.reach: .*less than or equal to 1, not 5"),
        ("a\texemplars.reach\tfar\twhy?", "exemplars.reach: .*number.*'far'"),
        ("a\tpooling.kind\tmax\twhy?", "pooling: .*'max' or 'cls'"),
        ("a\tembedder\tnull\twhy?", "top level: .*a `generator` needs an `embedder`"),
        ("a\texemplars.reach\t[\twhy?", "value '\\[' is no YAML"),
        ("a\texemplars.reach\t\twhy?", "value is missing; null stands for none"),
        ("a\texemplars..reach\t1\twhy?", "key 'exemplars..reach' must be that of a setting"),
        ("a b\texemplars.reach\t1\twhy?", "variant 'a b' must be letters"),
        ("a\texemplars.reach\t1\t", "variant 'a' has no question"),
        ("dnd\texemplars.reach\t1\twhy?", "variant 'dnd' has the name of another recipe"),
        ("shuffled\texemplars.reach\t1\twhy?", "variant 'shuffled' has the name of another recipe or baseline"),
        ("good\texemplars.keep\t3\t", "variant 'good' changes exemplars.keep twice"),
        ("a\texemplars.keep\t16\twhy?", "variant 'a' has the settings of 'dnd'"),
        ("a\texemplars.keep\t5\twhy?", "variant 'a' has the settings of 'good'"),
        ("a\texemplars.keep\t5", "expected 4 columns"),
    ],
)
def test_a_bad_row_is_one_line_that_names_it(written, row, message):
    with pytest.raises(ConfigError, match=f"^ablations.tsv line 3: {message}") as error:
        written("good\texemplars.keep\t5\twhy?", row)
    assert "\n" not in str(error.value)


def test_the_bad_row_of_several_is_told_and_so_are_all_of_them(written):
    rows = ["a\texemplars.keep\t5\twhy?", "a\tscores.drawn\tmuch\t", "a\tscores.join\t1\t", "b\tscores.shrink\t0\twhy?"]
    with pytest.raises(ConfigError) as error:
        written(*rows)
    first, second = str(error.value).splitlines()
    assert first.startswith("ablations.tsv line 3: scores.drawn: ")
    assert second.startswith("ablations.tsv line 5: scores.shrink: ")


def test_unknown_names_and_missing_files_are_told(written):
    with pytest.raises(ConfigError, match=r"ablations.tsv: no variant is named 'none'"):
        written("a\texemplars.keep\t5\twhy?", only=["none"])
    with pytest.raises(ConfigError, match=r"ablations.tsv: recipes.a.concepts.prompt: no.yaml does not exist"):
        written("a\tconcepts.prompt\tno.yaml\twhy?")
    with pytest.raises(ConfigError, match=r"ablations.tsv: no rows"):
        written()


def test_the_sweep_is_that_of_the_recipe_alone(written):
    Path("config/sweep.tsv").write_text(f"{SWEEP}\nnet\tnet\tlayer4\tphotos\tdnd\t\nb\tnet\tlayer3\tphotos\tdnd\t\n")
    with pytest.raises(ConfigError, match=r"config/sweep.tsv line 3: .*layer3"):
        written("a\texemplars.keep\t5\twhy?")
    values = yaml.safe_load(Path("config/config.yaml").read_text())
    values["recipes"]["b"] = values["recipes"]["dnd"] | {"pooling": "max"}
    Path("config/config.yaml").write_text(yaml.safe_dump(values))
    Path("config/sweep.tsv").write_text(f"{SWEEP}\nnet\tnet\tlayer4\tphotos\tb\t\n")
    with pytest.raises(ConfigError, match=r"config/sweep.tsv line 2: recipe must be 'dnd'"):
        written("a\texemplars.keep\t5\twhy?")


def leaves(values, prefix=""):
    """Dotted key -> value of every setting of a recipe's values."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def test_the_repositorys_own_table_is_good_and_brings_every_defect_back(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    names = ablation.write(Path("config/ablation/config.yaml"), Path("config/ablations.tsv"), tmp_path)
    config = load(yaml.safe_load((tmp_path / "config.yaml").read_text()))
    assert len(layers(config)) == 4 * len(names)
    settings = {name: list(leaves(recipe.model_dump(mode="json"))) for name, recipe in config.recipes.items()}
    evaluated = yaml.safe_load(Path("config/evaluation/config.yaml").read_text())["recipes"]
    switches = {
        one: evaluated["compat"][one] for one in ("pooling", "later_pooling", "exemplars", "concepts", "scores")
    }
    for switch in leaves(switches):
        assert switch in settings["all-defects"]
        assert switch in settings["dnd"] or any(switch in settings[one] for one in names if one != "all-defects")


def test_the_recipe_that_variants_change_is_that_of_the_evaluation():
    read = [yaml.safe_load((ROOT / f"config/{one}/config.yaml").read_text()) for one in ("ablation", "evaluation")]
    ours, evaluated = (Recipe.model_validate(values["recipes"]["dnd"]) for values in read)
    assert ours == evaluated


COLUMNS = ["model", "layer", "unit", "kind", "method", "recipe", "metric", "value"]


def evaluated(**right):
    """Units of which a recipe has some right: 20 of one concept and 4 of two in each of two networks."""
    rows = [
        (model, "concepts", unit, kind, method, recipe, "known_answer_exact", float(unit < share * size))
        for recipe, shares in right.items()
        for method in (recipe, "shuffled")
        for model in ("one", "two")
        for kind, size, share in (("single", 20, shares[0]), ("polysemantic", 4, shares[1]))
        for unit in range(size)
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.assign(unit=frame["unit"] + 100 * (frame["kind"] == "polysemantic"))


NO_CHANGES = {name: [("scores.drawn", "0.15", "0.0")] for name in "abc"}


def hidden(**r):
    """Rows of 16 hidden units in each of two networks, with the mean true r of each recipe."""
    return [
        (model, layer, unit, None, method, recipe, "true_r", value + (unit % 2 - 0.5) / 5)
        for recipe, value in r.items()
        for method in (recipe, "shuffled")
        for model, layer in (("one", "layer3"), ("two", "layer4"))
        for unit in range(16)
    ]


def measured(units, names="abc"):
    return ablation_docs.effects(units, {name: f"{name}?" for name in names}, NO_CHANGES)


def test_effects_are_paired_sorted_and_judged_by_their_interval():
    units = evaluated(dnd=(0.6, 0.5), a=(0.2, 0.5), b=(1.0, 0.0), c=(0.65, 0.5))
    found = measured(units)
    assert [one.name for one in found] == ["b", "c", "a"]
    assert [one.verdict for one in found] == ["helps", "no difference measured", "hurts"]
    best = found[0]
    assert (best.concept.units, best.polysemantic.units) == (40, 8)
    assert best.concept.difference == pytest.approx(0.4)
    # 16 of 40 units differ by 1: an interval of the mean of n = 40 is near .4 +- 1.96 sqrt(.4 * .6 / 40)
    assert best.concept.low == pytest.approx(0.4 - 0.152, abs=0.04)
    assert best.concept.high == pytest.approx(0.4 + 0.152, abs=0.04)


def test_pairs_count_not_means():
    """Two variants with equal means: one is right where the recipe is, the other elsewhere, which is less certain."""
    units = evaluated(dnd=(0.5, 0), a=(0.6, 0), b=(0.6, 0))
    elsewhere = (units["recipe"] == "b") & (units["kind"] == "single")
    units.loc[elsewhere, "value"] = (units.loc[elsewhere, "unit"] >= 8).astype(float)
    a, b = sorted(measured(units, "ab"), key=lambda one: one.name)
    assert a.concept.difference == pytest.approx(b.concept.difference) == pytest.approx(0.1)
    assert a.concept.high - a.concept.low < 0.5 * (b.concept.high - b.concept.low)


def test_the_tables_hold_what_was_measured():
    units = evaluated(dnd=(0.6, 0.5), a=(0.2, 0.5), b=(1.0, 0.0))
    random = [
        (m, "concepts", 200, "random", r, r, "abstained", v) for m in ("one", "two") for r, v in (("dnd", 1), ("a", 0))
    ]
    units = pd.concat([units, pd.DataFrame([*random, *hidden(dnd=0.5, a=0.1)], columns=COLUMNS)])
    found = measured(units, "ab")
    lines = ablation_docs.effects_table(found, units).splitlines()
    assert lines[2].startswith("| `dnd` | - | 0.600 | - | - | 0.50 | - | 0.500 | - |")
    assert lines[3].startswith("| `b` | `scores.drawn`: 0.15 → 0.0 | 1.000 | +0.400 [")
    assert "| helps; two concepts: hurts | 0.00 | -0.500 [" in lines[3]
    assert (
        "| hurts; nothing to name: hurts; hidden: hurts | 0.50 | +0.000 [+0.000, +0.000] | 0.100 | -0.400 [" in lines[4]
    )
    costs = {"dnd": Cost(units=10, questions=50, pictures=300), "a": Cost(10, 20, 150), "b": Cost(10, 50, 0)}
    lines = ablation_docs.others_table(found, units, {"dnd": 0.04, "a": 0.1}, costs).splitlines()
    assert lines[0] == (
        "| variant | abstains, random | calibration error | questions | images (share of `dnd`) "
        "| true r, hidden units, difference |"
    )
    assert lines[2] == "| `dnd` | 1.00 | 0.040 | 5.0 | 30.0 (1.00) | - |"
    assert lines[3] == "| `b` | - | - | 5.0 | 0.0 (0.00) | - |"
    assert lines[4].startswith("| `a` | 0.00 | 0.100 | 2.0 | 15.0 (0.50) | -0.400 [")
    lines = ablation_docs.others_table(found, units, {}, costs).splitlines()
    assert "calibration" not in lines[0]


def test_hidden_units_are_compared_by_true_r_and_planted_ones_are_not_among_them():
    rows = hidden(dnd=0.5, a=0.7, b=0.5)
    planted = [("one", "concepts", unit, "single", r, r, "true_r", 1.0) for r in ("dnd", "a") for unit in range(16)]
    units = evaluated(dnd=(0.6, 0.5), a=(0.6, 0.5), b=(0.6, 0.5))
    found = measured(pd.concat([units, pd.DataFrame([*rows, *planted], columns=COLUMNS)]), "ab")
    a, b = sorted(found, key=lambda effect: effect.name)
    assert (a.hidden.units, b.hidden.units) == (32, 32)
    assert (a.hidden.difference, b.hidden.difference) == (pytest.approx(0.2), pytest.approx(0))
    assert (a.verdicts, b.verdicts) == ("no difference measured; hidden: helps", "no difference measured")
    assert "true r of hidden units: `a` (+0.20)" in ablation_docs.summary(found)


def test_the_summary_names_what_helps_and_what_hurts():
    text = ablation_docs.summary(measured(evaluated(dnd=(0.6, 0.5), a=(0.2, 0.5), b=(1.0, 0.0), c=(0.6, 0.5))))
    assert "- helps: `b` (+0.40)" in text and "- hurts: `a` (-0.40)" in text
    assert "no difference measured: 1 of 3 variants" in text
    assert "nothing to name: no difference measured" in text and "with two concepts: `b` (-0.50)" in text


def test_calibration_errors_are_means_over_networks_of_whole_layers():
    rows = [("dnd", None, 0.02), ("dnd", None, 0.06), ("dnd", "single", 0.9), ("a", None, 0.1)]
    frame = pd.DataFrame(rows, columns=["recipe", "kind", "value"]).assign(metric="ece", unit=np.nan)
    found = ablation_docs.calibration_errors(frame.assign(method=frame["recipe"]))
    assert found == {"dnd": pytest.approx(0.04), "a": pytest.approx(0.1)}


def test_settings_that_differ_are_told_with_both_values():
    one = {"a": 1, "b": {"c": None, "d": True}, "e": {"f": 1}}
    two = {"a": 2, "b": {"c": "x", "d": True}, "e": None, "g": dict.fromkeys("hijkl", 1)}
    found = ablation_docs.settings_that_differ(one, two)
    assert found == [("a", "1", "2"), ("b.c", "none", "x"), ("e", "f: 1", "none"), ("g", "none", "a section")]


def test_the_document_is_written_from_the_tables_of_a_run(written, tmp_path):
    written("a\texemplars.keep\t5\tare five enough?", "b\tscores.drawn\t0\tdo pictures count?", only=["a"])
    rows = [
        {"name": f"{model}-{recipe}", "layer": layer, "unit": unit, "kind": kind, "method": recipe}
        | {"metric": "known_answer_exact", "value": float(unit % 4 < right), "low": None, "high": None}
        for model, layer in (("net", "layer4"), ("other", "fc"))
        for recipe, right in (("dnd", 3), ("a", 1))
        for unit, kind in enumerate(["single"] * 16 + ["polysemantic"] * 4)
    ]
    tables.write("results/demo/evaluation.parquet", tables.table(rows, schemas.EVALUATION), schemas.EVALUATION)
    assert ablation_docs.main(["results/demo/config.yaml", "ablations.tsv", "docs"]) == 0
    text = Path("docs/ablation.md").read_text()
    assert "- hurts: `a` (-0.50)" in text
    assert "| `a` | `exemplars.keep`: 16 → 5 | 0.250 | -0.500 [" in text
    assert "over the 32 units with one concept" in " ".join(text.split())
    assert "| `a` | are five enough? | hurts; two concepts: hurts | - |" in text
    assert "Not measured in this run: `b`." in text
    assert Path("docs/ablation/differences.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_tells_a_mistake_without_a_traceback(written, capsys):
    written("a\texemplars.keep\t5\twhy?")
    Path("ablations.tsv").write_text(f"{HEADER}\na\texemplars.kept\t5\twhy?\n")
    assert ablation.main(["config/config.yaml", "ablations.tsv", "results/demo"]) == 2
    assert capsys.readouterr().err == "ablation:\nablations.tsv line 2: exemplars.kept: unknown key\n"
