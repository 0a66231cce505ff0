"""What comes before everything of torchvision; the unit tests' conftest.py needs more than this environment has."""

import dnd.backends.torchvision_ops  # noqa: F401
