"""The site of a run: its overview, and what the evaluation says of units."""

import os

import pytest
from pages import LAYERS, write_run, write_site

import dnd
from dnd.config.known_answers import CONCEPT_KINDS
from dnd.io import schemas, tables
from dnd.report import data_files
from dnd.report import site as builder
from dnd.report.data_files import Index


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return write_site(folder, write_run(folder, LAYERS))


@pytest.fixture(scope="module")
def run(site):
    return data_files.read(site / "run.js")


def test_layers_are_in_order_of_the_sweep_with_their_counts(run):
    assert (run["run"], run["version"]) == ("demo", dnd.__version__)
    assert [(one["name"], one["slug"]) for one in run["layers"]] == [("planted", "concepts"), ("classes", "fc")]
    first = run["layers"][0]
    assert (first["units"], first["labelled"], first["abstained"], first["polysemantic"]) == (5, 4, {"dead": 1}, 1)
    assert first["explains"] == [0, 0, 0, 0, 2, 1, 1, 0, 0, 0]
    assert first["confidence"] == []  # no file was fitted
    assert first["concepts"][0] == ["red objects", 1]
    assert first["important"] is False


def test_the_most_frequent_concepts_come_first():
    index = {
        **dict.fromkeys(("name", "layer", "slug", "model", "probe", "recipe", "method"), "a"),
        "unit": list(range(6)),
        "labels": ["cats", "dogs", "owls"],
        "label": [2, 1, 2, -1, 0, 2],
        "reasons": ["chance"],
        "abstained": [-1, -1, -1, 0, -1, -1],
        "confidence": [0.0, 0.15, 1.0, 0.9, 0.99, 0.2],
        "explains": [-0.2, 0.19, 1.0, 0.9, None, 0.21],
        "polysemantic": [0] * 6,
        "importance": [1] * 6,
    }
    found = builder.summary(Index.model_construct(**index), [])
    assert found["concepts"] == [("owls", 3), ("cats", 1), ("dogs", 1)]
    assert found["confidence"] == [1, 1, 1, 0, 0, 0, 0, 0, 0, 2]
    assert found["explains"] == [1, 1, 1, 0, 0, 0, 0, 0, 0, 1]
    assert (found["abstained"], found["important"]) == ({"chance": 1}, True)


def test_figures_are_those_of_the_evaluation(run):
    figures = {(one["metric"], one["kind"]): one for one in run["layers"][0]["figures"]}
    # one of three is right; Wilson: 6-79 %
    own = figures["known_answer_exact", "concept"]
    assert (own["units"], own["value"], own["note"], own["title"]) == (3, 0.3333, None, "exact")
    assert (own["low"], own["high"]) == pytest.approx((0.0615, 0.7923), abs=1e-3)
    assert set(own["baselines"]) == {"constant", "shuffled"}
    assert {kind for _, kind in figures} <= {"concept", *CONCEPT_KINDS, "dead", "random", None}


def test_a_metric_that_fails_a_sanity_test_says_so(site, run):
    place = {"name": "planted", "layer": "concepts", "kind": None, "method": "dnd", "low": 0.1, "high": 0.9}
    rows = [
        {**place, "unit": unit, "metric": metric, "value": 0.5}
        for unit in (None, 0)
        for metric in ("abstained", "cosy_auc", "simulation_r")
    ]
    (figure,) = builder.figures(tables.table(rows, schemas.EVALUATION))
    found = {row["metric"]: row["note"] for row in builder._rows(figure)}
    assert found == {"abstained": None, "cosy_auc": "fails a sanity test", "simulation_r": None}


def test_verdicts_on_units_are_kept_apart_from_the_pages_of_layers(site):
    found = data_files.read(site / "evaluation/planted/concepts.js")
    assert found["correct"] == [1, 0, 1, -1, 0]  # silence is right for a dead unit, nothing is known of a random one
    assert found["metrics"]["known_answer_f1"][0] == 1
    assert found["metrics"]["known_answer_f1"][2:4] == [None, None]
    assert not {"known_answer_exact", "abstained"} & set(found["metrics"])


def test_a_run_without_known_answers_claims_nothing(site, tmp_path):
    pages = [site.parent / name / "pages" for name in ("planted", "classes")]
    empty = tmp_path / "evaluation.parquet"
    tables.write(empty, schemas.EVALUATION.empty_table(), schemas.EVALUATION)
    for folder in pages:
        index = Index.model_validate(data_files.read(folder / "index.js") | {"kinds": [], "kind": [-1] * 9})
        assert set(builder.verdicts(index, schemas.EVALUATION.empty_table())["correct"]) == {-1}
    builder.build(tmp_path / "report", "demo", pages, empty)
    assert [one["figures"] for one in data_files.read(tmp_path / "report/run.js")["layers"]] == [[], []]


def test_the_front_end_lies_beside_the_data(site):
    own = {path.relative_to(builder.APP) for path in builder.APP.rglob("*") if path.is_file()}
    copied = {path.relative_to(site / "app") for path in (site / "app").rglob("*") if path.is_file()}
    assert {path.as_posix() for path in own - copied} == {"index.html"}
    assert (site / "index.html").read_bytes() == (builder.APP / "index.html").read_bytes()


def test_pages_share_their_bytes_with_the_site_and_hidden_files_stay_away(site, tmp_path):
    own, shown = site.parent / "planted/pages/index.js", site / "layers/planted/concepts/index.js"
    assert os.path.samefile(own, shown)
    (tmp_path / "pages/units").mkdir(parents=True)
    for name in (".snakemake_timestamp", "index.js", "units/00000.js"):
        (tmp_path / "pages" / name).write_text(name)
    builder._link(tmp_path / "pages", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == ["00000.js", "index.js", "units"]


def test_files_are_copied_where_they_cannot_be_linked(tmp_path, monkeypatch):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/index.js").write_text("a")
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError))
    builder._link(tmp_path / "pages", tmp_path / "out")
    assert (tmp_path / "out/index.js").read_text() == "a"
    assert not os.path.samefile(tmp_path / "pages/index.js", tmp_path / "out/index.js")
