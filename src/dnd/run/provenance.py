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
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from dnd.config.layer_table import LAYER_COLUMNS
from dnd.config.load import Config, known_secrets
from dnd.config.redaction import LEFT_OUT, without_secrets
from dnd.config.sweep import SWEEP_COLUMNS
from dnd.io import schemas, tables
from dnd.io.files import replaced
from dnd.io.version import VERSION

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
    "refinement": "sampling seed of each question: digest of the unit, what was tried on it and the answer's number",
    "images": "noise drawn on the CPU, of each image from a seed of its own, the first 15 hexadecimal digits of its "
    "key: column `seed` of the tables of images",
    "evaluation": "bootstrap intervals and shuffled labels from seed 0",
}
"""Where the randomness of each stage comes from, but for the samples and renders of probes."""


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
) -> dict[str, Any]:
    """Return the provenance of a run, as JSON can hold it.

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
    origins = {stage: [tables.origin(path) for path in paths] for stage, paths in made.items()}
    stages = {stage: {"code": code[stage], **summary(found)} for stage, found in origins.items()}
    known = known_secrets(config)
    probes: dict[str, list[Path]] = {}
    for path in made.get("probe", ()):
        probes.setdefault(path.parent.name, []).append(path)
    return {
        "run": config.run,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "workflow": {"version": VERSION, "snakemake": _snakemake(), **checkout(workflow)},
        "config": without_secrets(config.model_dump(mode="json"), known),
        "sweep": list(sweep),
        "layers": list(layers),
        "stages": without_secrets(stages, known),  # jobs of an earlier version may have told theirs
        "models": newest_models([one for found in origins.values() for one in found if one]),
        "inputs": {
            "probes": {name: probe_digest(paths) for name, paths in probes.items()},
            "files": {str(path): file_digest(path) for path in files},
            "factories": dict(factories),
        },
        "seeds": {**SEEDS, "probes": {name: one.seed for name, one in config.probes.items()}},
        "results": {"/".join(path.parts[-3:]): file_digest(path) for path in made.get("descriptions", ())},
    }


def write(path: str | Path, found: Mapping[str, Any]) -> None:
    """Write a provenance in one step, keys sorted."""
    with replaced(path) as partial:
        partial.write_text(json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def summary(origins: Sequence[Mapping[str, Any] | None]) -> dict[str, Any]:
    """Sum up the origins of a stage's tables, each of one job.

    Returns
    -------
    ``jobs``, ``recorded`` (jobs whose tables have an origin, of which the rest speaks), ``started`` (of the first),
    ``finished`` (of the last), ``seconds`` (of all together), ``devices`` and ``platforms`` (name -> jobs),
    ``versions`` (package -> version) and ``models`` (as asked for -> revision), several separated by commas where jobs
    differ, and ``notes`` (key -> every value).
    """
    known = [one for one in origins if one]
    return {
        "jobs": len(origins),
        "recorded": len(known),
        "started": min((one["started"] for one in known), default=None),
        "finished": max((one["finished"] for one in known), default=None),
        "seconds": round(sum(one["seconds"] for one in known), 1),
        "devices": dict(Counter(one["device"] for one in known)),
        "platforms": dict(Counter(one["platform"] for one in known)),
        "versions": _joined({"python": one["python"], **one["versions"]} for one in known),
        "models": _joined(one["models"] for one in known),
        "notes": _values(one["notes"] for one in known),
    }


def _values(parts: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Key -> its distinct values, sorted by their spelling."""
    found: dict[str, dict[str, Any]] = {}
    for part in parts:
        for key, value in part.items():
            found.setdefault(key, {})[json.dumps(value, sort_keys=True)] = value
    return {key: [values[text] for text in sorted(values)] for key, values in found.items()}


