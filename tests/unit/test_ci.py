"""The public CI runs what the Makefile has."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_every_target_that_public_ci_makes_is_one_of_the_makefile():
    matrix = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["check"]["strategy"]["matrix"]
    made = {*matrix["target"], *(entry["target"] for entry in matrix["include"])}
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    # a target that is not phony does nothing where a folder has its name, such as docs
    phony = set(re.search(r"^\.PHONY:(.*)", makefile, re.MULTILINE)[1].split())
    defined = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert made and made <= phony & defined
