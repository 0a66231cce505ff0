"""The verdict fitted on a finished run."""

import json
from pathlib import Path

import pytest
import yaml
from handmade import UNPROBED

from dnd.config.known_answers import KnownAnswer
from dnd.io import schemas, tables
from dnd.run import calibrate
from dnd.selection import verdict

ROOT = Path(__file__).parents[3]
RED = KnownAnswer(0, "single", (("red",),), "red objects")
NOTHING = KnownAnswer(2, "random", (), "")
MODEL = {"source": "python", "preprocess": {"size": 8}}


def score(unit, concept, votes, parts=None, **components):
    """A row of SCORES without the images' activations."""
    row = {name: None for name in schemas.SCORES.names if name != "activations"} | UNPROBED
    row |= {"unit": unit, "candidate": 0, "concept": concept, "source": "captions", "votes": votes, "score": 0.0}
    given = dict.fromkeys(("auc", "image_similarity", "fit", "gap", "hard", "agreement", "bimodality"), 0.5)
    return row | given | components | {"parts": parts, "shares": None}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A finished run of one row over two networks, one of them under a second name, all with known answers."""
    monkeypatch.chdir(tmp_path)
    for folder in ("config", "resources"):
        Path(folder).symlink_to(ROOT / folder)
    answers = {"fc": [{"unit": one.unit, "kind": one.kind, "words": one.words, "label": ""} for one in (RED, NOTHING)]}
    Path("answers.json").write_text(json.dumps(answers))
    values = yaml.safe_load((ROOT / "config/calibration/config.yaml").read_text())
    values |= {"sweep": "sweep.tsv", "run": "mine"}
    factories = {"one": "a", "two": "b", "three": "a"}
    values["models"] = {
        name: MODEL | {"factory": f"package:{factory}", "known_answers": "answers.json"}
        for name, factory in factories.items()
    }
    Path("config.yaml").write_text(yaml.safe_dump(values))
    sweep = [
        "name\tmodel\tlayers\tprobe\trecipe\tunits",
        *(f"{one}-dnd\t{one}\tfc\tshapes\tdnd\t" for one in factories),
    ]
    Path("sweep.tsv").write_text("\n".join(sweep) + "\n")
    known = ["model\tlayer\tslug\tunits", *(f"{one}\tfc\tfc\t3" for one in factories)]
    Path("layers.tsv").write_text("\n".join(known) + "\n")
    rows = [
        score(0, "red objects", 3, fit=0.8, bimodality=0.9) | {"activations": None},
        score(0, "stars", 1, fit=0.1, bimodality=0.9) | {"activations": None},
        score(2, "snow", 1, fit=0.1, bimodality=0.6) | {"activations": None},
    ]
    for name in factories:
        for number, part in enumerate((rows[:2], rows[2:])):
            path = Path(f"results/mine/{name}-dnd/fc/scores/{number:06d}-{number:06d}.parquet")
            tables.write(path, tables.table(part, schemas.SCORES), schemas.SCORES)
    return tmp_path


def command(*arguments):
    return calibrate.main(["config.yaml", "verdict.json", *arguments])


def test_the_command_fits_a_finished_run(run, capsys):
    assert command() == 0
    judge = verdict.load("verdict.json")
    assert judge.fitted_on == {"networks": ["one", "two"], "units": 6, "candidates": 9}  # "three" is "one" again
    assert judge.least_bimodality == pytest.approx((0.9 + 0.6) / 2)
    assert judge.weights["fit"] > 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "random: 3 units, 0.000 right, 1.000 withheld"
    assert said[-1] == f"wrote verdict.json, which says nothing below {judge.least_confidence:.3f}"


def test_other_rows_have_no_part(run):
    assert command("--rows", "tw*") == 0
    assert verdict.load("verdict.json").fitted_on["networks"] == ["two"]


def test_where_nothing_is_found_the_command_says_where_it_looked(run, capsys):
    assert command("--rows", "*-other") == 2
    assert "results/mine: no scored candidates of rows '*-other' with known answers" in capsys.readouterr().err
    assert not Path("verdict.json").exists()


def test_answers_that_cannot_be_read_are_named(run, capsys):
    Path("answers.json").write_text("{")
    with pytest.raises(SystemExit):
        command()
    assert "answers.json, line 1: no JSON" in capsys.readouterr().err
