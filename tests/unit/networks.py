"""Networks of every source, loaded as a job loads them."""

import torch

from dnd.config.targets import TargetSettings
from dnd.target import sources

CPU = torch.device("cpu")

SMALL = {"size": 32}


def load(**settings):
    return sources.load(TargetSettings(**settings), CPU)


def built(tmp_path, code, **settings):
    """The target that a factory of the user's makes, of whose module this is the code."""
    (tmp_path / "mine.py").write_text(code)
    return load(source="python", factory=f"{tmp_path / 'mine.py'}:build", preprocess=SMALL, **settings)
