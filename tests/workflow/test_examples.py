"""Every example parses with every recipe, and the command in its head builds the jobs that it speaks of."""

import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import yaml
from workspace import ROOT, SNAKEMAKE

from dnd.config import load, sweep
from dnd.probe import sources
from dnd.run import plan, tasks

EXAMPLES = ROOT / "config/examples"
NETWORKS = sorted(path.stem for path in EXAMPLES.glob("*.yaml"))
RECIPES = sorted(path.stem for path in (EXAMPLES / "recipes").glob("*.yaml"))
JOBS = {  # layers, passes over a shard of images, starts of a language model
    "clip-heads": (24, 4, 1),
    "clip-sae": (1, 4, 1),
    "clip-vit-l14": (24, 4, 1),
    "convnext": (4 + 3, 4, 1),
    "dinov2": (12 + 12, 4 + 4, 2),
    "eurosat-resnet50": (2, 2, 1),
    "resnet152-imagenet": (4, 16, 1),
    "resnet18-places365": (5, 16, 1),
    "resnet50-imagenet": (5, 16, 1),
    "swin": (4, 4, 1),
    "tile2vec": (5, 2, 1),
    "vit-b16-imagenet": (12 + 1, 16, 1),
}


def read(name):
    return yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())


def head(name):
    return (EXAMPLES / f"{name}.yaml").read_text().partition("\nrun:")[0]


def command_of(name):
    """The command in the head of an example."""
    (line,) = re.findall(r"^# +snakemake (.*)$", head(name), re.MULTILINE)
    return line.split()


def paths(values):
    """The user's files and folders that a part of a configuration names."""
    for value in values.values() if isinstance(values, dict) else values:
        if isinstance(value, dict | list):
            yield from paths(value)
        elif isinstance(value, str) and value.startswith("data/"):
            yield value


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working directory in which every example finds what it needs: an image for a folder, no tensors in a file."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "config").symlink_to(ROOT / "config")
    for path in {path for name in NETWORKS for path in paths(read(name))}:
        place = folder / path
        if not place.suffix:
            place /= "one.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"\2\0\0\0\0\0\0\0{}")  # as a .safetensors file says it
    broden = folder / "data/broden1_224"
    (broden / "index.csv").write_text("image,split,ih,iw,sh,sw,object\none.png,train,224,224,112,112,one_object.png\n")
    (broden / "label.csv").write_text("number,name\n1,sky\n")
    (broden / "images/one_object.png").write_bytes((broden / "images/one.png").read_bytes())
    return folder


def dry_run(folder, *arguments, succeeds=True):
    command = [str(SNAKEMAKE), "--snakefile", str(ROOT / "Snakefile"), *arguments]
    command += ["--workflow-profile", str(ROOT / "profiles/default"), "--dry-run", "--quiet", "rules"]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, timeout=300
    )
    output = done.stdout + done.stderr
    assert (done.returncode == 0) is succeeds, output[-6000:]
    return output


def draws(recipe):
    return read(f"recipes/{recipe}")["recipes"]["dnd"]["generator"] is not None


def jobs(output):
    """Rule -> how many jobs."""
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", output, re.MULTILINE)}


def check(name, found, drawn=True):
    layers, passes, bundles = JOBS[name]
    for rule in ("topk", "exemplars", "captions", "scores", "descriptions", "report_layer"):
        assert found[rule] == layers, rule
    assert (found["activations"], found["concepts"]) == (passes, bundles)
    assert found.get("images", 0) == (2 * bundles if drawn else 0)
    shards = passes // len(read(name)["models"])
    assert (found["probe"], found["rejected"], found["report"]) == (shards, 1, 1)
    assert "shapeworld_images" not in found


def test_the_numbers_of_jobs_are_known_for_every_example():
    assert sorted(JOBS) == NETWORKS


@pytest.mark.parametrize("name", NETWORKS)
def test_the_head_tells_what_to_prepare_and_what_to_type(name):
    flag, network, recipe = command_of(name)
    assert (flag, network) == ("--configfile", f"config/examples/{name}.yaml")
    assert recipe in [f"config/examples/recipes/{one}.yaml" for one in RECIPES]
    assert read(name)["run"] == name
    for path in paths(read(name)):
        assert f"#   {path} " in head(name) or f"{path}:" in head(name), path


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_goes_with_every_recipe(folder, monkeypatch, name, recipe):
    monkeypatch.chdir(folder)
    loaded = load.load(read(name) | read(f"recipes/{recipe}"), name)
    layers = sweep.layers(loaded)
    slugs = {layer: slug for layer, (slug, _) in sweep.known_layers(loaded).items()}
    planned = plan.Plan(loaded, layers, slugs, {})
    assert (len(layers), len(planned.bundles)) == (JOBS[name][0], JOBS[name][2])


@pytest.mark.parametrize("name", ["resnet18-places365", "resnet50-imagenet"])
def test_the_images_of_broden_are_photographs_and_no_segmentation_maps(folder, monkeypatch, name):
    monkeypatch.chdir(folder)
    probes = load.load(read(name) | read("recipes/paper"), name).probes
    files = sources.files("imagenet-broden", probes)
    assert {probe: list(found) for probe, found in files.items()} == {"imagenet": ["one.png"], "broden": ["one.png"]}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_command_in_the_head_builds_the_jobs(folder, monkeypatch, name):
    found = jobs(dry_run(folder, *command_of(name)))
    check(name, found, draws(Path(command_of(name)[2]).stem))
    monkeypatch.chdir(folder)
    counted = Counter(task.rule for task in tasks.tasks(tasks.read(command_of(name)[1:])))
    assert counted | Counter(all=1, total=counted.total() + 1) == Counter(found)


@pytest.mark.parametrize("recipe", sorted(set(RECIPES) - {Path(command_of(name)[2]).stem for name in NETWORKS}))
def test_a_recipe_that_no_head_names_builds_the_jobs(folder, recipe):
    files = [f"config/examples/{name}.yaml" for name in ("swin", f"recipes/{recipe}")]
    check("swin", jobs(dry_run(folder, "--configfile", *files)), draws(recipe))


def test_a_mistake_names_the_files_and_the_key(folder):
    wrong = (EXAMPLES / "recipes/paper.yaml").read_text().replace("steps: 50", "stpes: 50")
    (folder / "wrong.yaml").write_text(wrong)
    output = dry_run(folder, "--configfile", "config/examples/swin.yaml", "wrong.yaml", succeeds=False)
    assert re.search(r"examples/swin\.yaml \+ \S*/wrong\.yaml: recipes\.dnd\.generator\.stpes: unknown key", output)
    assert "Traceback" not in output


def test_a_network_alone_lacks_a_recipe(folder):
    output = dry_run(folder, "--configfile", "config/examples/swin.yaml", succeeds=False)
    assert "config/examples/swin.yaml: recipes: is missing" in output
    assert "config/examples/swin.yaml: llm: is missing" in output
