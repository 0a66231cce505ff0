"""Rival methods, metrics and causal checks, as jobs of the real workflow on the embedded network."""

import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from workspace import ROOT, Workspace

from dnd.config import known_answers
from dnd.evaluation.agreement import agreement
from dnd.shapeworld import world

RESOURCES = ROOT / "resources/shapeworld"
UNITS = "0-19,22,31,60,82,87"  # singles, conjunctions, an abstraction, a dead and a constant one
EMBEDDER = {"model": str(RESOURCES / "embedder")}
SHARED = {"pooling": "max", "controls": 400}
RIVALS = {
    "clip-dissect": {"concepts": str(RESOURCES / "concepts.txt"), "embedder": EMBEDDER, "similarity": "cosine-cubed"},
    "linear-explanations": {
        **{"concepts": str(RESOURCES / "concepts.txt"), "embedder": EMBEDDER | {"scale": 36.2, "bias": -17.5}},
        **{"terms": 3, "tolerance": 0.15},
    },
    "network-dissection": {"quantile": 0.05},
    "compositional": {"quantile": 0.05},
    "invert": {"maximum": 0.75},
    "milan": {"describer": str(RESOURCES / "describer")},
    "foreign": {"labels": "labels.csv", "format": "milan"},
}


LEAST = {"clip-dissect": 0.85, "linear-explanations": 0.85, "invert": 0.85, "compositional": 0.5}
"""Method -> share of exact labels that it reaches."""


def prepared(folder, endpoint=None):
    workspace = Workspace(folder, endpoint)
    target = workspace.values["models"]["conceptnet"]
    target["class_names"] = {"fc": str(RESOURCES / "classes.txt")}
    (folder / "labels.csv").write_text(
        'layer,unit,description\nconcepts,0,"red things,\nall of them"\nconcepts,31,stars\n'
    )
    return workspace


@pytest.fixture(scope="module")
def run(tmp_path_factory, endpoint):
    """A finished run of every method that needs no language model, with ours beside them on two halves of a probe."""
    workspace = prepared(tmp_path_factory.mktemp("rivals"), endpoint)
    values = workspace.values
    values["recipes"] |= {method: {"method": method, **SHARED, **own} for method, own in RIVALS.items()}
    dnd = values["recipes"]["dnd"]
    values["recipes"]["summary-only"] = {key: dnd[key] for key in ("pooling", "captions", "concepts")}
    values["probes"]["shapes"] |= {"images": 400}
    values["probes"] |= {
        "first": {"source": "shapeworld", "images": 400, "part": "1/2"},
        "second": {"source": "shapeworld", "images": 400, "part": "2/2"},
        "unseen": {"source": "shapeworld", "images": 200, "seed": 6},
    }
    values["evaluation"] = {
        **{"held_out": "unseen", "pooling": "max", "embedder": EMBEDDER, "renderer": "shapeworld", "images": 5},
        **{"sentences": {"model": str(RESOURCES / "sentences")}, "concepts": str(RESOURCES / "concepts.txt")},
    }
    values["audits"] = {
        "red": {"row": "hidden", "layer": "layer4", "query": "red", "classes": str(RESOURCES / "classes.txt")}
    }
    values["importance"] = {"images": 4, "steps": 4}
    header = workspace.sweep[0]
    workspace.sweep = [header, *([one, "conceptnet", "concepts", "shapes", one, UNITS] for one in RIVALS)]
    workspace.sweep += [
        ["summary-only", "conceptnet", "concepts", "shapes", "summary-only", "0,6"],
        ["first", "conceptnet", "concepts", "first", "clip-dissect", UNITS],
        ["second", "conceptnet", "concepts", "second", "clip-dissect", UNITS],
        ["joined", "conceptnet", "concepts", "shapes", "linear-explanations", "79"],
        ["classes", "conceptnet", "fc", "shapes", "clip-dissect", ""],
        ["hidden", "conceptnet", "layer4", "shapes", "clip-dissect", "0-19"],
    ]
    workspace.write()
    workspace.run()
    return workspace


def described(run, name, slug="concepts"):
    return pq.read_table(run.results / name / slug / "descriptions.parquet").to_pylist()


def share(run, name):
    answers = known_answers.load(RESOURCES / "target/units.json")["concepts"]
    asked = [row for row in described(run, name) if answers[row["unit"]].words]
    exact = [agreement(row["label"], world.extension(answers[row["unit"]]))["known_answer_exact"] for row in asked]
    return sum(exact) / len(exact)


@pytest.mark.parametrize(("method", "least"), LEAST.items())
def test_rivals_find_what_is_planted(run, method, least):
    assert share(run, method) >= least


@pytest.mark.parametrize("method", RIVALS)
def test_every_method_gives_the_same_table(run, method):
    rows = described(run, method)
    assert [row["unit"] for row in rows] == [*range(20), 22, 31, 60, 82, 87]
    assert {row["recipe"] for row in rows} == {method}
    by_unit = {row["unit"]: row for row in rows}
    assert by_unit[82]["abstained"] == "dead" and by_unit[87]["abstained"] == "constant"
    labelled = [row for row in rows if row["label"]]
    assert labelled
    for row in labelled:
        assert row["candidates"][0]["concept"] == row["label"] and row["candidates"][0]["source"] == method
        assert row["confidence"] is None
        assert (row["explains"] is None) == (method != "linear-explanations")  # whose embedder has a scale
        assert len(row["exemplars"]) == len(row["captions"]) == 10


