"""The checked configuration, the plan of the run, and the questions that rules ask about it."""

import fcntl
import hashlib
from importlib.util import find_spec
from pathlib import Path

from snakemake.exceptions import WorkflowError

from dnd import plan as planning
from dnd.config import ConfigError, layers, load

if not workflow.overwrite_configfiles:  # another file replaces this one; merging the two would mix their models

    configfile: "config/config.yaml"


try:
    settings = load(config, workflow.configfiles[-1])
    plan = planning.Plan(settings, layers(settings))
except ConfigError as error:
    raise WorkflowError(f"configuration:\n{error}") from None

RESULTS = f"results/{settings.run}"
STORE = "results/store"
LAYER = f"{RESULTS}/{{name}}/{{slug}}"
PASS = f"{RESULTS}/activations/{{model}}/{{probe}}/{{pooling}}"


LOCKS = []  # open for as long as the run lasts


onstart:
    # The system lets go of this lock when the process ends, however it ends: a killed run needs no --unlock.
    LOCKS.append(open(".snakemake/running", "w"))
    try:
        fcntl.flock(LOCKS[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise WorkflowError(f"another run is at work in {Path.cwd()}") from None


wildcard_constraints:
    name=planning.either(layer.name for layer in plan.layers),
    slug=planning.either(layer.slug for layer in plan.layers),
    model=planning.either(settings.models),
    probe=planning.either(settings.probes),
    recipe=planning.either(settings.recipes),
    pooling="mean|max",
    shard=r"\d{5}",
    units=r"\d{6}-\d{6}",
    bundle=r"\d{3}",
    part=r"\d{3}",


def code(*modules):
    """Digest of the library files that a stage uses: their change, and no other, runs the stage again."""
    folder = Path(find_spec("dnd").origin).parent
    files = [folder / (name if Path(name).suffix else f"{name}.py") for name in modules]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


def layer_of(wildcards):
    """The layer of a job with the wildcards name and slug."""
    return plan.layer(wildcards.name, wildcards.slug)


def recipe_of(wildcards):
    """The recipe of a job, by the wildcard recipe or by its layer."""
    name = wildcards.get("recipe") or layer_of(wildcards).recipe
    return settings.recipes[name]


def recipe_part(*names):
    """A params function that returns one part of the job's recipe as plain values."""

    def value(wildcards):
        part = recipe_of(wildcards)
        for name in names:
            part = getattr(part, name)
        return part.model_dump(mode="json") if hasattr(part, "model_dump") else part

    return value


def target_of(wildcards):
    """The settings of a job's target network as plain values."""
    name = wildcards.get("model") or layer_of(wildcards).model
    target = settings.models[name].model_dump(mode="json")
    target.pop("known_answers")
    return target


def probe_parts(kind):
    """An input function that returns the files of a kind of every shard of a job's probe."""

    def files(wildcards):
        probe = wildcards.get("probe") or layer_of(wildcards).probe
        return [f"{RESULTS}/probe/{probe}/{kind}-{i:05d}.parquet" for i in range(settings.probes[probe].shards)]

    return files


probe_shards = probe_parts("images")


def probe_folder(wildcards):
    """Where a probe's images are: the user's folder, or renders made first."""
    probe = settings.probes[wildcards.probe]
    return str(probe.path) if probe.source == "folder" else f"{RESULTS}/probe/{wildcards.probe}/source"


def weights(model):
    """The files of a local model folder; none for a hub id, whose revision names what it holds."""
    return sorted(str(path) for path in Path(model).rglob("*") if path.is_file()) if Path(model).is_dir() else []


def weights_of(part):
    """An input function that returns the local files of one of the models of a job's recipe."""
    return lambda wildcards: weights(getattr(recipe_of(wildcards), part).model)


def target_files(wildcards):
    """The local files that a job's target network is made from."""
    target = settings.models[wildcards.get("model") or layer_of(wildcards).model]
    named = [target.weights, target.preprocess, *target.arguments.values()]
    paths = [Path(value) for value in named if isinstance(value, str | Path) and Path(value).exists()]
    return sorted({file for path in paths for file in (weights(path) or [str(path)])})


def topk_of(wildcards):
    """The merged activations of a job's layer."""
    layer = layer_of(wildcards)
    pooling = settings.recipes[layer.recipe].pooling
    return f"{RESULTS}/activations/{layer.model}/{layer.probe}/{pooling}/{layer.slug}.parquet"


def unit_shards(stage):
    """An input function that returns the files of a stage for all units of a layer."""

    def files(wildcards):
        layer = layer_of(wildcards)
        return [f"{RESULTS}/{layer.name}/{layer.slug}/{stage}/{units}.parquet" for units in plan.unit_shards(layer)]

    return files


def bundle_files(stage):
    """An input function that returns the files of a stage for every layer of a bundle."""

    def files(wildcards):
        members = plan.bundles[wildcards.recipe, wildcards.bundle]
        return [
            f"{RESULTS}/{layer.name}/{layer.slug}/{stage}/{units}.parquet"
            for layer in members
            for units in plan.unit_shards(layer)
        ]

    return files


def concepts_of(recipe):
    """The candidate concepts of every bundle of a recipe."""
    return [f"{RESULTS}/concepts/{recipe}/{bundle}.parquet" for one, bundle in plan.bundles if one == recipe]


def images_of(recipe):
    """The generated images of a recipe."""
    return [f"{RESULTS}/images/{recipe}/{part:03d}.parquet" for part in range(settings.shards.images)]


def known_answers():
    """The files of known answers of the models in the sweep."""
    models = sorted({layer.model for layer in plan.layers})
    return {name: str(settings.models[name].known_answers) for name in models if settings.models[name].known_answers}


def final_output():
    """Everything that the configuration asks for."""
    tables = [
        f"{RESULTS}/{one.name}/{one.slug}/descriptions.{end}" for one in plan.layers for end in ("parquet", "csv")
    ]
    rejected = [f"{RESULTS}/probe/{probe}/rejected.parquet" for probe in sorted({one.probe for one in plan.layers})]
    return [*tables, *rejected, f"{RESULTS}/evaluation.parquet", f"{RESULTS}/report/index.html"]
