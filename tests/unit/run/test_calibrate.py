"""The fit of how sure a label is, on a finished run."""

from pathlib import Path

import pytest
import yaml

from dnd.config.load import config_file
from dnd.config.recipes import Recipe
from dnd.io import schemas, tables
from dnd.io.rows import Description, Figure, ListedCandidate
from dnd.run import calibrate
from dnd.run.contents import load
from dnd.selection import verdict

ROOT = Path(__file__).parents[3]
MODEL = {"source": "python", "preprocess": {"size": 8}}
FACTORIES = {"one": "a", "two": "b", "three": "a"}
"""Model -> its factory; the third is the first by another name."""


def candidate(concept, score):
    """A candidate as it is listed, which images that show it excite the more the better it is."""
    return ListedCandidate(concept, score, None, None, None, None, None, 0.5, 0.25, "captions")._asdict()


def description(unit, label, explains, candidates, **columns):
    known = dict.fromkeys(Description._fields) | {"model": "m", "layer": "fc", "probe": "shapes", "recipe": "dnd"}
    known |= {"labels": [], "exemplars": [], "captions": [], "unit": unit, "label": label, "explains": explains}
    return known | {"candidates": candidates} | columns


def figure(name, unit, metric, value, kind="single", method="dnd"):
    return Figure(name, "fc", unit, kind, method, metric, value)


DESCRIBED = [
    description(0, "red objects or stars", 0.9, [candidate("red objects or stars", -0.5), candidate("stars", -1.5)]),
    description(1, "stars", 0.2, [candidate("stars", -2.0), candidate("snow", -2.125)]),
    description(2, None, 0.05, [candidate("snow", -3.0)], abstained="little"),
    description(3, "rings", None, [candidate("rings", -1.0)]),  # where no image judged
    description(4, "dots", 0.5, [candidate("dots", -1.0)]),  # which is not known
]


def figures(name):
    """What an evaluation says of the units of a row."""
    return [
        figure(name, 0, "true_share_pair", 0.95),
        figure(name, 1, "true_share_pair", 0.85),
        figure(name, 2, "true_share_pair", 0.99),
        figure(name, 3, "true_share_pair", 0.99),
        figure(name, 1, "true_share_pair", 1.0, method="another"),
        figure(name, 1, "label_auc", 1.0),
        figure(name, None, "true_share_pair", 0.9),
    ]


