"""Units described from Python: the same evidence as the workflow's, whatever form network and images come in."""

import numpy as np
import pytest
import yaml
from PIL import Image
from workspace import UNITS

import dnd
from dnd.config.load import ConfigError
from dnd.config.sweep import units
from dnd.config.targets import ProbeSettings, TargetSettings
from dnd.io import schemas, tables
from dnd.target.sources import load

WANTED = units(UNITS)[:6]


@pytest.fixture(scope="module")
def described(reference, monkeypatch_module):
    """The planted units of the reference run, described from a notebook that has a module and a configuration."""
    monkeypatch_module.setenv(*reference.environment_of_server)
    monkeypatch_module.chdir(reference.folder)
    settings = TargetSettings(**reference.values["models"]["conceptnet"])
    return dnd.describe(
        load(settings).model,
        "concepts",
        reference.results / "probe/shapes/source",
        recipe=reference.folder / "config.yaml",
        preprocess={"size": 64, "mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)},
        units=WANTED,
    )


def test_evidence_is_that_of_the_workflow(described, reference):
    path = reference.results / "planted/concepts/descriptions.parquet"
    expected = {row["unit"]: row for row in tables.read(path, schemas.DESCRIPTIONS).to_pylist()}
    found = described.table.to_pylist()
    assert [row["unit"] for row in found] == list(WANTED)
    for row in found:
        assert row["exemplars"] == expected[row["unit"]]["exemplars"]
        assert row["captions"] == expected[row["unit"]]["captions"]
        assert row["abstained"] == expected[row["unit"]]["abstained"]
    same = [row["label"] == expected[row["unit"]]["label"] for row in found]
    assert sum(same) >= len(same) - 1  # the language model is asked in other orders, under another name


def test_data_frame_has_the_unit_as_index(described):
    frame = described.to_pandas()
    assert list(frame.index) == list(WANTED)
    assert frame.loc[WANTED[0], "label"] == described[WANTED[0]]["label"]
    with pytest.raises(KeyError, match="unit 99 is not among the 6 that were described"):
        described[99]


def test_show_is_a_picture_of_exemplars_and_drawn_candidates(described):
    picture = described.show(WANTED[0])
    candidates = len(described[WANTED[0]]["candidates"])
    assert isinstance(picture, Image.Image)
    assert picture.height == (1 + candidates) * 118 + 6
    pixels = np.asarray(picture)[:, 220:]
    assert pixels[:112].std() > 20
    assert pixels[124:230].std() > 20


def test_images_in_memory_and_settings_of_a_network(reference, monkeypatch, tmp_path):
    monkeypatch.setenv(*reference.environment_of_server)
    monkeypatch.chdir(reference.folder)
    paths = sorted((reference.results / "probe/shapes/source").glob("*.png"))[:40]
    found = dnd.describe(
        TargetSettings(**reference.values["models"]["conceptnet"]),
        "fc",
        [Image.open(path) for path in paths],
        recipe=reference.folder / "config.yaml",
        units=[1],
        folder=tmp_path,
    )
    assert found[1]["exemplars"][0]["image_id"] in {f"{i:06d}.png" for i in range(40)}
    assert (tmp_path / "descriptions.parquet").exists()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").glob("*/*/*")}
    again = dnd.describe(
        TargetSettings(**reference.values["models"]["conceptnet"]),
        "fc",
        ProbeSettings(source="folder", path=tmp_path / "images"),
        recipe=reference.folder / "config.yaml",
        units=[1],
        folder=tmp_path,
    )
    assert again.table.equals(found.table)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store").glob("*/*/*")} == before


def test_mistakes_are_told(reference, tmp_path, monkeypatch):
    monkeypatch.chdir(reference.folder)
    network = load(TargetSettings(**reference.values["models"]["conceptnet"])).model
    with pytest.raises(ValueError, match="preprocess: say how images become inputs"):
        dnd.describe(network, "fc", tmp_path, recipe=reference.folder / "config.yaml")
    (tmp_path / "two.yaml").write_text(yaml.safe_dump({"recipes": {"a": {}, "b": {}}, "llm": {}}))
    with pytest.raises(ConfigError, match=r"two.yaml: expected one recipe"):
        dnd.describe(network, "fc", tmp_path, recipe=tmp_path / "two.yaml", preprocess={"size": 64})
    with pytest.raises(ValueError, match="no images"):
        dnd.describe(network, "fc", tmp_path, recipe=reference.folder / "config.yaml", preprocess={"size": 64})