def test_labels_of_another_tool_are_taken_as_they_are(run):
    labels = {row["unit"]: row["label"] for row in described(run, "foreign")}
    assert labels[31] == "stars"
    assert labels[0].split() == ["red", "things,", "all", "of", "them"]
    assert labels[1] is None


def test_the_terms_of_linear_explanations_are_labels_of_their_own(run):
    (row,) = described(run, "joined")
    assert set(row["labels"]) == {"red objects", "blue objects"}
    assert row["label"] == " or ".join(row["labels"])
    assert [candidate["concept"] for candidate in row["candidates"]] == [row["label"], *row["labels"]]
    assert row["score"] > 0.9 and row["explains"] > 0.8


def test_a_summary_without_generation(run):
    rows = described(run, "summary-only")
    assert all(row["label"] and row["candidates"][0]["auc"] is None for row in rows)
    assert not list((run.results / "images").rglob("*.parquet"))


def test_every_metric_is_measured_beside_baselines(run):
    found = pq.read_table(run.results / "evaluation.parquet").to_pandas()
    assert {"known_answer_exact", "cosy_auc", "cosy_mad", "simulation_r", "exemplar_contrast", "stability"} <= set(
        found["metric"]
    )
    assert {"true_r", "true_share", "true_share_pair", "true_r_ranked"} <= set(found["metric"])
    assert {"clarity", "polysemanticity", "redundancy", "class_name_similarity"} <= set(found["metric"])
    own = found[(found["name"] == "clip-dissect") & found["unit"].notna()]
    means = own.groupby(["metric", "method"])["value"].mean()
    for metric in ("known_answer_f1", "cosy_auc", "simulation_r", "true_share"):
        floor = max(means[metric, one] for one in ("constant", "shuffled", "random concept"))
        assert means[metric, "clip-dissect"] > floor + 0.1
    classes = found[(found["name"] == "classes") & found["unit"].notna()]
    names = classes[classes["metric"] == "class_name_similarity"].groupby("method")["value"].mean()
    assert names["clip-dissect"] > names["shuffled"] + 0.3


def test_units_that_nobody_planted_are_judged_by_what_their_labels_say_of_them(run):
    found = pq.read_table(run.results / "evaluation.parquet").to_pandas()
    hidden = found[(found["name"] == "hidden") & (found["metric"] == "true_r")]
    values = hidden[hidden["unit"].notna()].groupby("method")["value"].mean()
    assert values["clip-dissect"] > values["shuffled"] + 0.1
    mean = hidden[hidden["unit"].isna() & hidden["kind"].isna() & (hidden["method"] == "clip-dissect")].iloc[0]
    assert mean["low"] <= mean["value"] <= mean["high"]


def test_methods_are_compared_in_pairs(run):
    found = pq.read_table(run.results / "comparisons.parquet").to_pandas()
    pair = found[(found["metric"] == "known_answer_exact") & (found["kind"] == "concept")]
    pair = pair[(pair["method"] == "clip-dissect") & (pair["other"] == "foreign")]
    assert len(pair) == 1 and pair["difference"].item() > 0.5 and pair["p_adjusted"].item() < 0.05


def test_causal_checks(run):
    audit = pq.read_table(run.results / "audits/red.parquet").to_pandas()
    assert (run.results / "audits/red.svg").read_text().startswith("<svg")
    assert set(audit["audit"]) == {"red"}
    weights = pq.read_table(run.results / "importance/conceptnet/shapes/layer4.parquet").to_pandas()
    assert len(weights) == 112 and (weights["absolute"] > 0).any()


def test_nothing_is_left_to_do(run):
    assert "Nothing to be done" in run.run("--dry-run")
    described = {path.parent.relative_to(run.results) for path in run.results.glob("*/*/descriptions.csv")}
    site = run.results / "report/layers"
    assert {path.parent.relative_to(site) for path in site.glob("*/*/index.js")} == described


def test_line_asks_the_server_that_runs_beside_the_command(tmp_path):
    """The loop of proposals with a real language model and a real generator; one server for all jobs."""
    workspace = prepared(tmp_path)
    generator = workspace.values["recipes"]["dnd"]["generator"]
    python = str(ROOT / ".venv-vllm/bin/python")
    workspace.values["recipes"]["line"] = {
        **{"method": "line", **SHARED, "rounds": 3, "generator": generator},
        **{"prompt": str(ROOT / "config/prompts/line.yaml")},
        "llm": {"model": str(RESOURCES / "proposer"), "python": python},
    }
    workspace.values["shards"] |= {"units": 2}
    workspace.sweep = [workspace.sweep[0], ["line", "conceptnet", "concepts", "shapes", "line", "0,6,14,82"]]
    workspace.write()
    command = [sys.executable, "-m", "dnd", "serve", "config.yaml", "--", *workspace.command()]
    done = subprocess.run(command, cwd=tmp_path, env=workspace.environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    rows = {row["unit"]: row for row in described(workspace, "line")}
    assert all(rows[unit]["label"] for unit in (0, 6, 14)) and rows[82]["abstained"] == "dead"
    assert not any(path.read_text() for path in (workspace.results / "logs/line").glob("*-server.log"))
    rounds = [
        pq.read_table(path).to_pylist() for path in (workspace.results / "line/concepts/line").glob("*-rounds.parquet")
    ]
    asked = [row for part in rounds for row in part]
    assert {row["round"] for row in asked} == {0, 1, 2}
    assert any(row["activation"] is not None for row in asked)
