"""How long jobs take and what they leave behind: rates for the cost of a run, and how a finished run is measured."""

from __future__ import annotations

import base64
import csv
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from pydantic import Field, ValidationError
from scipy.optimize import nnls

from dnd.config import shipped
from dnd.config.load import ConfigError
from dnd.config.sections import Settings
from dnd.io import documents, tables

RATES = shipped.path("config/rates.yaml")
START = 2.5
"""Seconds that a cluster's job spends on Snakemake's own start, which its benchmark does not count."""
MADE = re.compile(
    r"(\d+) (?:distinct views|images of \d+ concepts|requests), (\d+) (?:captioned|drawn|answered) before"
)
SERVER = re.compile(r"the language model's server is ready after (\d+) s$")


class Rate(Settings):
    """What the jobs of a rule cost.

    Attributes
    ----------
    device : on which this was measured.
    gpu : whether that is a GPU; otherwise hours are those of processor cores.
    threads : of a job.
    job : seconds of any job, whatever it has to do.
    item : further seconds for each of its items; `dnd.run.cost.amounts.NOUNS` says what those are.
    size : bytes of its files for each item; of some rules for others than the items that take the time.
    """

    device: str
    gpu: bool = False
    threads: int = Field(1, ge=1)
    job: float = Field(ge=0)
    item: float = Field(ge=0)
    size: float = Field(0, ge=0)


class Assumptions(Settings):
    """What nobody can know before a run, as it came out in one that was measured."""

    exemplars: float = Field(description="exemplars found, as a share of those that recipes ask for")
    views: float = Field(description="distinct views among the exemplars of a job, as a share")
    questions: float = Field(description="questions asked, as a share of those that a recipe provides for")
    candidates: float = Field(description="candidates of a unit")
    concepts: float = Field(description="distinct concepts among the candidates of a bundle, as a share")
    drawn: float = Field(1, description="images drawn until the leader is clear, as a share of all (`stopping`)")
    caption_tokens: float = Field(description="of a caption, a token taken for four characters")
    answer_tokens: float = Field(description="of an answer")
    picture_tokens: float = Field(500, description="of an exemplar that is shown to the language model")
    probe_images: int = Field(50_000, description="of a probe whose size cannot be seen before it is listed")
    image_bytes: float = Field(110_000, description="of an image of such a probe")


class Rates(Settings):
    """All of `config/rates.yaml`."""

    stages: dict[str, Rate]
    assumptions: Assumptions


def read(path: Path) -> Rates:
    """Read a file of rates.

    Raises
    ------
    ConfigError
        It cannot be read or holds something else.
    """
    try:
        return Rates.model_validate(documents.read_yaml(path))
    except documents.DocumentError as error:
        raise ConfigError(str(error)) from None
    except ValidationError as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None


def spelt(rates: Rates) -> str:
    """Return rates as the text of a file."""
    rounded = json.loads(rates.model_dump_json(), parse_float=lambda text: float(f"{float(text):.4g}"))
    return yaml.safe_dump(rounded, sort_keys=False, width=110, default_flow_style=None).rstrip()


class Observation(NamedTuple):
    """What a finished job took.

    Attributes
    ----------
    seconds : from its start to its end.
    start : those of them before it could begin with its work: imports, the language model's server.
    items : of its work, without what the store had.
    wanted : with that.
    volume : items that its ``bytes`` grow with.
    """

    rule: str
    seconds: float
    start: float
    items: float
    wanted: float
    volume: float
    bytes: int
    device: str
    gpu: bool
    threads: int


