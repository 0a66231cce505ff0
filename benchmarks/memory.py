"""Peak memory of the activation pass against numbers of images, units and images kept: ``python benchmarks/memory.py``.

Each case is a process of its own that passes one probe shard of JPEG photographs of noise (224 x 224 pixels) through a
small network whose units are directions in the space of a layer's 16 channels, and merges what it found. All images
lie in one shard, the worst case. ``imports`` is what the process needs before it reads anything.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CASES = [(1_000, 512, 200), (10_000, 512, 200), (1_000, 8_192, 200), (1_000, 65_536, 200), (1_000, 65_536, 20)]
SMALL = [(1_000, 512, 200), (1_000, 2_048, 200), (10_000, 2_048, 200), (40_000, 2_048, 200)]
"""Those of ``make bench``."""
LARGE = (1_000_000, 2_048)
"""Images and units of the pass that is foreseen."""
SIDE, CHANNELS, CONTROLS, CHUNK = 224, 16, 256, 500


def write_probe(path: Path, images: int) -> None:
    """Write a shard of so many different photographs of noise, piece by piece."""
    import numpy as np
    import pyarrow.parquet as pq
    from PIL import Image

    from dnd.io import schemas, tables

    rng = np.random.default_rng(0)
    with pq.ParquetWriter(path, schemas.PROBE, compression="zstd") as file:
        for start in range(0, images, CHUNK):
            rows = []
            for number in range(start, min(images, start + CHUNK)):
                coarse = Image.fromarray(rng.integers(0, 255, (28, 28, 3), np.uint8))
                buffer = io.BytesIO()
                coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(buffer, "JPEG")
                image = buffer.getvalue()
                row = {"image_id": f"{number:07d}.jpg", "digest": hashlib.sha256(image).hexdigest(), "image": image}
                rows.append(row | {"width": SIDE, "height": SIDE, "label": None})
            file.write_table(tables.table(rows, schemas.PROBE), row_group_size=64)


def peak() -> int:
    """Return the largest resident set size of this process so far, in MB.

    `getrusage` would tell the parent's where that was larger, since it goes on counting when a process becomes another.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 // 10**6


def one(probe: Path, units: int, k: int) -> dict[str, int]:
    """Pass a shard through the network, write and merge the parts, and return peaks in MB."""
    import numpy as np
    import torch
    from torch import nn

    from dnd.config.targets import BasisSettings, PreprocessSettings
    from dnd.io import schemas, tables
    from dnd.target import activations, topk
    from dnd.target.network import Target
    from dnd.target.preprocess import Preprocess

    found = {"imports": peak()}
    folder = probe.parent
    rng = np.random.default_rng(1)
    np.save(folder / "rows.npy", rng.standard_normal((units, CHANNELS), np.float32))
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, CHANNELS, 16, stride=16), nn.ReLU()).eval()
    basis = BasisSettings(kind="directions", path=folder / "rows.npy")
    target = Target(network, Preprocess(PreprocessSettings(size=SIDE)), torch.device("cpu"), basis=basis)
    controls = [f"{number:07d}.jpg" for number in range(CONTROLS)]
    results = activations.run(target, {"1": "1"}, probe, controls, pooling="max", k=k)
    parts = [folder / f"{i}.parquet" for i in range(3)]
    for path, result, schema in zip(parts, results, schemas.PARTS, strict=True):
        tables.write(path, result, schema, row_group_size=256)
    found["pass"] = peak()
    with tables.writing(folder / "merged.parquet", schemas.TOPK) as write:
        for rows in topk.merge(*([path] for path in parts), slug="1", k=k):
            write(rows)
    return found | {"merge": peak()}


def measure(images: int, units: int, k: int) -> dict[str, Any]:
    """Return a case with its peaks in MB."""
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder, "probe.parquet")
        write_probe(probe, images)
        command = [sys.executable, __file__, "--one", str(probe), str(units), str(k)]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    return {"images": images, "units": units, "k": k} | json.loads(found)


def foreseen(measured: Sequence[Mapping[str, Any]]) -> float:
    """Return the peak in MB of a pass over ``LARGE``, on the line through the smallest and the largest of its units.

    A line that falls, by chance, counts as level, at its upper end.
    """
    images, units = LARGE
    own = sorted((one["images"], max(one["pass"], one["merge"])) for one in measured if one["units"] == units)
    (few, low), (many, high) = own[0], own[-1]
    return max(low, high) + max(0.0, (high - low) / (many - few)) * (images - many)


def main() -> None:
    """Print one line of JSON per case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help="images,units,k (default: those of docs/models.md)")
    parser.add_argument("--one", nargs=3, metavar=("PROBE", "UNITS", "K"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(one(Path(asked.one[0]), int(asked.one[1]), int(asked.one[2]))))
        return
    cases = [tuple(map(int, case.split(","))) for case in asked.cases] or CASES
    for images, units, k in cases:
        print(json.dumps(measure(images, units, k)), flush=True)


if __name__ == "__main__":
    main()
