"""``docs/performance.md`` from the figures."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).parent
REAL = "real size/"
"""Before the names of cases with models of real size."""


def render(details: Mapping[str, Any]) -> str:
    """Return the page in Markdown."""
    jinja = Environment(loader=FileSystemLoader(HERE), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    jinja.filters |= {"figure": figure, "percent": lambda share: f"{share:.0%}"}
    jinja.globals["jobs"] = by_stage(details.get("jobs", []))
    jinja.globals["real"] = [one for one in details["results"] if one["case"].startswith(REAL)]
    jinja.globals["embedded"] = [one for one in details["results"] if not one["case"].startswith(REAL)]
    return jinja.get_template("performance.md.jinja").render(details=details) + "\n"


def figure(value: float | None) -> str:
    """Return a number with three digits that count; a dash for None."""
    if value is None:
        return "\N{EN DASH}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def by_stage(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each stage the number of its jobs, their median seconds and their largest memory in MB."""
    found: dict[str, list[dict[str, Any]]] = {}
    for job in jobs:
        found.setdefault(job["stage"], []).append(job)
    return [
        {
            "stage": stage,
            "jobs": len(own),
            "seconds": statistics.median(one["seconds"] for one in own),
            "MB": max((one["MB"] for one in own if one["MB"] is not None), default=None),
        }
        for stage, own in found.items()
    ]


def kept(path: Path, empty: Any) -> Any:
    """Return what an earlier run wrote to a file."""
    return json.loads(path.read_text()) if path.exists() else empty
