"""What jobs recorded of themselves in the tables they made, and the same summed up over the jobs of a stage."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, JsonValue

from dnd.io import tables

log = logging.getLogger(__name__)

GPUS = ("NVIDIA", "Tesla", "GeForce", "Quadro", "TITAN", "AMD Instinct", "AMD Radeon")
"""How torch's names of GPUs begin; an integrated one's stands at the end of its processor's."""


class Origin(BaseModel):
    """How a job's tables came about, as :meth:`dnd.run.job.Job.origin` says it."""

    started: str
    finished: str
    seconds: float
    device: str
    threads: int
    python: str
    platform: str
    versions: dict[str, str]
    models: dict[str, str]
    notes: dict[str, JsonValue]

    @property
    def used_gpu(self) -> bool:
        """Whether the job used a GPU: itself, or by the language model's server that it started."""
        server = self.notes.get("server")
        return self.device.startswith(GPUS) or (isinstance(server, dict) and bool(server.get("gpus")))


class Summary(BaseModel):
    """The origins of a stage's tables, each of one job.

    Attributes
    ----------
    code : digest of the stage's code, where that is known.
    recorded : jobs whose tables have an origin, of which the rest speaks.
    started, finished : of the first job and of the last.
    seconds : of all jobs together.
    devices, platforms : name -> jobs.
    versions, models : package -> version, model as asked for -> revision; joined by commas where jobs differ.
    notes : key -> every value.
    """

    code: str = ""
    jobs: int
    recorded: int
    started: str | None
    finished: str | None
    seconds: float
    devices: dict[str, int]
    platforms: dict[str, int]
    versions: dict[str, str]
    models: dict[str, str]
    notes: dict[str, list[JsonValue]]


def read(path: Path) -> Origin | None:
    """Return the origin of a file's table, None where that was not recorded."""
    origin = tables.origin(path)
    return None if origin is None else Origin.model_validate(origin)


def summary(origins: Sequence[Origin | None], code: str = "") -> Summary:
    """Sum up the origins of a stage's tables."""
    recorded = [origin for origin in origins if origin is not None]
    return Summary(
        code=code,
        jobs=len(origins),
        recorded=len(recorded),
        started=min((origin.started for origin in recorded), default=None),
        finished=max((origin.finished for origin in recorded), default=None),
        seconds=round(sum(origin.seconds for origin in recorded), 1),
        devices=Counter(origin.device for origin in recorded),
        platforms=Counter(origin.platform for origin in recorded),
        versions=_joined({"python": origin.python, **origin.versions} for origin in recorded),
        models=_joined(origin.models for origin in recorded),
        notes=_values(origin.notes for origin in recorded),
    )


def _values(parts: Iterable[Mapping[str, JsonValue]]) -> dict[str, list[JsonValue]]:
    """Key -> its distinct values, sorted by their spelling."""
    values: dict[str, dict[str, JsonValue]] = {}
    for part in parts:
        for key, value in part.items():
            values.setdefault(key, {})[json.dumps(value, sort_keys=True)] = value
    return {key: [spelt[text] for text in sorted(spelt)] for key, spelt in values.items()}


def _joined(parts: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {key: ", ".join(map(str, values)) for key, values in _values(parts).items()}


def newest_models(origins: Sequence[Origin]) -> dict[str, str]:
    """Return model as asked for -> its revision in the job that finished last; a model that changed is logged."""
    revisions: dict[str, str] = {}
    for origin in sorted(origins, key=lambda origin: origin.finished):
        for model, revision in origin.models.items():
            if revisions.get(model, revision) != revision:
                log.warning("%s changed during the run: %s, then %s", model, revisions[model], revision)
            revisions[model] = revision
    return revisions