def _joined(parts: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {key: ", ".join(values) for key, values in _values(parts).items()}


def newest_models(origins: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return model as asked for -> its revision in the job that finished last; a model that changed is logged."""
    found: dict[str, str] = {}
    for origin in sorted(origins, key=lambda one: one["finished"]):
        for model, revision in origin["models"].items():
            if found.get(model, revision) != revision:
                log.warning("%s changed during the run: %s, then %s", model, found[model], revision)
            found[model] = revision
    return found


def probe_digest(shards: Sequence[Path]) -> dict[str, Any]:
    """Return how many ``images`` a probe has and a ``digest``, the same whatever their names, order and shards."""
    digests = sorted(tables.read(shards, schemas.PROBE, ["digest"])["digest"].to_pylist())
    return {"images": len(digests), "digest": hashlib.sha256("\n".join(digests).encode()).hexdigest()}


def file_digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checkout(folder: Path) -> dict[str, Any]:
    """Return the ``commit`` of a workflow's folder, and whether it is ``dirty``: its code is not that of the commit.

    Both are None where the folder is under no version control, as in a container, or git is missing. The folder may be
    another user's, whose code runs here anyway.
    """
    trust = ["-c", f"safe.directory={folder.resolve()}", "-c", "core.fsmonitor=false"]

    def git(*words: str) -> str:
        command = ["git", "--no-optional-locks", *trust, "-C", str(folder), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "Snakefile")  # it may lie, untracked, in somebody's repository
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--", *SOURCES))}
    except (OSError, subprocess.SubprocessError) as error:
        log.info("no commit is recorded: %s", str(getattr(error, "stderr", None) or error).strip())
        return {"commit": None, "dirty": None}


def _snakemake() -> str | None:
    try:
        return version("snakemake")
    except PackageNotFoundError:
        return None


def pinned(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of a provenance with the hub revisions that were used."""
    config = deepcopy(found["config"])
    for name, section in _hub_sections(config):
        asked = f"{name}@{section['revision']}" if section["revision"] else name
        used = found["models"].get(asked, "")
        if COMMIT.fullmatch(used):  # not the digest of a folder
            section["revision"] = used
    return config


def _hub_sections(config: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every section that may name something of the hub, with what it names."""
    yield from ((target["factory"], target) for target in config["models"].values())
    yield from ((probe["dataset"], probe) for probe in config["probes"].values() if probe["dataset"])
    for section in (*config["recipes"].values(), config["evaluation"]):
        yield from _parts_with_models(section)
    yield config["llm"]["model"], config["llm"]


def _parts_with_models(section: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for part in section.values():
        if isinstance(part, dict):
            if "model" in part and "revision" in part:
                yield part["model"], part
            yield from _parts_with_models(part)


def overview(found: Mapping[str, Any]) -> str:
    """Return a provenance in a few lines: when, with which code, and each stage's jobs, seconds and devices."""
    made = found["workflow"]
    commit = f"commit {made['commit']}{' with changes' if made['dirty'] else ''}" if made["commit"] else "no commit"
    lines = [f"{found['run']}: version {made['version']}, {commit}, recorded {found['written']}"]
    recorded = {stage: one for stage, one in found["stages"].items() if one["recorded"]}
    for stage, one in sorted(recorded.items(), key=lambda item: item[1]["started"]):
        devices = ", ".join(f"{name} ({jobs})" for name, jobs in one["devices"].items())
        lines.append(f"{stage:12} {one['jobs']:5} jobs {one['seconds']:10.1f} s  {devices}".rstrip())
    return "\n".join(lines) + "\n"


def configuration(found: Mapping[str, Any]) -> str:
    """Return :func:`pinned` as YAML; a comment names the code that it was used with."""
    made = found["workflow"]
    commit = f", commit {made['commit']}" if made["commit"] else ""
    head = f"# {found['run']} as of {found['written']}: version {made['version']}{commit}\n"
    return head + yaml.safe_dump(pinned(found), sort_keys=False, allow_unicode=True, width=120)


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
        found = json.loads(asked.file.read_text(encoding="utf-8"))
        found["stages"], found["models"]
    except OSError as error:
        sys.exit(f"{asked.file}: {error.strerror}")
    except (ValueError, KeyError, TypeError):
        sys.exit(f"{asked.file}: not the provenance of a run; expected the provenance.json of a results folder")
    if asked.sweep:
        _print_table(found["sweep"], SWEEP_COLUMNS)
    elif asked.layers:
        _print_table(found["layers"], LAYER_COLUMNS)
    else:
        text = configuration(found) if asked.config else overview(found)
        print(text, end="")
        if LEFT_OUT in text:
            print(f"secrets were not recorded: put yours where it says {LEFT_OUT}", file=sys.stderr)
    return 0
