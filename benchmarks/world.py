"""The embedded world in a folder of its own: runs of the real workflow, and what its stages are given."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from dnd.config.backends import LlmSettings
from dnd.config.recipes import Recipe
from dnd.config.stages import ConceptSettings
from dnd.config.targets import TargetSettings
from dnd.evaluation.audits import IDLE
from dnd.io import schemas, tables
from dnd.io.rows import Concept
from dnd.target import sources
from dnd.target.network import Target

ROOT = Path(__file__).parents[1]
KEY = "DND_BENCH_KEY"
RUN, MODEL, PROBE = "bench", "conceptnet", "shapes"
OTHERS = {
    "secondnet": "target-test-1",
    "thirdnet": "target-tuning",
    "fourthnet": "target-test-2",
    "fifthnet": "target-test-3",
}
"""Networks beside the demonstration's, and their folders."""
LAYERS = {"layer1": 32, "layer2": 64, "layer3": 96, "layer4": 112, "concepts": 100, "fc": 36}
"""Layers of each of them, and their units."""
SWEEP_COLUMNS = ["name", "model", "layers", "probe", "recipe", "units"]
FIRST_ROW = ["first", MODEL, "concepts", PROBE, "dnd", "0-63"]


class World:
    """A working directory whose configuration is the demonstration's, with further networks.

    Attributes
    ----------
    folder : the working directory.
    values : what its ``config.yaml`` says.
    layer, layers : that is looked at, the first one that is described; and those that are watched together.
    """

    layer = FIRST_ROW[2]
    layers: Sequence[str] = ("layer2", "layer3", "layer4", layer)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        values = yaml.safe_load((ROOT / "config/config.yaml").read_text())
        values |= {"run": RUN, "sweep": "sweep.tsv"}
        for name, place in OTHERS.items():
            where = f"resources/shapeworld/{place}"
            other = {"arguments": {"folder": where}, "known_answers": f"{where}/units.json"}
            values["models"][name] = values["models"][MODEL] | other
        values["llm"]["python"] = str(ROOT / ".venv-vllm/bin/python")
        values["recipes"]["dnd"]["concepts"].setdefault("prompt", "config/prompts/concept.yaml")
        self.values: dict[str, Any] = _absolute(values)
        known = ["model\tlayer\tslug\tunits"]
        known += [f"{name}\t{one}\t{one}\t{width}" for name in (MODEL, *OTHERS) for one, width in LAYERS.items()]
        (folder / "layers.tsv").write_text("\n".join(known) + "\n")

    def run(self, rows: Sequence[Sequence[str]], server: tuple[str, str]) -> float:
        """Describe the units of some rows of a sweep, and return the seconds that Snakemake ran.

        Parameters
        ----------
        server : address and key of the language model's server.
        """
        values = self.values | {"llm": self.values["llm"] | {"base_url": server[0], "api_key_env": KEY}}
        (self.folder / "config.yaml").write_text(yaml.safe_dump(values))
        self.plan(rows)
        wanted = [f"results/{RUN}/{name}/{layer}/descriptions.parquet" for name, _, layer, *_ in rows]
        begun = time.perf_counter()
        self.snakemake(*wanted, key=server[1])
        return time.perf_counter() - begun

    def plan(self, rows: Sequence[Sequence[str]]) -> None:
        """Write the rows of the sweep."""
        (self.folder / "sweep.tsv").write_text("".join("\t".join(row) + "\n" for row in [SWEEP_COLUMNS, *rows]))

    def snakemake(self, *arguments: str, key: str = "") -> str:
        """Run Snakemake in the folder, and return what it says."""
        command = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "Snakefile")]
        command += ["--configfile", "config.yaml", "--workflow-profile", str(ROOT / "profiles/default"), *arguments]
        environment = os.environ | {KEY: key}
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stdout[-2000:] + done.stderr[-4000:])
        return done.stdout + done.stderr

    @property
    def results(self) -> Path:
        """Where the run's tables are."""
        return self.folder / "results" / RUN

    @cached_property
    def recipe(self) -> Recipe:
        """The demonstration's recipe."""
        return Recipe(**self.values["recipes"]["dnd"])

    @property
    def plain(self) -> ConceptSettings:
        """How candidates are asked for, but about all captions of a unit alone, and nothing else than the answers."""
        only = {"words": 0, "clusters": 1, "prompts": []}
        return self.recipe.concepts.model_copy(update=only)

    @property
    def llm(self) -> LlmSettings:
        """The language model, without a server."""
        return LlmSettings(**self.values["llm"])

    def target(self, model: str = MODEL) -> Target:
        """Load a network."""
        return sources.load(TargetSettings(**self.values["models"][model]))

    @cached_property
    def probe(self) -> list[Path]:
        """Shards of the probe."""
        return sorted((self.results / "probe" / PROBE).glob("images-*.parquet"))

    def at(self, layer: str) -> Self:
        """The same world, where another layer of the first network is looked at."""
        other = copy.copy(self)
        other.layer = layer
        return other

    @property
    def topk(self) -> Path:
        """TOPK of the layer."""
        return next((self.results / "activations" / MODEL).glob(f"*/*/{self.layer}.parquet"))

    def top(self, units: Sequence[int]) -> dict[int, list[str]]:
        """Unit of the layer -> images that are looked at; idle units have none."""
        from dnd.target.exemplars import spread

        wanted = pc.field("unit").isin(list(units)) & pc.field("idle").is_null()
        rows = tables.read(self.topk, schemas.TOPK, ["unit", "image_ids", "activations"], wanted).to_pylist()
        return {row["unit"]: spread(row["image_ids"], row["activations"], self.recipe.exemplars) for row in rows}

    def exemplars(self, units: Sequence[int]) -> pa.Table:
        """EXEMPLARS of some units of the first layer."""
        own = sorted((self.results / "first/concepts/exemplars").glob("*.parquet"))
        return tables.read(own, schemas.EXEMPLARS, where=pc.field("unit").isin(list(units)))

    def concepts(self, units: Sequence[int] | None, name: str = "first") -> list[Concept]:
        """CONCEPTS of some units of a row of the sweep; of all when None."""
        own = sorted(path for path in (self.results / "concepts").rglob("*.parquet") if "answers" not in path.name)
        wanted = pc.field("name") == name
        if units is not None:
            wanted &= pc.field("unit").isin(list(units))
        return tables.rows(own, schemas.CONCEPTS, Concept, wanted)

    def answers(self) -> pa.Table:
        """ANSWERS of the whole run."""
        return tables.read(sorted((self.results / "concepts").rglob("*-answers.parquet")), schemas.ANSWERS)

    @property
    def images(self) -> list[Path]:
        """Files of IMAGES."""
        return sorted((self.results / "images").rglob("*.parquet"))

    def labels(self, name: str, layer: str) -> dict[int, str | None]:
        """Unit -> label of a row of the sweep."""
        path = self.results / name / layer / "descriptions.parquet"
        found = tables.read(path, schemas.DESCRIPTIONS, ["unit", "label"]).to_pylist()
        return {row["unit"]: row["label"] for row in found}

    def live(self, name: str, layer: str) -> int:
        """How many units of a row of the sweep are neither dead nor constant."""
        path = self.results / name / layer / "descriptions.parquet"
        found = tables.read(path, schemas.DESCRIPTIONS, ["abstained"])["abstained"].to_pylist()
        return sum(one not in IDLE for one in found)

    def timed(self) -> list[dict[str, Any]]:
        """Stage, seconds and peak memory in MB of every job, as Snakemake took them down."""
        folder, found = self.results / "benchmarks", []
        for path in sorted(folder.rglob("*.tsv")):
            names, *rows = (line.split("\t") for line in path.read_text().splitlines())
            row: Mapping[str, str] = dict(zip(names, rows[-1], strict=True))
            where = path.relative_to(folder)
            found.append({"stage": where.parts[0], "job": str(where), "seconds": float(row["s"])})
            found[-1]["MB"] = None if row["max_rss"] in ("-", "NA") else round(float(row["max_rss"]) * 2**20 / 1e6)
        return found


def _absolute(value: Any) -> Any:
    """The repository's paths made absolute, since the runs happen elsewhere."""
    if isinstance(value, dict):
        return {key: _absolute(one) for key, one in value.items()}
    if isinstance(value, str) and "/" in value and (ROOT / value).exists():
        return str(ROOT / value)
    return value
