"""The references of the unit tests, whose conftest.py needs more packages than this environment has."""

import sys
from pathlib import Path

import dnd.torchvision_ops  # noqa: F401

sys.path.append(str(Path(__file__).parents[1] / "unit"))
