"""How long a dry run takes, and how much memory, for sweeps of growing size: ``python benchmarks/scaling.py``.

The sweep is 100 networks x 10 layers x 1,024 units, one row per layer, and shorter ones made of its first rows. Only
the planning is measured: the networks' weights are not there, and nothing is computed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import yaml

ROOT = Path(__file__).parents[1]
LAYERS, UNITS = 10, 1024


def write_sweep(folder: Path, rows: int) -> None:
    """Write a configuration with so many rows; row i is layer i % 10 of network i // 10."""
    values = yaml.safe_load((ROOT / "config/examples/recipes/paper.yaml").read_text())
    recipe = next(iter(values["recipes"]))
    recipes = {recipe: values["recipes"][recipe] | {"concepts": {"prompt": str(ROOT / "config/prompts/concept.yaml")}}}
    models = {f"net{i:03d}": {"source": "torchvision", "factory": "resnet50"} for i in range(-(-rows // LAYERS))}
    config = {
        "run": "scaling",
        "sweep": "sweep.tsv",
        "models": models,
        "probes": {"photos": {"source": "folder", "path": "photos"}},
        "recipes": recipes,
        "llm": values["llm"],
    }
    (folder / "photos").mkdir()
    (folder / "photos/one.png").touch()
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    places = [(f"net{i // LAYERS:03d}", f"block{i % LAYERS}") for i in range(rows)]
    table = [["name", "model", "layers", "probe", "recipe", "units"]]
    table += [[model, model, layer, "photos", recipe, ""] for model, layer in places]
    _write(folder / "sweep.tsv", table)
    known = [["model", "layer", "slug", "units"]]
    _write(folder / "layers.tsv", known + [[model, layer, layer, str(UNITS)] for model, layer in places])


def _write(path: Path, table: list[list[str]]) -> None:
    path.write_text("".join("\t".join(row) + "\n" for row in table))


def measure(rows: int) -> dict[str, Any]:
    """Return rows, jobs, seconds and peak memory in MB of a dry run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_sweep(folder, rows)
        command = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "Snakefile")]
        command += ["--configfile", "config.yaml", "--workflow-profile", str(ROOT / "profiles/default"), "-n"]
        command += ["--quiet", "rules"]
        begun = time.monotonic()
        with (folder / "log").open("w") as log:
            process = psutil.Popen(command, cwd=folder, stdout=log, stderr=log)
            peak = 0
            while process.poll() is None:
                try:
                    peak = max(peak, process.memory_info().rss)
                except psutil.NoSuchProcess:
                    break
                time.sleep(0.02)
        seconds = time.monotonic() - begun
        output = (folder / "log").read_text()
        if process.wait():
            sys.exit(output)
    found = re.search(r"^total +(\d+)", output, re.MULTILINE)
    return {"rows": rows, "jobs": int(found[1]) if found else 0, "seconds": round(seconds, 1), "MB": peak // 10**6}


def main() -> None:
    """Print one line of JSON per size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", type=int, default=[1, 10, 100, 1000], help="sizes (default: 1 10 100 1000)")
    for rows in parser.parse_args().rows:
        print(json.dumps(measure(rows)), flush=True)


if __name__ == "__main__":
    main()