def evaluated(*rows):
    tables.write("results/mine/evaluation.parquet", tables.table(rows, schemas.EVALUATION), schemas.EVALUATION)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A finished run of one row over two networks, one of them under a second name."""
    monkeypatch.chdir(tmp_path)
    for folder in ("config", "resources"):
        Path(folder).symlink_to(ROOT / folder)
    values = yaml.safe_load((ROOT / "config/calibration/config.yaml").read_text())
    values |= {"sweep": "sweep.tsv", "run": "mine"}
    values["models"] = {name: MODEL | {"factory": f"package:{factory}"} for name, factory in FACTORIES.items()}
    Path("config.yaml").write_text(yaml.safe_dump(values))
    sweep = [
        "name\tmodel\tlayers\tprobe\trecipe\tunits",
        *(f"{name}-dnd\t{name}\tfc\tshapes\tdnd\t" for name in FACTORIES),
    ]
    Path("sweep.tsv").write_text("\n".join(sweep) + "\n")
    known = ["model\tlayer\tslug\tunits", *(f"{name}\tfc\tfc\t5" for name in FACTORIES)]
    Path("layers.tsv").write_text("\n".join(known) + "\n")
    for name in FACTORIES:
        table = tables.table(DESCRIBED, schemas.DESCRIPTIONS)
        tables.write(Path(f"results/mine/{name}-dnd/fc/descriptions.parquet"), table, schemas.DESCRIPTIONS)
    evaluated(*(row for name in FACTORIES for row in figures(f"{name}-dnd")))
    return values


def command(*arguments):
    return calibrate.main(["config.yaml", "verdict.json", *arguments])


def read(*rows):
    path = Path("config.yaml")
    return calibrate.read(load(config_file(path), path), *rows)


def test_a_label_is_right_that_is_worth_nine_tenths_of_the_best(run):
    cases, _ = read("one-*")
    assert [(case.network, case.kind, case.right) for case in cases] == [
        ("one", "single", True),
        ("one", "single", False),
    ]


def test_features_are_those_of_descriptions(run):
    (first, second), _ = read("one-*")
    assert first.features == pytest.approx(verdict.features(0.9, 0.5, 0.25, [-0.5, -1.5], parts=2))
    assert second.features == pytest.approx(verdict.features(0.2, 0.5, 0.25, [-2.0, -2.125], parts=1))


def test_a_known_answer_decides_where_the_best_attainable_is_not_known(run):
    """The label of unit 0 is worth enough, whatever was planted; of unit 1 it is only known that it is right."""
    evaluated(
        figure("one-dnd", 0, "known_answer_right", 0.0, "conjunction"),
        figure("one-dnd", 0, "true_share_pair", 0.95, "conjunction"),
        figure("one-dnd", 1, "known_answer_right", 1.0, "polysemantic"),
    )
    assert [(case.kind, case.right) for case in read("one-*")[0]] == [("conjunction", True), ("polysemantic", True)]
    evaluated(*(figure("one-dnd", unit, "known_answer_right", 0.0) for unit in (0, 1)))
    assert [case.right for case in read("one-*")[0]] == [False, False]


def test_units_without_a_kind_are_of_their_layer_s(run):
    evaluated(*(row._replace(kind=None) for row in figures("one-dnd")))
    assert {case.kind for case in read("one-*")[0]} == {"fc"}


def test_the_command_fits_a_finished_run(run, capsys):
    assert command() == 0
    judge = verdict.load("verdict.json")
    assert judge.fitted_on == {"networks": ["one", "two"], "units": 6}  # "three" is "one" again
    assert judge.settings == verdict.settings_of(Recipe(**run["recipes"]["dnd"]))
    assert judge.weights["explains"] > 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("single: 6 units, 0.500 right, mean confidence 0.")
    written = "wrote verdict.json, and how reliable it is to verdict.png"
    assert said[1:] == [said[0].replace("single", "all"), written]
    assert Path("verdict.png").read_bytes().startswith(b"\x89PNG")


def test_the_file_may_be_used_by_the_recipe_it_was_fitted_on(run):
    command()
    run["recipes"]["dnd"]["scores"] = {"verdict": "verdict.json"}
    Path("config.yaml").write_text(yaml.safe_dump(run))
    config = load(config_file(Path("config.yaml")), "config.yaml")
    assert verdict.differences(verdict.load("verdict.json"), config.recipes["dnd"]) is None


def test_other_rows_have_no_part(run):
    assert command("--rows", "tw*") == 0
    assert verdict.load("verdict.json").fitted_on == {"networks": ["two"], "units": 2}


def test_rows_of_different_settings_are_not_fitted_together(run, capsys):
    other = run["recipes"]["dnd"] | {"scores": {"borrow": 0}}
    run["recipes"]["other"] = other
    Path("config.yaml").write_text(yaml.safe_dump(run))
    Path("sweep.tsv").write_text(
        Path("sweep.tsv").read_text().replace("two\tfc\tshapes\tdnd", "two\tfc\tshapes\tother")
    )
    with pytest.raises(SystemExit):
        command()
    assert "recipes of different settings: choose some by `--rows`" in capsys.readouterr().err
    assert command("--rows", "one*") == 0


def test_where_nothing_is_found_the_command_says_where_it_looked(run, capsys):
    assert command("--rows", "*-other") == 2
    assert "results/mine: no described units of rows '*-other' that are known" in capsys.readouterr().err
    assert not Path("verdict.json").exists()


def test_labels_that_are_all_right_cannot_be_fitted(run, capsys):
    evaluated(*(row._replace(value=1.0) for row in figures("one-dnd")))
    assert command("--rows", "one*") == 2
    assert "units whose label is right and units whose label is wrong" in capsys.readouterr().err
    assert not Path("verdict.json").exists()


def test_a_run_without_figures_is_named(run, capsys):
    Path("results/mine/evaluation.parquet").unlink()
    with pytest.raises(SystemExit):
        command()
    assert "results/mine/evaluation.parquet" in capsys.readouterr().err


def test_labels_by_answers_alone_have_no_evidence(run):
    """A recipe without pictures whose embedder has a scale: what its labels explain is known, the rest is not."""
    blind = candidate("dots", 0.75) | {"precision": None, "drawn": None}
    rows = [*DESCRIBED[1:], description(0, "dots", 0.4, [blind])]
    table = tables.table(rows, schemas.DESCRIPTIONS)
    tables.write(Path("results/mine/one-dnd/fc/descriptions.parquet"), table, schemas.DESCRIPTIONS)
    assert read("one-*")[0][-1].features == pytest.approx(verdict.features(0.4, 0.0, 0.0, [0.75], parts=1))
