"""Run the benchmarks: ``python -m benchmarks``. Writes ``results.json``, ``details.json`` and ``docs/performance.md``.

``results.json`` is a list of ``case, ours, baseline, unit, ratio, repeats``: rates, so that a ratio above one is ours
being faster. ``details.json`` tells what else was measured, and on what machine. Models are those of the embedded
world; ``--full-size`` takes random weights in the shape of real models, on a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import torch

from benchmarks import answers, full_size, memory, overhead, page, stages, sweep
from benchmarks.pairs import REPEATS, Result, measure
from benchmarks.world import FIRST_ROW, ROOT, World
from dnd.backends import llm
from dnd.backends.server import Endpoint
from dnd.config.sweep import units
from dnd.run import job

CANDIDATES = ROOT / "benchmarks/candidates.tsv"
"""Those of each unit of the sweep, which models of real size draw."""
FAMILIES = ("stages", "answers", "sweep", "memory", "overhead")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for, print each result and which promises are not kept; return 2 where a GPU is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=FAMILIES, default=FAMILIES, help="families (default: all)")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="pairs of each case (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of the models on a CPU (default: 1, as jobs have)")
    parser.add_argument("--full-size", action="store_true", help="models of real size with random weights, on a GPU")
    parser.add_argument("--units", type=int, help="units that these describe (default: 2048)")
    asked = parser.parse_args(arguments)
    results: list[Result] = []

    def report(result: Result) -> None:
        print(result, flush=True)
        results.append(result)

    if asked.full_size:
        if not torch.cuda.is_available():
            print("--full-size needs a GPU: on a CPU one image of Stable Diffusion takes minutes", file=sys.stderr)
            return 2
        candidates = [line.split("\t") for line in CANDIDATES.read_text().splitlines()][: asked.units]
        told = machine(torch.get_num_threads()) | {"date": date.today().isoformat()}
        with tempfile.TemporaryDirectory(prefix="dnd-bench-") as folder:
            for one in full_size.results(Path(folder), candidates, asked.repeats, told):
                report(replace(one, case=page.REAL + one.case))
        write(results, {"real size": told, "results": [asdict(one) for one in results]})
        return 0

    torch.set_num_threads(asked.threads)
    details: dict[str, Any] = {"machine": machine(asked.threads)}
    try:
        embedded(asked, report, details)
    finally:  # what was measured before a failure stays
        details["results"] = [asdict(one) for one in results]
        write(results, details)
    for one in results:
        if one.least is not None and one.ratio < one.least:
            print(f"below what is promised: {one}", file=sys.stderr)
    return 0


def embedded(asked: argparse.Namespace, report: Callable[[Result], None], details: dict[str, Any]) -> None:
    """Measure what is asked for on the embedded models; report results, and add what else is told to the details."""
    with tempfile.TemporaryDirectory(prefix="dnd-bench-") as folder:
        world = World(Path(folder))
        if {"stages", "answers", "sweep", "overhead"} & set(asked.only):
            with llm.endpoint(world.llm, Path(folder, "server.log")) as server:
                seconds = sweep.first(world, server)
                if "answers" in asked.only:
                    for one in answers.measure(world, server, asked.repeats):
                        report(one)
                if "sweep" in asked.only:
                    for one in sweep_results(world, server, seconds, details):
                        report(one)
            details.setdefault("jobs", world.timed())
        if "stages" in asked.only:
            for case in stages.cases(world):
                report(measure(case, asked.repeats))
        if "overhead" in asked.only:
            for one in overhead.starts():
                report(one)
            details["snakemake"] = overhead.job(world)
    if "memory" in asked.only:
        details["memory"] = [memory.measure(*case) for case in memory.SMALL]
        details["foreseen MB"] = memory.foreseen(details["memory"])
        print(f"memory of 1,000,000 images and 2,048 units: {details['foreseen MB']:.0f} MB", flush=True)


def sweep_results(world: World, server: Endpoint, seconds: float, details: dict[str, Any]) -> Iterator[Result]:
    """Yield what a layer and a network cost after a first layer that took so many seconds, and a whole sweep."""
    added, details["reuse"] = sweep.reuse(world, server, seconds)
    yield from added
    swept = World(world.folder / "sweep")
    details["sweep"] = found = sweep.whole(swept, server)
    each = sweep.driver(swept, server)
    yield sweep.end_to_end("one layer", len(units(FIRST_ROW[-1])), seconds, each)
    yield sweep.end_to_end("sweep", found["units"], found["seconds"], each, sweep.LEAST)
    details["labels that stay"] = sweep.labels_stay(world, swept, server)
    details["jobs"] = swept.timed()
    CANDIDATES.write_text("".join("\t".join(own) + "\n" for own in sweep.candidates(swept)))


def machine(threads: int) -> dict[str, Any]:
    """Return what the figures depend on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "processor": job.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "gpu": gpu,
        "load": round(os.getloadavg()[0], 1),
        "versions": job.versions(),
    }


def write(results: Sequence[Result], details: dict[str, Any]) -> None:
    """Write all files; what this call did not measure stays as an earlier one left it."""
    folder = ROOT / "benchmarks"
    rows = page.kept(folder / "results.json", [])
    new = {one.case: one.row for one in results}
    rows = [new.pop(row["case"], row) for row in rows] + list(new.values())
    known = page.kept(folder / "details.json", {})
    if not results and "machine" in known:  # nothing was timed: the machine stays that of the times
        details = details | {"machine": known["machine"]}
    earlier = {one["case"]: one for one in known.get("results", [])}
    earlier |= {one["case"]: one for one in details["results"]}
    details = known | details | {"results": [earlier[row["case"]] for row in rows if row["case"] in earlier]}
    (folder / "results.json").write_text(json.dumps(rows, indent=1) + "\n")
    (folder / "details.json").write_text(json.dumps(details, indent=1) + "\n")
    (ROOT / "docs/performance.md").write_text(page.render(details))


if __name__ == "__main__":
    sys.exit(main())
