"""After a change exactly what depends on it runs again. Jobs are told apart by their messages in the dry run."""

import os
import re
import shutil
from copy import deepcopy

import numpy as np
import pytest
from PIL import Image
from workspace import ROOT, Workspace

from dnd.io import schemas, tables

YEAR_NS = 365 * 86400 * 10**9
RUN = {"compare the descriptions with the known answers", "write the page", "record how the results came about"}
ROWS = {  # name -> slug, units, probe
    "planted": ("concepts", "000000-000090", "shapes"),
    "classes": ("fc", "000000-000003", "shapes"),
    "pictures": ("fc", "000000-000001", "pictures"),
}
STAGES = {
    "exemplars": "cut attention crops for {}, layer {}, units {}",
    "captions": "caption the exemplars of {}, layer {}, units {}",
    "scales": "fit the embedder's scale: {}, layer {}",
    "scores": "score the candidates of {}, layer {}, units {}",
    "explains": "measure what the labels explain: {}, layer {}",
    "descriptions": "describe {}, layer {}",
    "pages": "write the pages of {}, layer {}",
}


def after(stage, *names):
    """The jobs of rows' own stages, from one stage on."""
    wanted = list(STAGES.values())[list(STAGES).index(stage) :]
    return {text.format(name, *ROWS[name][:2]) for text in wanted for name in names}


def shared(probe="shapes", bundle="000-000", recipe="dnd", stage="concepts"):
    """The jobs of a bundle, from one stage on."""
    place = f"conceptnet, {probe}, {recipe}, bundle {bundle}"
    images = {f"draw concepts: {place}, part {part:03d}" for part in range(2)}
    return images | ({f"summarise captions to concepts: {place}"} if stage == "concepts" else set())


BUNDLES = shared() | shared("pictures", "001-000")
PACK = {f"pack probe pictures, shard {i:05d}" for i in range(2)} | {
    "list the images of probe pictures",
    "list the unreadable images of probe pictures",
}
DRAWING = shared(stage="images") | shared("pictures", "001-000", stage="images")


def passes(probe, *slugs):
    """The jobs that run the model over a probe, and that merge some layers' activations."""
    parts = {f"run conceptnet over probe {probe}, shard {i:05d}" for i in range(2)}
    return parts | {f"merge the activations of conceptnet, layer {slug}" for slug in slugs}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, reference, endpoint):
    """The reference run with a row more, whose probe is a folder of images."""
    workspace = Workspace(tmp_path_factory.mktemp("changes") / "run", endpoint)
    shutil.copytree(reference.folder, workspace.folder, dirs_exist_ok=True)
    (workspace.folder / "pictures/deeper").mkdir(parents=True)
    for row in tables.read(reference.results / "probe/shapes/images-00000.parquet", schemas.PROBE).to_pylist()[:24]:
        (workspace.folder / "pictures/deeper" / row["image_id"]).write_bytes(row["image"])
    workspace.values["probes"]["pictures"] = {"source": "folder", "path": "pictures"}
    workspace.sweep.append(["pictures", "conceptnet", "fc", "pictures", "dnd", "0-1"])
    workspace.write()
    workspace.before = times(workspace)
    workspace.added = jobs(workspace)
    workspace.run()
    return workspace


@pytest.fixture
def workspace(finished, tmp_path, endpoint):
    """A copy of the finished run that a test may change."""
    copy = Workspace(tmp_path / "run", endpoint)
    shutil.copytree(finished.folder, copy.folder, dirs_exist_ok=True)
    copy.values, copy.sweep = deepcopy(finished.values), deepcopy(finished.sweep)
    return copy


