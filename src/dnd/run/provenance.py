"""How a run's results came about, in one JSON file: enough to repeat the run.

``dnd provenance results/demo/provenance.json`` sums it up; with ``--config``, ``--sweep`` or ``--layers``
it prints the three files of a configuration that repeats the run, hub revisions fixed to the commits that were used.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import logging
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import yaml
from pydantic import BaseModel, JsonValue, ValidationError

from dnd.config.layer_table import LAYER_COLUMNS
from dnd.config.load import Config, known_secrets
from dnd.config.redaction import LEFT_OUT, without_secrets
from dnd.config.sweep import SWEEP_COLUMNS
from dnd.io import schemas, tables
from dnd.io.files import replaced
from dnd.io.version import VERSION
from dnd.run import origins
from dnd.run.origins import Summary

log = logging.getLogger(__name__)

SOURCES = ("Snakefile", "workflow", "src")
"""What of a checkout makes results: a changed configuration, say, leaves it clean."""
COMMIT = re.compile(r"[0-9a-f]{40}")
SEEDS = {
    "controls": "the probe's images whose ids have the smallest SHA-256 digests: no seed",
    "exemplars": "no random choice; ties by image id",
    "captions": "greedy decoding: no random choice",
    "concepts": "order of the captions and sampling seed of each question: digests of the unit, its captions and the "
    "number of the answer; the server of our own is started with seed 0",
    "images": "noise drawn on the CPU, of each image from a seed of its own, the first 15 hexadecimal digits of its "
    "key: column `seed` of the tables of images",
    "evaluation": "bootstrap intervals and shuffled labels from seed 0",
}
"""Where the randomness of each stage comes from, but for the samples and renders of probes."""


class Workflow(BaseModel):
    """The code of a run, as :func:`checkout` tells it."""

    version: str
    snakemake: str | None
    commit: str | None
    dirty: bool | None


class ProbeDigest(BaseModel):
    """How many images a probe has, and a digest that is the same whatever their names, order and shards."""

    images: int
    digest: str


class Inputs(BaseModel):
    """What a run was given: digests of its probes, of the user's files, and of code that builds target networks."""

    probes: dict[str, ProbeDigest]
    files: dict[str, str]
    factories: dict[str, str]


class Provenance(BaseModel):
    """How the results of a run came about.

    Attributes
    ----------
    config : with every default, without secrets.
    sweep, layers : rows of the two tables, the second only of layers in use.
    models : as asked for -> revision in the job that finished last.
    results : ``name/slug/file`` -> digest of each table of descriptions.
    """

    run: str
    written: str
    workflow: Workflow
    config: dict[str, JsonValue]
    sweep: list[dict[str, str]]
    layers: list[dict[str, str]]
    stages: dict[str, Summary]
    models: dict[str, str]
    inputs: Inputs
    seeds: dict[str, str | dict[str, int]]
    results: dict[str, str]


def record(
    config: Config,
    *,
    sweep: Sequence[Mapping[str, str]],
    layers: Sequence[Mapping[str, str]],
    code: Mapping[str, str],
    factories: Mapping[str, str],
    made: Mapping[str, Sequence[Path]],
    files: Sequence[Path],
    workflow: Path,
) -> Provenance:
    """Return the provenance of a run.

    Parameters
    ----------
    config : with which the run was made.
    sweep, layers : rows of the two tables, the second only of layers in use.
    code : stage -> digest of its code.
    factories : target network -> digest of the user's code that builds it.
    made : stage -> its tables, one of each job; those of ``probe`` lie in a folder named like the probe, those of
        ``descriptions`` in ``name/slug``.
    files : local files that the results depend on.
    workflow : folder of the Snakefile.
    """
    known = known_secrets(config)
    by_stage = {stage: [origins.read(path) for path in paths] for stage, paths in made.items()}
    stages = {stage: origins.summary(jobs, code[stage]).model_dump() for stage, jobs in by_stage.items()}
    probes: dict[str, list[Path]] = {}
    for path in made.get("probe", ()):
        probes.setdefault(path.parent.name, []).append(path)
    return Provenance(
        run=config.run,
        written=datetime.now(UTC).isoformat(timespec="seconds"),
        workflow=checkout(workflow),
        config=without_secrets(config.model_dump(mode="json"), known),
        sweep=[dict(row) for row in sweep],
        layers=[dict(row) for row in layers],
        stages=without_secrets(stages, known),  # jobs of an earlier version may have told theirs
        models=origins.newest_models([origin for jobs in by_stage.values() for origin in jobs if origin]),
        inputs=Inputs(
            probes={name: probe_digest(paths) for name, paths in probes.items()},
            files={str(path): file_digest(path) for path in files},
            factories=dict(factories),
        ),
        seeds={**SEEDS, "probes": {name: probe.seed for name, probe in config.probes.items()}},
        results={"/".join(path.parts[-3:]): file_digest(path) for path in made.get("descriptions", ())},
    )


