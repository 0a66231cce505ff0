"""How a layer's labels came about, in the few lines that the site shows of it."""

from __future__ import annotations

from collections.abc import Mapping

from dnd.report.units import Tables
from dnd.run import origins

SHOWN = ("dnd", "torch", "transformers", "diffusers")
"""Packages whose versions are named."""


def origin(given: Tables, settings: Mapping[str, object]) -> list[tuple[str, str | None]]:
    """Return what is recorded in a layer's tables of its models, machines, time and versions, as pairs of words.

    Parameters
    ----------
    settings : of its recipe, which tell a model's part by its key, such as ``generator.model``.
    """
    files = dict.fromkeys((given.topk, *given.exemplars, *given.origins, *given.images, *given.scores))
    jobs = origins.summary(list(map(origins.read, files)))
    if not jobs.recorded:
        return []
    parts = {value: key.removesuffix(".model") for key, value in settings.items() if key.endswith(".model")}
    pairs: list[tuple[str, str | None]] = [
        (parts.get(model.partition("@")[0], "model"), f"{model} ({revision})")
        for model, revision in sorted(jobs.models.items())
    ]
    for device, count in sorted(jobs.devices.items()):
        pairs.append(("device", f"{device}, {count} job{'' if count == 1 else 's'}"))
    pairs += [("seconds of work", f"{jobs.seconds:.0f}"), ("started", jobs.started), ("finished", jobs.finished)]
    return pairs + [("version of " + name, jobs.versions[name]) for name in SHOWN if name in jobs.versions]
