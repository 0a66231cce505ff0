"""How a layer's labels came about, in the few lines that the site shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dnd.io import tables
from dnd.report.units import Tables
from dnd.run import provenance

SHOWN = ("dnd", "torch", "transformers", "diffusers")
"""Packages whose versions are named."""


def origin(given: Tables, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is recorded in a layer's tables of its models, machines, time and versions, as pairs of words.

    Parameters
    ----------
    settings : of its recipe, which tell a model's part by its key, such as ``generator.model``.
    """
    files = (given.topk, *given.exemplars, *given.origins, *given.images, *given.scores)
    found = [one for one in map(tables.origin, dict.fromkeys(files)) if one]
    if not found:
        return []
    known = provenance.summary(found)
    parts = {value: key.removesuffix(".model") for key, value in settings.items() if key.endswith(".model")}
    pairs = [
        (parts.get(model.partition("@")[0], "model"), f"{model} ({revision})")
        for model, revision in sorted(known["models"].items())
    ]
    pairs += [("device", f"{device}, {_jobs(jobs)}") for device, jobs in sorted(known["devices"].items())]
    pairs += [("seconds of work", f"{known['seconds']:.0f}"), ("started", known["started"])]
    pairs += [("finished", known["finished"])]
    return pairs + [("version of " + name, known["versions"][name]) for name in SHOWN if name in known["versions"]]


def _jobs(count: int) -> str:
    return f"{count} job{'' if count == 1 else 's'}"
