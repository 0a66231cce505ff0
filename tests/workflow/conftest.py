"""Runs of the real workflow on a small configuration of the embedded world, each in a folder of its own."""

import os
import subprocess
from pathlib import Path

import yaml

from dnd.backends import server

ROOT = Path(__file__).parents[2]
SNAKEMAKE = ROOT / ".venv/bin/snakemake"
SWEEP = [
    ["name", "model", "layers", "probe", "recipe", "units"],
    ["planted", "conceptnet", "concepts", "shapes", "dnd", ""],
    ["classes", "conceptnet", "fc", "shapes", "dnd", "0-3"],
]


class Workspace:
    """A working directory with a configuration of its own."""

    def __init__(self, folder, base_url, planted_units):
        self.folder = folder
        self.environment = (
            os.environ | {"DND_TEST_KEY": server.TEST_KEY} if hasattr(server, "TEST_KEY") else dict(os.environ)
        )
        (folder / "config").mkdir(parents=True)
        values = yaml.safe_load((ROOT / "config/config.yaml").read_text())
        values |= {"run": "tiny", "sweep": str(folder / "config/sweep.tsv")}
        values["probes"]["shapes"] |= {"images": 160}
        values["recipes"]["dnd"] |= {"controls": 32, "concepts": {"prompt": "config/prompts/concept.yaml"}}
        values["recipes"]["dnd"]["generator"] |= {"steps": 4, "images": 5}
        values["llm"] |= {"python": ".venv-vllm/bin/python"}
        if base_url:
            values["llm"] |= {"base_url": base_url, "api_key_env": "DND_TEST_KEY"}
        self.values = _absolute(values)
        rows = [list(row) for row in SWEEP]
        rows[1][5] = planted_units
        self.write(rows)

    def write(self, rows=None):
        if rows is not None:
            (self.folder / "config/sweep.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
            (self.folder / "config/layers.tsv").write_bytes((ROOT / "config/layers.tsv").read_bytes())
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.values))

    def command(self, *arguments):
        return [
            *(str(SNAKEMAKE), "--snakefile", str(ROOT / "Snakefile"), "--directory", str(self.folder)),
            *("--workflow-profile", str(ROOT / "profiles/default"), "--configfile", str(self.folder / "config.yaml")),
            *arguments,
        ]

    def run(self, *arguments, check=True):
        done = subprocess.run(
            self.command(*arguments), env=self.environment, capture_output=True, text=True, timeout=900, cwd=self.folder
        )
        if check:
            assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
        return done

    @property
    def results(self):
        return self.folder / "results/tiny"


def _absolute(value):
    """Make the repository's paths absolute, since the runs happen elsewhere."""
    if isinstance(value, dict):
        return {key: _absolute(one) for key, one in value.items()}
    if isinstance(value, str) and (ROOT / value).exists() and "/" in value:
        return str(ROOT / value)
    return value
