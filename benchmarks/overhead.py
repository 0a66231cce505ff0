"""What a job costs before it works: the start of its script, and Snakemake."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks.pairs import Result
from benchmarks.world import FIRST_ROW, ROOT, RUN, World

SCRIPTS = ("activations", "exemplars", "captions", "concepts", "images", "scores", "descriptions")
TORCH = {"activations", "exemplars", "captions", "images", "scores"}
REPEATS = 3


def starts() -> list[Result]:
    """Return how often a second each stage's script can start, beside a bare import of its main library."""
    results = []
    for name in SCRIPTS:
        tree = ast.parse((ROOT / f"workflow/scripts/{name}.py").read_text())
        own = "\n".join(ast.unparse(one) for one in tree.body if isinstance(one, ast.Import | ast.ImportFrom))
        bare = "import torch" if name in TORCH else "import pyarrow.parquet"
        pairs = []
        for _ in range(REPEATS):
            ours, baseline = _seconds(own), _seconds(bare)
            pairs.append({"ours": (ours, None), "baseline": (baseline, None)})
        results.append(Result.of(f"start/{name}", "starts/s", 1, pairs))
    return results


def job(world: World) -> dict[str, Any]:
    """Return the seconds of a call of Snakemake that has nothing to do, and of one with a single small job."""
    path = f"results/{RUN}/{FIRST_ROW[0]}/concepts/descriptions.parquet"
    world.plan([FIRST_ROW])
    idle = [_run(world, path) for _ in range(REPEATS)]
    busy = [_run(world, path, "--forcerun", "descriptions") for _ in range(REPEATS)]
    return {"nothing to do": statistics.median(idle), "one job": statistics.median(busy)}


def _run(world: World, *arguments: str) -> float:
    begun = time.perf_counter()
    world.snakemake(*arguments)
    return time.perf_counter() - begun


def _seconds(code: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return time.perf_counter() - begun
