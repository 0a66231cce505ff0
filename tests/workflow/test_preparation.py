"""The table of layers is filled from the networks, and models are fetched, by the workflow itself."""

import shutil

import pytest
from workspace import ROOT, Workspace

ROWS = (ROOT / "config/layers.tsv").read_text().splitlines(keepends=True)
HEADER, NAMED = ROWS[0], [row for row in ROWS if row.split("\t")[1] in ("concepts", "fc")]
TABLE = "results/tiny/modules/conceptnet.tsv"


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    """A workspace without layers.tsv whose network has been looked at."""
    workspace = Workspace(tmp_path_factory.mktemp("listed"))
    (workspace.folder / "layers.tsv").unlink()
    workspace.run(TABLE)
    return workspace


@pytest.fixture
def workspace(listed, tmp_path):
    shutil.copytree(listed.folder, tmp_path, dirs_exist_ok=True)
    workspace = Workspace(tmp_path)
    (tmp_path / "layers.tsv").unlink()
    return workspace


def test_what_a_network_consists_of_is_listed_in_order_of_execution(listed):
    rows = [line.split("\t") for line in (listed.folder / TABLE).read_text().splitlines()]
    assert rows[:3] == [
        ["layer", "class", "shape", "units", "problem"],
        ["conv1", "Conv2d", "32x32x32", "32", ""],
        ["bn1", "BatchNorm2d", "32x32x32", "32", ""],
    ]
    assert rows[-1] == ["fc", "Linear", "36", "36", ""]
    assert not (listed.folder / "layers.tsv").exists()


def test_the_layers_that_the_sweep_names_are_added(workspace):
    table = workspace.folder / "layers.tsv"
    assert "`snakemake inventory` adds" in workspace.run("--dry-run", succeeds=False)
    assert "add the layers of the sweep to layers.tsv" in workspace.run("--dry-run", "inventory")
    assert not table.exists()
    output = workspace.run("inventory")
    assert "layers.tsv: added conceptnet concepts: 100 units" in output
    assert "list the modules" not in output  # they were
    assert table.read_text() == "".join([HEADER, *NAMED])
    assert "describe planted, layer concepts" in workspace.run("--dry-run")
    assert "layers.tsv: nothing to add" in workspace.run("inventory")


def test_rows_that_are_there_stay_and_wrong_units_are_corrected(workspace):
    old = [HEADER, "other\tlayer1\tmine\t3\n", "conceptnet\tfc\tlast\t35\n"]
    (workspace.folder / "layers.tsv").write_text("".join(old))
    output = workspace.run("inventory")
    assert "corrected conceptnet fc: 35 -> 36 units" in output
    assert (workspace.folder / "layers.tsv").read_text() == "".join([*old[:2], "conceptnet\tfc\tlast\t36\n", NAMED[0]])


def test_a_layer_that_the_network_lacks_is_named_with_the_closest(workspace):
    workspace.sweep[1][2] = "concepts,layer9"
    workspace.write()
    output = workspace.run("inventory", succeeds=False)
    assert "sweep.tsv line 2: layer 'layer9' of model 'conceptnet' does not exist; the closest names are" in output
    assert "layer4" in output.partition("the closest names are")[2].partition("\n")[0]
    assert "Traceback" not in output
    assert (workspace.folder / "layers.tsv").read_bytes() == (ROOT / "config/layers.tsv").read_bytes()


def test_prefetch_reaches_for_what_is_not_here_and_fails_in_one_line(tmp_path):
    workspace = Workspace(tmp_path)
    assert "export HF_HUB_OFFLINE=1" in workspace.run("prefetch")
    workspace.values["recipes"]["dnd"]["captions"]["model"] = "owner/captioner"
    workspace.environment |= {"HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": "http://127.0.0.1:9"}
    workspace.environment["NO_PROXY"] = "127.0.0.1"
    workspace.write()
    output = workspace.run("prefetch", succeeds=False)
    assert "failed: captioner: model owner/captioner is not in the cache" in output
    assert str(ROOT / "resources/shapeworld/embedder") in output  # tried although the captioner failed
    assert "Traceback" not in output
    assert "export HF_HUB_OFFLINE=1" not in output


def test_models_are_fetched_before_the_layers_are_known(workspace):
    assert "export HF_HUB_OFFLINE=1" in workspace.run("prefetch")
