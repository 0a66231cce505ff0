"""One version: that of the library is that of the package and of the citation."""

import re
import tomllib
from pathlib import Path

import yaml

import dnd
from dnd.io.version import VERSION

ROOT = Path(__file__).parents[3]


def test_the_version_is_the_same_everywhere():
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)
    assert dnd.__version__ == VERSION
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"].get("version", VERSION) == VERSION
    assert str(yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]) == VERSION
