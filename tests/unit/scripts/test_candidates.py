"""The jobs that score and describe, run as Snakemake runs them, where nothing is drawn and where a rival labels."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from handmade import UNPROBED

from dnd.io import schemas, tables

FACTS = {"model": "m", "layer": "l", "probe": "p", "recipe": "r"}
CONFIG = {"recipes": {"r": {"captions": {"model": "m"}, "generator": None, "embedder": None}}}
ROOT = Path(__file__).parents[3]
RUN = """
import json, runpy, sys
from types import SimpleNamespace as Space
from snakemake.iocontainers import InputFiles, Log, OutputFiles, Params, Wildcards
kinds = {"input": InputFiles, "output": OutputFiles, "log": Log, "params": Params, "wildcards": Wildcards}
for script, told in json.loads(sys.argv[1]):
    told = {key: kinds[key](fromdict=value) for key, value in told.items()}
    runpy.run_path(script, init_globals={"snakemake": Space(**told, threads=1, config=json.loads(sys.argv[2]))})
"""


def topk(unit, idle=None):
    """A row of TOPK with two images."""
    row = dict.fromkeys(schemas.TOPK.names) | {"unit": unit, "idle": idle}
    return row | {"image_ids": ["a.png", "b.png"], "activations": [2.0, 1.0]}


@pytest.fixture
def jobs(tmp_path):
    """A function that runs jobs on given tables, and returns the table that the last one wrote."""

    def run(steps, **rows):
        for name, found in rows.items():
            schema = getattr(schemas, name.upper())
            tables.write(tmp_path / name, tables.table(found, schema), schema)
        told = [
            (
                str(ROOT / f"workflow/scripts/{script}.py"),
                {
                    "input": {key: str(tmp_path / value) if value else [] for key, value in given.items()},
                    "output": {key: str(tmp_path / f"{script}.{key}") for key in ("parquet", "csv", "facets")},
                    "log": {"job": str(tmp_path / f"{script}.log")},
                    "params": {"units": "0-9", **params},
                    "wildcards": {"name": "n", "slug": "s"},
                },
            )
            for script, given, params in steps
        ]
        done = subprocess.run(
            [sys.executable, "-c", RUN, json.dumps(told), json.dumps(CONFIG)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr + "".join(path.read_text() for path in tmp_path.glob("*.log"))
        return tables.read(tmp_path / f"{steps[-1][0]}.parquet", schemas.DESCRIPTIONS).to_pylist()

    return run


def test_answers_alone_become_descriptions(jobs, tmp_path):
    """Neither the network nor images nor an embedder are there."""
    concepts = [
        {"name": name, "slug": "s", "unit": 0, "candidate": number, "concept": concept, "votes": votes}
        | {"samples": [], "source": "captions"}
        for name, number, concept, votes in (("n", 0, "red", 2), ("n", 1, "star", 1), ("other", 0, "grass", 3))
    ]
    shown = {"unit": 0, "rank": 0, "image_id": "a.png", "box": None, "activation": 2.0, "heatmap": None}
    rows = jobs(
        [
            ("scores", {"concepts": "concepts", "images": None}, {"recipe": "r"}),
            (
                "descriptions",
                {"topk": "topk", "exemplars": "exemplars", "captions": "captions", "scores": "scores.parquet"},
                {"facts": FACTS, "units": "0-1", "shown": None, "least": 0.1},
            ),
        ],
        concepts=concepts,
        topk=[topk(0), topk(1, "dead")],
        exemplars=[shown | {"heatmap_box": None}],
        captions=[{"image_id": "a.png", "box": None, "caption": "a red star"}],
    )
    assert [row["labels"] for row in rows] == [["red", "star"], []]
    assert [row["abstained"] for row in rows] == [None, "dead"]
    assert [row["score"] for row in rows] == [pytest.approx(2 / 3), None]
    assert rows[0]["captions"] == ["a red star"]
    assert tables.read(tmp_path / "descriptions.facets", schemas.FACETS).to_pylist() == [
        {"unit": 0, "facet": 0, "label": "red", "exemplars": [0], "share": 1.0}
    ]


def test_a_rival_has_neither_exemplars_nor_captions_of_its_own(jobs):
    unknown = dict.fromkeys(("votes", "auc", "mad", "rank_score", "image_similarity", "activations"))
    scored = {"unit": 0, "candidate": 0, "concept": "red", "source": "invert", "score": 0.9}
    rows = jobs(
        [
            (
                "descriptions",
                {"topk": "topk", "exemplars": None, "captions": None, "scores": "scores"},
                {"facts": FACTS, "units": "0-1", "shown": 1},
            )
        ],
        topk=[topk(0), topk(1)],
        scores=[scored | unknown | UNPROBED],
    )
    assert [row["label"] for row in rows] == ["red", None]
    assert [row["abstained"] for row in rows] == [None, "no_concept"]
    assert rows[0]["exemplars"] == [{"image_id": "a.png", "box": None, "activation": 2.0}]