def write(path: str | Path, provenance: Provenance) -> None:
    """Write a provenance in one step, keys sorted."""
    text = json.dumps(provenance.model_dump(), indent=2, sort_keys=True, ensure_ascii=False)
    with replaced(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def probe_digest(shards: Sequence[Path]) -> ProbeDigest:
    """Return the number of images in the shards of a probe, and the digest of their digests."""
    digests = sorted(tables.read(shards, schemas.PROBE, ["digest"])["digest"].to_pylist())
    return ProbeDigest(images=len(digests), digest=hashlib.sha256("\n".join(digests).encode()).hexdigest())


def file_digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checkout(folder: Path) -> Workflow:
    """Return the code of a workflow's folder: its ``commit``, and whether it is ``dirty``, not that of the commit.

    Both are None where the folder is under no version control, as in a container, or git is missing. The folder may be
    another user's, whose code runs here anyway.
    """
    trust = ["-c", f"safe.directory={folder.resolve()}", "-c", "core.fsmonitor=false"]

    def git(*words: str) -> str:
        command = ["git", "--no-optional-locks", *trust, "-C", str(folder), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()

    commit, dirty = None, None
    try:
        git("ls-files", "--error-unmatch", "Snakefile")  # it may lie, untracked, in somebody's repository
        commit, dirty = git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--", *SOURCES))
    except (OSError, subprocess.SubprocessError) as error:
        log.info("no commit is recorded: %s", str(getattr(error, "stderr", None) or error).strip())
    try:
        snakemake = version("snakemake")
    except PackageNotFoundError:
        snakemake = None
    return Workflow(version=VERSION, snakemake=snakemake, commit=commit, dirty=dirty)


def pinned(provenance: Provenance) -> dict[str, JsonValue]:
    """Return the configuration of a provenance with the hub revisions that were used."""
    config = deepcopy(provenance.config)
    _pin(config, provenance.models)
    return config


def _pin(section: dict[str, JsonValue], models: Mapping[str, str]) -> None:
    """Set the revision of every section that names something of the hub."""
    name = next((section[key] for key in ("model", "factory", "dataset") if section.get(key)), None)
    if isinstance(name, str) and "revision" in section:
        used = models.get(f"{name}@{section['revision']}" if section["revision"] else name, "")
        if COMMIT.fullmatch(used):  # not the digest of a folder
            section["revision"] = used
    for part in section.values():
        if isinstance(part, dict):
            _pin(part, models)


def overview(provenance: Provenance) -> str:
    """Return a provenance in a few lines: when, with which code, and each stage's jobs, seconds and devices."""
    code = provenance.workflow
    commit = f"commit {code.commit}{' with changes' if code.dirty else ''}" if code.commit else "no commit"
    lines = [f"{provenance.run}: version {code.version}, {commit}, recorded {provenance.written}"]
    recorded = {name: stage for name, stage in provenance.stages.items() if stage.recorded}
    for name, stage in sorted(recorded.items(), key=lambda item: item[1].started or ""):
        devices = ", ".join(f"{device} ({jobs})" for device, jobs in stage.devices.items())
        lines.append(f"{name:12} {stage.jobs:5} jobs {stage.seconds:10.1f} s  {devices}".rstrip())
    return "\n".join(lines) + "\n"


def configuration(provenance: Provenance) -> str:
    """Return :func:`pinned` as YAML; a comment names the code that it was used with."""
    code = provenance.workflow
    commit = f", commit {code.commit}" if code.commit else ""
    head = f"# {provenance.run} as of {provenance.written}: version {code.version}{commit}\n"
    return head + yaml.safe_dump(pinned(provenance), sort_keys=False, allow_unicode=True, width=120)


def _print_table(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> None:
    writer = csv.DictWriter(sys.stdout, columns, delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="dnd provenance",
        description="Print how results came about.",
        epilog="example: dnd provenance results/demo/provenance.json --config",
    )
    parser.add_argument("file", type=Path, help="provenance.json of a run")
    wanted = parser.add_mutually_exclusive_group()
    wanted.add_argument("--config", action="store_true", help="a config.yaml that repeats the run")
    wanted.add_argument("--sweep", action="store_true", help="its sweep.tsv")
    wanted.add_argument("--layers", action="store_true", help="its layers.tsv")
    asked = parser.parse_args(arguments)
    try:
        provenance = Provenance.model_validate_json(asked.file.read_bytes())
    except OSError as error:
        sys.exit(f"{asked.file}: {error.strerror}")
    except ValidationError:
        sys.exit(f"{asked.file}: not the provenance of a run; expected the provenance.json of a results folder")
    if asked.sweep:
        _print_table(provenance.sweep, SWEEP_COLUMNS)
    elif asked.layers:
        _print_table(provenance.layers, LAYER_COLUMNS)
    else:
        text = configuration(provenance) if asked.config else overview(provenance)
        print(text, end="")
        if LEFT_OUT in text:
            print(f"secrets were not recorded: put yours where it says {LEFT_OUT}", file=sys.stderr)
    return 0
