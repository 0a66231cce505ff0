"""The job that asks the language model, run as Snakemake runs it, with pictures and with captions."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from endpoints import KEY, external
from handmade import png
from PIL import Image

from dnd.io import schemas, tables

ROOT = Path(__file__).parents[3]
RUN = """
import json, runpy, sys
from types import SimpleNamespace as Space
class Files(list):
    def __init__(self, **named):
        super().__init__(named.values())
        self.__dict__.update(named)
told = json.loads(sys.argv[1])
for part in ("input", "output", "log"):
    told[part] = Files(**told[part])
told["params"], told["wildcards"] = Space(**told["params"], get=told["params"].get), {}
runpy.run_path(sys.argv[2], init_globals={"snakemake": Space(**told)})
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A function that runs the job on one unit with two exemplars, and returns its tables and what was asked."""
    probe = [
        {"image_id": name, "digest": name * 32, "width": 8, "height": 8, "label": None}
        | {"image": png(Image.new("RGB", (8, 8), colour))}
        for name, colour in {"aa": "red", "bb": "blue"}.items()
    ]
    exemplars = [
        {"unit": 4, "rank": rank, "image_id": name, "box": box, "activation": 1.0, "heatmap": None, "heatmap_box": None}
        for rank, (name, box) in enumerate({"bb": None, "aa": [0, 0, 4, 4]}.items())
    ]
    captions = [
        {"image_id": row["image_id"], "box": row["box"], "caption": f"thing {row['image_id']}"} for row in exemplars
    ]
    files = {}
    for name, rows in {"probe": probe, "exemplars": exemplars, "captions": captions}.items():
        schema = getattr(schemas, name.upper())
        files[name] = [str(tmp_path / f"{name}.parquet")]
        tables.write(files[name][0], tables.table(rows, schema), schema)

    def run(**concepts):
        with external(tmp_path, f"log={tmp_path / 'asked'}") as server:
            monkeypatch.setenv(KEY, server.key)
            llm = {"model": "m", "base_url": server.base_url, "api_key_env": KEY}
            recipe = {"captions": {"model": "m"}, "generator": None, "embedder": None}
            recipe["concepts"] = {"samples": 2, "max_words": 9, **concepts}
            told = {
                "input": {**files, "answers": []},
                "output": {name: str(tmp_path / f"out-{name}.parquet") for name in ("concepts", "answers")},
                "log": {"job": str(tmp_path / "log"), "server": str(tmp_path / "server-log")},
                "params": {"layers": [["n", "s", "0-9"]], "recipe": "r"},
                "config": {"llm": llm, "store": str(tmp_path / "store"), "recipes": {"r": recipe}},
                "threads": 1,
            }
            line = [sys.executable, "-c", RUN, json.dumps(told), str(ROOT / "workflow/scripts/concepts.py")]
            done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr + (tmp_path / "log").read_text()
        asked = [json.loads(line) for line in (tmp_path / "asked").read_text().splitlines()]
        return (*(tables.read(told["output"][name], getattr(schemas, name.upper())) for name in told["output"]), asked)

    return run


def test_pictures_are_shown_and_only_their_names_are_kept(job):
    _, answers, asked = job(show_images=True)
    for body in asked:
        parts = body["messages"][0]["content"]
        assert sum(part["type"] == "image_url" for part in parts) == 2
        assert all(part["image_url"]["url"].startswith("data:image/jpeg;base64,/9j/") for part in parts[1:3])
    assert len(asked) == 2
    for prompt, ranks in zip(answers["prompt"].to_pylist(), answers["captions"].to_pylist(), strict=True):
        names = [part["image_url"]["url"] for part in json.loads(prompt)[0]["content"] if part["type"] == "image_url"]
        both = [
            f"image sha256:{'bb' * 32} within 512 pixels",
            f"image sha256:{'aa' * 32} box 0,0,4,4 within 512 pixels",
        ]
        assert names == [both[rank] for rank in ranks]


def test_captions_are_shown_in_a_sample_s_order(job):
    concepts, answers, asked = job()
    assert len(asked) == 2
    assert concepts["unit"].to_pylist() == [4] * len(concepts)
    for prompt, ranks in zip(answers["prompt"].to_pylist(), answers["captions"].to_pylist(), strict=True):
        assert json.loads(prompt)[-1]["content"].splitlines() == [["thing bb", "thing aa"][rank] for rank in ranks]
