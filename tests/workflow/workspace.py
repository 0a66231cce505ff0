"""Runs of the real workflow on a small part of the embedded world, each in a folder of its own."""

import json
import os
import subprocess
from pathlib import Path

import yaml
from pydantic import ValidationError

from dnd.config.recipes import Recipe
from dnd.selection.verdict import FEATURES, settings_of

ROOT = Path(__file__).parents[2]
SNAKEMAKE = ROOT / ".venv/bin/snakemake"
KEY = "DND_TEST_SERVER_KEY"
UNITS = "0,6,8,14,20,60,82-87,90"  # singles, a conjunction, an abstraction, dead and constant ones


class Workspace:
    """A working directory with a configuration of its own."""

    def __init__(self, folder, endpoint=None, **shards):
        self.folder = folder
        self.root = ROOT
        self.environment_of_server = (KEY, endpoint.key) if endpoint else None
        self.environment = os.environ | ({KEY: endpoint.key} if endpoint else {})
        folder.mkdir(parents=True, exist_ok=True)
        values = yaml.safe_load((ROOT / "config/config.yaml").read_text())
        values |= {"run": "tiny", "sweep": "sweep.tsv"}
        values["shards"] |= shards
        values["probes"]["shapes"] |= {"images": 160}
        recipe = values["recipes"]["dnd"]
        recipe |= {"controls": 32, "exemplars": {}, "concepts": {"prompt": "config/prompts/concept.yaml"}}
        recipe["generator"] |= {"steps": 4, "images": 5}
        values["llm"]["python"] = str(ROOT / ".venv-vllm/bin/python")
        self.values = _absolute(values)
        recipe["scores"] = self.values["recipes"]["dnd"]["scores"] = {"verdict": "verdict.json"}
        if endpoint:
            self.values["llm"] |= {"base_url": endpoint.base_url, "api_key_env": KEY}
        self.sweep = [
            ["name", "model", "layers", "probe", "recipe", "units"],
            ["planted", "conceptnet", "concepts", "shapes", "dnd", UNITS],
            ["classes", "conceptnet", "fc", "shapes", "dnd", "0-3"],
        ]
        self.write()

    def write(self):
        (self.folder / "sweep.tsv").write_text("".join("\t".join(row) + "\n" for row in self.sweep))
        (self.folder / "layers.tsv").write_bytes((ROOT / "config/layers.tsv").read_bytes())
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.values))
        self.write_verdict()

    def write_verdict(self):
        """Write a file of weights that holds for the recipe, were it fitted."""
        recipe = self.values["recipes"]["dnd"]
        try:
            settings = settings_of(Recipe(**recipe | {"scores": recipe.get("scores", {}) | {"verdict": None}}))
        except ValidationError:  # a mistake that the run has to tell
            return
        fitted = {"weights": dict.fromkeys(FEATURES, 0.5), "intercept": 1.0, "settings": settings, "fitted_on": {}}
        path, text = self.folder / "verdict.json", json.dumps(fitted)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)

    def command(self, *arguments):
        return [
            *(str(SNAKEMAKE), "--snakefile", str(self.root / "Snakefile"), "--configfile", "config.yaml"),
            *("--workflow-profile", str(self.root / "profiles/default"), *arguments),
        ]

    def run(self, *arguments, succeeds=True):
        done = subprocess.run(
            self.command(*arguments), env=self.environment, capture_output=True, text=True, timeout=900, cwd=self.folder
        )
        assert (done.returncode == 0) is succeeds, done.stdout[-3000:] + done.stderr[-6000:]
        return done.stdout + done.stderr

    @property
    def results(self):
        return self.folder / "results/tiny"

    def descriptions(self):
        return {
            path.relative_to(self.results).as_posix(): path.read_bytes()
            for path in sorted(self.results.glob("*/*/descriptions.*"))
        }

    def stored(self):
        """Item of the store -> when it was written."""
        return {path.name: path.stat().st_mtime_ns for path in self.folder.glob("results/store/*/*/[0-9a-f]*")}


def _absolute(value):
    """Make the repository's paths absolute, since the runs happen elsewhere."""
    if isinstance(value, dict):
        return {key: _absolute(one) for key, one in value.items()}
    if isinstance(value, str) and "/" in value and (ROOT / value).exists():
        return str(ROOT / value)
    return value
