"""What a method needed, from tables and benchmark files written by hand."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from dnd.config.recipes import Recipe
from dnd.config.sweep import Layer
from dnd.io import schemas, tables
from studies import costs


def write_images(path, *keys):
    rows = [
        {"concept": key, "sample": 0, "seed": 0, "key": key, "image": b"", "problem": None}  # one each
        for key in keys
    ]
    tables.write(path, tables.table(rows, schemas.IMAGES), schemas.IMAGES)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = Recipe(captions={"model": "m"}, generator={"model": "g"}, embedder={"model": "e"})
    probe = SimpleNamespace(part=None)
    place = {"probe": "p", "recipe": "dnd", "units": (0, 1)}
    layers = [Layer(name="a", model="m", layer="one", slug="one", **place)]
    layers.append(Layer(name="b", model="m", layer="two", slug="two", **place))
    monkeypatch.setattr(costs, "plan_of", lambda config: SimpleNamespace(config=config, layers=layers))
    return SimpleNamespace(results=Path("results/r"), probes={"p": probe}, recipes={"dnd": recipe})


def test_images_of_all_jobs_of_a_recipe_count(run, tmp_path):
    write_images(tmp_path / "results/r/images/m/p/dnd/000-000/000.parquet", "x", "y")
    write_images(tmp_path / "results/r/images/m/p/dnd/000-000/001.parquet", "z")
    write_images(tmp_path / "results/r/images/m/p/other/000-000/000.parquet", "w")
    found = costs.costs(run)["dnd"]
    assert (found.units, found.pictures) == (4, 3)


def test_seconds_are_those_of_the_layer_and_of_none_whose_slug_begins_alike(run, tmp_path):
    seconds = {"a-one-000000-000000": 3.5, "a-one-000001-000001": 2, "a-one-2-000000-000001": 100, "a-one.conv": 1000}
    for name, lasted in seconds.items():
        timed = tmp_path / f"results/r/benchmarks/scores/{name}.tsv"
        timed.parent.mkdir(parents=True, exist_ok=True)
        timed.write_text(f"s\n{lasted}\n")
    assert costs.costs(run)["dnd"].seconds["scores"] == 5.5
