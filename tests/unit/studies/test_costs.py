"""What a method needed, from tables and benchmark files written by hand."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from dnd.config.recipes import Recipe
from dnd.config.stages import StoppingSettings
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
    recipe = Recipe(
        captions={"model": "m"}, generator={"model": "g"}, embedder={"model": "e"}, stopping=StoppingSettings()
    )
    probe = SimpleNamespace(part=None)
    place = {"probe": "p", "recipe": "fast", "units": (0, 1)}
    layers = [Layer(name="a", model="m", layer="one", slug="one", **place)]
    layers.append(Layer(name="b", model="m", layer="two", slug="two", **place))
    monkeypatch.setattr(costs, "plan_of", lambda config: SimpleNamespace(config=config, layers=layers))
    return SimpleNamespace(results=Path("results/r"), probes={"p": probe}, recipes={"fast": recipe})


def test_images_that_shards_and_layers_share_count_once(run, tmp_path):
    for place, keys in {"a/one/stopping/000000-000000": "xy", "a/one/stopping/000001-000001": "yz"}.items():
        write_images(tmp_path / f"results/r/{place}.parquet", *keys)
        counted = schemas.DRAWN.empty_table()
        tables.write(tmp_path / f"results/r/{place}-drawn.parquet", counted, schemas.DRAWN)
    write_images(tmp_path / "results/r/b/two/stopping/000000-000001.parquet", "z", "w")
    found = costs.costs(run)["fast"]
    assert (found.units, found.pictures) == (4, 4)


def test_seconds_are_those_of_the_layer_and_of_none_whose_slug_begins_alike(run, tmp_path):
    seconds = {"a-one-000000-000000": 3.5, "a-one-000001-000001": 2, "a-one-2-000000-000001": 100, "a-one.conv": 1000}
    for name, lasted in seconds.items():
        timed = tmp_path / f"results/r/benchmarks/stopping/{name}.tsv"
        timed.parent.mkdir(parents=True, exist_ok=True)
        timed.write_text(f"s\n{lasted}\n")
    assert costs.costs(run)["fast"].seconds["stopping"] == 5.5