@pytest.fixture
def clone(workspace, tmp_path):
    """The same, run by a copy of the workflow and library that a test may change."""
    workspace.root = tmp_path / "clone"
    for name in ("Snakefile", "workflow", "src", "profiles"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        (tmp_path / "clone").mkdir(exist_ok=True)
        copy(ROOT / name, tmp_path / "clone" / name)
    workspace.environment = workspace.environment | {"PYTHONPATH": str(tmp_path / "clone/src")}
    return workspace


def jobs(workspace, *arguments):
    """The messages of the jobs that the next run would do."""
    workspace.write()
    output = workspace.run("--dry-run", *arguments)
    found = re.findall(r"^(?:local)?(?:Job|checkpoint) \d+: (.*)$", output, re.MULTILINE)
    assert found or "Nothing to be done" in output
    return set(found)


def times(workspace):
    return {
        path.relative_to(workspace.results): path.stat().st_mtime_ns
        for path in workspace.results.glob("*/*/**/*.parquet")
        if path.relative_to(workspace.results).parts[0] in ROWS
    }


def test_adding_a_row_leaves_finished_rows_untouched(finished, reference):
    own = after("exemplars", "pictures") | passes("pictures", "fc")
    assert finished.added == PACK | own | shared("pictures", "001-000") | RUN
    now = times(finished)
    assert {path: now[path] for path in finished.before} == finished.before
    described = finished.descriptions()
    assert {name: described[name] for name in reference.descriptions()} == reference.descriptions()
    assert "pictures/fc/descriptions.parquet" in described


def test_nothing_is_left_to_do(workspace, clone):
    assert not jobs(workspace)
    assert not jobs(clone)


def test_new_layer(workspace):
    workspace.sweep[1][2] = "concepts,layer4"
    workspace.sweep[1][5] = "0,6,8,14,20,60,82-87,90"
    new = {text.format("planted", "layer4", ROWS["planted"][1]) for text in STAGES.values()}
    assert jobs(workspace) == passes("shapes", "layer4") | new | shared(bundle="002-000") | RUN


def test_a_layer_that_leaves(workspace):
    """What is left of its row stays; the page is written without it."""
    del workspace.sweep[3]
    assert jobs(workspace) == RUN


def test_new_row_for_a_known_layer(workspace):
    """Its activations are there."""
    workspace.sweep.append(["again", "conceptnet", "fc", "shapes", "dnd", "7"])
    new = {text.format("again", "fc", "000007-000007") for text in STAGES.values()}
    assert jobs(workspace) == new | shared(bundle="002-000") | RUN


def test_new_recipe(workspace):
    """It keeps more images, has another pass of the network therefore, and leaves the others' alone."""
    recipe = workspace.values["recipes"]["dnd"]
    workspace.values["recipes"]["wide"] = recipe | {"exemplars": {"pool": 500}}
    workspace.sweep.append(["again", "conceptnet", "fc", "shapes", "wide", "0-1"])
    new = {text.format("again", "fc", "000000-000001") for text in STAGES.values()}
    assert jobs(workspace) == passes("shapes", "fc") | new | shared(bundle="002-000", recipe="wide") | RUN


def test_caption_settings(workspace):
    workspace.values["recipes"]["dnd"]["captions"] |= {"max_new_tokens": 31}
    assert jobs(workspace) == after("captions", *ROWS) | BUNDLES | RUN


def test_caption_model(workspace):
    model = shutil.copytree(ROOT / "resources/shapeworld/captioner", workspace.folder / "captioner")
    workspace.values["recipes"]["dnd"]["captions"] |= {"model": str(model)}
    assert jobs(workspace) == after("captions", *ROWS) | BUNDLES | RUN


def test_prompt(workspace):
    prompt = shutil.copy(ROOT / "config/prompts/concept.yaml", workspace.folder / "concept.yaml")
    workspace.values["recipes"]["dnd"]["concepts"] = {"prompt": str(prompt)}
    assert jobs(workspace) == after("scales", *ROWS) | BUNDLES | RUN


def test_generator_settings(workspace):
    workspace.values["recipes"]["dnd"]["generator"] |= {"steps": 5}
    assert jobs(workspace) == after("scales", *ROWS) | DRAWING | RUN


def test_scoring_parameter(workspace):
    workspace.values["recipes"]["dnd"]["scores"] |= {"drawn": 0.5}
    assert jobs(workspace) == after("scores", *ROWS) | RUN


def test_units_of_one_row(workspace):
    workspace.sweep[2][5] = "0-4"
    new = {text.format("classes", "fc", "000000-000004") for text in STAGES.values()}
    assert jobs(workspace) == new | shared() | after("scales", "planted") | RUN  # the two share a bundle


def test_compute_settings_run_nothing_again(workspace):
    assert not jobs(workspace, "--set-threads", "captions=1", "--set-resources", "scores:mem_mb=9", "--cores", "1")
    workspace.values["llm"] |= {"concurrency": 3, "startup_seconds": 9}
    assert not jobs(workspace)


def test_a_cluster_profile_runs_nothing_again(workspace):
    assert not jobs(workspace, "--profile", str(ROOT / "profiles/slurm"))


def test_deleted_item_stores_run_nothing_again(workspace):
    shutil.rmtree(workspace.folder / "results/store")
    assert not jobs(workspace)


def test_scenes_of_renders(workspace):
    workspace.values["probes"]["shapes"]["scenes"] = {"together": ["colour", "shape"], "leak": 0.02}
    again = jobs(workspace)
    assert "list the images of probe shapes" in again
    assert [job for job in again if job.startswith("render ") and job.endswith(" of probe shapes")]
    assert passes("shapes", "concepts", "fc") | after("exemplars", "planted", "classes") | shared() < again
    assert not again & (PACK | after("exemplars", "pictures"))


@pytest.mark.parametrize("change", ["add", "remove", "replace"])
def test_images_of_a_probe(workspace, change):
    folder = workspace.folder / "pictures/deeper"
    first = min(folder.iterdir())
    match change:
        case "add":
            Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(folder / "new.png")
        case "remove":
            first.unlink()
        case "replace":
            first.write_bytes(max(folder.iterdir()).read_bytes())
    again = PACK | passes("pictures", "fc") | after("exemplars", "pictures")
    assert jobs(workspace) == again | shared("pictures", "001-000") | RUN


@pytest.mark.parametrize(
    ("module", "again"),
    [
        ("candidates/captions.py", after("captions", *ROWS) | BUNDLES | RUN),
        ("backends/embedder.py", after("scales", *ROWS) | BUNDLES | RUN),  # which also parts captions for `rest`
        ("selection/images.py", after("scales", *ROWS) | DRAWING | RUN),
        ("evaluation/agreement.py", RUN),
        ("report/units.py", after("pages", *ROWS) | {"write the page"}),
        ("report/app/index.html", {"write the page"}),
        (
            "shapeworld/target.py",
            passes("shapes", "concepts", "fc") | passes("pictures", "fc") | after("exemplars", *ROWS) | BUNDLES | RUN,
        ),
        ("config/load.py", set()),
        ("__main__.py", set()),
    ],
)
def test_code_of_a_module(clone, module, again):
    with (clone.root / "src/dnd" / module).open("a") as file:
        file.write("\n# a comment\n" if module.endswith(".py") else "\n")
    assert jobs(clone) == again


@pytest.mark.parametrize(
    ("script", "again"),
    [
        ("captions.py", after("captions", *ROWS) | BUNDLES | RUN),
        ("scales.py", after("scales", *ROWS) | RUN),
        ("scores.py", after("scores", *ROWS) | RUN),
        ("explains.py", after("explains", *ROWS) | RUN),
        ("report.py", {"write the page"}),
    ],
)
def test_code_of_a_script(clone, script, again):
    with (clone.root / "workflow/scripts" / script).open("a") as file:
        file.write("\n# a comment\n")
    assert jobs(clone) == again


def test_a_clone_beside_older_results_runs_nothing_again(clone):
    """Nor does `touch`, or a checkout to and fro: all that counts is what the files say."""
    for path in [*clone.root.rglob("*"), *clone.folder.glob("*.yaml")]:
        path.touch()
    assert not jobs(clone)
    for path in sorted(clone.results.parent.rglob("*"), reverse=True):  # weights and prompts are newer than these
        told = path.stat()
        os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns - YEAR_NS))
    assert not jobs(clone)