def fitted(observations: Iterable[Observation]) -> dict[str, Rate]:
    """Return rule -> rate: seconds by items and an intercept no smaller than the start, by least squares.

    Where jobs are too few or too much alike to part the two, all behind the start counts as work, which promises rather
    too much of a larger run than too little. A rule all of whose items came from the store is left out: nobody has seen
    how long they take.
    """
    by_rule: dict[str, list[Observation]] = {}
    for one in observations:
        by_rule.setdefault(one.rule, []).append(one)
    processors = (one.device for jobs in by_rule.values() for one in jobs if one.device and not one.gpu)
    processor = next(processors, "")
    return {
        rule: _fit(jobs, processor)
        for rule, jobs in by_rule.items()
        if any(one.items for one in jobs) or not any(one.wanted for one in jobs)
    }


def _fit(jobs: Sequence[Observation], processor: str) -> Rate:
    start = float(np.mean([one.start for one in jobs]))
    items = np.array([one.items for one in jobs])
    work = np.array([one.seconds - start for one in jobs])
    fixed, item = 0.0, 0.0
    if len(jobs) > 2 and items.max() > 1.5 * items.min():
        (fixed, whole), _ = nnls(np.stack([np.ones_like(items), items / items.max()], axis=1), work)
        item = whole / items.max()
    if item == 0 and items.any() and (start or not fixed):
        fixed, item = 0.0, max(work.sum(), 0) / items.sum()
    elif not items.any():
        fixed = max(work.mean(), 0)
    volume = sum(one.volume for one in jobs)
    last = jobs[-1]
    size = sum(one.bytes for one in jobs) / volume if volume else 0.0
    device = last.device or processor
    return Rate(device=device, gpu=last.gpu, threads=last.threads, job=start + fixed, item=item, size=size)


class Record(NamedTuple):
    """What Snakemake remembers of a job: its rule, log, files, whether a cluster ran it, and how long it took."""

    rule: str
    log: Path
    files: list[Path]
    cluster: bool
    seconds: float


def records(folder: Path, run: str) -> Iterator[Record]:
    """Yield the jobs of a run that Snakemake remembers in a working directory."""
    root = folder / ".snakemake/metadata"
    found: dict[str, tuple[dict[str, Any], list[Path]]] = {}
    for place, _, names in os.walk(root):
        for name in names:
            path = Path(place, name)
            key = "".join(one.removeprefix("@") for one in path.relative_to(root).parts)
            output = Path(base64.urlsafe_b64decode(key).decode())
            if output.parts[:2] == ("results", run) and (folder / output).exists():
                record = json.loads(path.read_text(encoding="utf-8"))
                log = min(record["log"], key=len)  # the job's own; a server's is called after it
                found.setdefault(log, (record, []))[1].append(output)
    for log, (record, files) in found.items():
        cluster = record["external_jobid"] is not None
        yield Record(record["rule"], Path(log), files, cluster, record["endtime"] - record["starttime"])


def seconds_of(record: Record, folder: Path) -> float:
    """Return how long a job took; of a cluster's, whose times hold those in its queue, by its benchmark."""
    parts = ["benchmarks" if part == "logs" else part for part in record.log.with_suffix(".tsv").parts]
    benchmark = folder.joinpath(*parts)
    if not record.cluster or not benchmark.exists():
        return record.seconds
    with benchmark.open(newline="", encoding="utf-8") as file:
        return START + sum(float(row["s"]) for row in csv.DictReader(file, delimiter="\t"))


def said(log: Path) -> tuple[float, float, float] | None:
    """Return what a log says: items wanted, those made, seconds of the server's start; None where it counts none."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    counts = [(int(match[1]), int(match[2])) for line in lines if (match := MADE.search(line))]
    starts = sum(int(match[1]) for line in lines if (match := SERVER.search(line)))
    wanted = sum(one for one, _ in counts)
    return (wanted, wanted - sum(before for _, before in counts), starts) if counts else None


def origin_of(record: Record, folder: Path) -> Mapping[str, Any] | None:
    """Return the origin of a job's tables, where one has it."""
    origins = (tables.origin(folder / path) for path in record.files if path.suffix == ".parquet")
    return next((one for one in origins if one), None)
