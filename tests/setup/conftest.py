"""The programs of ``envs/`` as modules, and uv as they find it."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "envs"))
