"""Bad input: one clear message before any job starts; an unreadable image is listed and skipped."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image
from workspace import Workspace

from dnd import tables


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path)


def refused(workspace):
    workspace.write()
    output = workspace.run("--dry-run", succeeds=False)
    assert "Traceback" not in output
    assert not workspace.results.exists()
    return output


def test_unknown_key(workspace):
    workspace.values["recipes"]["dnd"]["exemplars"] = {"imgaes": 5}
    assert "config.yaml: recipes.dnd.exemplars.imgaes: unknown key" in refused(workspace)


def test_wrong_type(workspace):
    workspace.values["probes"]["shapes"]["images"] = "many"
    assert "config.yaml: probes.shapes.images: " in refused(workspace)


def test_missing_folder(workspace):
    workspace.values["probes"]["shapes"] = {"source": "folder", "path": "no/such/folder"}
    assert "config.yaml: probes.shapes.path: no/such/folder does not exist" in refused(workspace)


def test_unknown_layer(workspace):
    workspace.sweep[1][2] = "layer9"
    assert "sweep.tsv line 2: unknown layer 'layer9' of model 'conceptnet'" in refused(workspace)


def test_duplicate_row(workspace):
    workspace.sweep.append(workspace.sweep[1])
    assert "listed twice" in refused(workspace)


def test_units_beyond_the_layer(workspace):
    workspace.sweep[2][5] = "0-36"
    assert "sweep.tsv line 3: unit 36 of layer 'fc', which has 36" in refused(workspace)


def test_dry_run_lists_the_jobs_and_makes_nothing(workspace):
    output = workspace.run("--dry-run")
    assert "describe planted, layer concepts" in output
    assert not workspace.results.exists()


def test_unreadable_images_of_a_users_folder_are_listed(workspace):
    folder = workspace.folder / "pictures"
    (folder / "deeper").mkdir(parents=True)
    for i in range(6):
        Image.fromarray(np.full((20, 30, 3), 40 * i, np.uint8)).save(folder / "deeper" / f"{i}.jpg")
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(buffer, "PNG")
    (folder / "cut.png").write_bytes(buffer.getvalue()[:3000])
    shutil.copy(__file__, folder / "script.png")
    workspace.values["probes"]["shapes"] = {"source": "folder", "path": "pictures", "shards": 3}
    workspace.write()
    workspace.run("--until", "rejected", "activations")
    rejected = workspace.results / "probe/shapes/rejected.parquet"
    reasons = {row["image_id"]: row["reason"] for row in tables.read(rejected, tables.REJECTED).to_pylist()}
    assert set(reasons) == {"cut.png", "script.png"}
    assert all(reasons.values())
    assert "rejected cut.png" in (workspace.results / "logs/rejected/shapes.log").read_text()
    statistics = sorted(workspace.results.glob("activations/*/*/*/parts/*/statistics-*.parquet"))
    counts = [tables.read(path, tables.STATISTICS_PART)["count"][0].as_py() for path in statistics]
    assert sum(counts) == 6
