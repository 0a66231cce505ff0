"""Write the known answers of superposed and graded units, which no training makes: they follow from a rule.

``python -m training.superposed resources/shapeworld/target-test-1 config/dials/superposed.json --seed 1`` writes those
of the network that the factory ``dnd.shapeworld.superposed:load`` makes of the same folder, seed and number of units.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from dnd.io.files import replaced
from dnd.shapeworld import superposed


def text(folder: Path, seed: int, units: int) -> str:
    """Return the file's text, a unit per line."""
    layers = superposed.answers(folder, seed, units)
    lines = {layer: ",\n".join(json.dumps(row) for row in rows) for layer, rows in layers.items()}
    return "{" + ",".join(f"{json.dumps(layer)}: [\n{rows}\n]" for layer, rows in lines.items()) + "}\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the known answers of superposed and graded units."""
    parser = argparse.ArgumentParser(prog="python -m training.superposed", description=main.__doc__)
    parser.add_argument("network", type=Path, help="folder of an embedded target")
    parser.add_argument("file", type=Path, help="to write, .json")
    parser.add_argument("--units", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    with replaced(chosen.file) as partial:
        partial.write_text(text(chosen.network, chosen.seed, chosen.units), encoding="utf-8")


if __name__ == "__main__":
    main()
