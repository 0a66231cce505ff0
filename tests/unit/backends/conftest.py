"""Tiny models of every family, each built once, pictures of several sizes, and a folder for temporary files."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import tiny_captioners
import tiny_embedders
import tiny_pipelines
from PIL import Image

FAMILIES = vars(tiny_captioners) | vars(tiny_embedders) | vars(tiny_pipelines)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a function that builds a family's model, once."""
    made = {}

    def build(family):
        if family not in made:
            made[family] = FAMILIES[family](tmp_path_factory.mktemp(family))
        return made[family]

    return build


@pytest.fixture(scope="module")
def photos():
    rng = np.random.default_rng(0)
    sizes = rng.integers(20, 90, (7, 2))
    return [Image.fromarray(rng.integers(0, 256, (h, w, 3)).astype(np.uint8)) for h, w in sizes]


@pytest.fixture
def temporary(monkeypatch):
    """A folder for temporary files with a short name, and a function that chooses another one."""

    def choose(folder):
        monkeypatch.setenv("TMPDIR", str(folder))
        monkeypatch.setattr(tempfile, "tempdir", None)  # which Python chooses once

    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as folder:
        choose(folder)
        yield Path(folder), choose
