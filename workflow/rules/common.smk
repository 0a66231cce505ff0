"""What several rules ask about their jobs."""

import os
import sys
from functools import lru_cache
from pathlib import Path

from snakemake.io import flag

from dnd.config import shipped
from dnd.config.targets import file_of
from dnd.run import code_digest
from dnd.run.paths import WILDCARDS
from dnd.run.plan import Bundle


# Looked at with `--software-deployment-method apptainer` only; envs/Dockerfile builds it.
container: os.environ.get("DND_IMAGE", "docker://dnd:0.1.0")


wildcard_constraints:
    **WILDCARDS,


@lru_cache
def code(*scripts, others=()):
    """Digest of scripts and of the library's code that they run: its change, and no other, runs a stage again."""
    files = [workflow.source_path(f"../scripts/{name}.py") for name in scripts]
    return code_digest.digest(map(Path, files), map(Path, others))


def here(files):
    """Mark files that every job finds where they are, as sources or on a volume: a storage provider has no copy."""
    named = [str(shipped.path(file)) for file in files if file]
    return [flag(file, "sourcecache_entry", file) for file in named]


@lru_cache
def weights(model):
    """The files of a local model folder; none for a hub id, whose revision names what it holds."""
    files = Path(model).rglob("*") if os.path.isdir(model) else []
    return here(sorted(str(file) for file in files if file.is_file()))


def weights_in(section):
    """The local files of the model that a section of the configuration names, where there is one."""
    return weights(section.model) if section else []


def weights_of(part):
    """An input function that returns the local files of one of the models of a job's recipe, where it has it."""
    return lambda wildcards: weights_in(getattr(recipe_of(wildcards), part))


def layer_of(wildcards):
    """The layer of a job with the wildcards name and slug."""
    return plan.layer(wildcards.name, wildcards.slug)


def units_of(wildcards):
    """The units of a job's shard."""
    return plan.unit_shards(layer_of(wildcards))[wildcards.units]


def bundle_of(wildcards):
    """The bundle of a job, by its wildcards or by its layer."""
    if wildcards.get("bundle"):
        return Bundle(*(wildcards[key] for key in Bundle._fields))
    return plan.bundle_of(layer_of(wildcards))


def recipe_name(wildcards):
    """The name of a job's recipe, by the wildcard recipe or by its layer."""
    return wildcards.get("recipe") or layer_of(wildcards).recipe


def recipe_of(wildcards):
    """The recipe of a job."""
    return settings.recipes[recipe_name(wildcards)]


@lru_cache
def plain(recipe, part):
    """A part of a recipe as plain values, without what changes no result: scripts find that in their configuration."""
    return settings.recipes[recipe].plain(part)


def recipe_part(part):
    """A params function that returns one part of the job's recipe as plain values."""
    return lambda wildcards: plain(recipe_name(wildcards), part)


def truth_of(part, name):
    """A params function that returns the digest of the code that stands in for a model of a job's recipe, if any."""
    file = Path(code_digest.PACKAGE, "shapeworld", f"{name}.py")
    return lambda wildcards: (
        code_digest.digest([file]) if part in recipe_of(wildcards).oracles else None
    )


def target_name(wildcards):
    """The name of a job's target network."""
    return wildcards.get("model") or layer_of(wildcards).model


def target_of(wildcards):
    """The settings of a job's target network as plain values."""
    return settings.models[target_name(wildcards)].plain()


def code_of_target(wildcards):
    """Digest of the code that builds a job's target network, where it is a function of the user's."""
    target = settings.models[target_name(wildcards)]
    if target.source != "python":
        return None
    name = target.factory.rpartition(":")[0]
    file = file_of(target.factory) or code_digest.located(name, sys.path)
    return code_digest.digest([file]) if file else None


@lru_cache
def files_of_target(model):
    """The local files that a target network is made from."""
    named = settings.models[model].files()
    return here(
        sorted({file for path in named for file in weights(path) or [str(path)]})
    )


def target_files(wildcards):
    """The local files that a job's target network is made from."""
    return files_of_target(target_name(wildcards))


def probe_parts(kind):
    """An input function that returns the files of a kind of every shard of a job's probe."""
    return lambda wildcards: paths.of_probe(
        kind, wildcards.get("probe") or layer_of(wildcards).probe
    )


probe_shards = probe_parts("probe")


def topk_of(wildcards):
    """The merged activations of a job's layer."""
    return paths.topk(layer_of(wildcards))


def shard_of(stage):
    """An input function that returns the table of a stage for a job's own shard of units."""
    return lambda wildcards: paths.shard(stage, layer_of(wildcards), wildcards.units)


def bundle_files(stage):
    """An input function that returns the tables of a stage for every layer of a bundle."""
    return lambda wildcards: [
        file
        for layer in plan.bundles[bundle_of(wildcards)]
        for file in paths.shards(stage, layer)
    ]


def candidates_of(wildcards):
    """The candidate concepts of a job's bundle."""
    return paths.of_bundle("concepts", bundle_of(wildcards))


def everything(wildcards):
    """All that the configuration asks for."""
    if sweep_tables.unknown:
        raise WorkflowError("\n".join(["configuration:", *sweep_tables.unknown]))
    return paths.everything()
