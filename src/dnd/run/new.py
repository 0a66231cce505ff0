"""Write the configuration of a user's network and images: files to change, and the commands to type."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from jinja2 import Environment, PackageLoader, StrictUndefined

from dnd.config import load, shipped
from dnd.config.targets import TargetSettings
from dnd.io.files import replaced

SOURCES = get_args(TargetSettings.model_fields["source"].annotation)
RECIPES = Path("config/examples/recipes")
WEIGHTS = {"torchvision": "DEFAULT", "timm": "pretrained"}
"""Source -> what it calls the weights that a network was published with."""


def configuration(
    run: str, sweep: Path, source: str, factory: str, weights: str | None, images: str, recipe: str
) -> str:
    """Return the text of a config.yaml with comments.

    Parameters
    ----------
    recipe : YAML of the sections `recipes` and `llm`, as the files of ``config/examples/recipes`` hold.
    """
    environment = Environment(loader=PackageLoader("dnd.run", ""), undefined=StrictUndefined)
    return environment.get_template("config.yaml.jinja").render(
        run=run, sweep=str(sweep), source=source, factory=factory, weights=weights, images=images, recipe=recipe
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Write config.yaml and sweep.tsv into a folder, which may not hold them yet, and say how to go on."""
    recipes = sorted(path.stem for path in shipped.path(RECIPES).glob("*.yaml"))
    parser = argparse.ArgumentParser(
        prog="dnd new",
        description=main.__doc__,
        epilog="example: dnd new my --source timm --factory convnext_base.fb_in22k --layers stages.3 --images ~/photos",
    )
    parser.add_argument("folder", type=Path, help="folder to write into; its name becomes that of the results")
    parser.add_argument("--source", choices=SOURCES, default="torchvision", help="library of the network (%(default)s)")
    parser.add_argument("--factory", default="resnet50", help="name of the network there (%(default)s)")
    parser.add_argument("--weights", help="their name there, or a file (those that the network was published with)")
    parser.add_argument("--layers", default="layer4", help="names joined by commas, * for any part (%(default)s)")
    parser.add_argument("--images", default="images", help="folder of your images (%(default)s)")
    parser.add_argument("--recipe", choices=recipes, default="small-gpu", help="models that describe (%(default)s)")
    asked = parser.parse_args(arguments)
    config, sweep = asked.folder / "config.yaml", asked.folder / "sweep.tsv"
    if present := next((file for file in (config, sweep) if file.exists()), None):
        print(f"{present} exists already: choose another folder", file=sys.stderr)
        return 2
    run = asked.folder.resolve().name
    text = configuration(
        run,
        sweep,
        asked.source,
        asked.factory,
        asked.weights or WEIGHTS.get(asked.source),
        asked.images,
        shipped.path(RECIPES / f"{asked.recipe}.yaml").read_text(encoding="utf-8"),
    )
    table = "name\tmodel\tlayers\tprobe\trecipe\tunits\n" + f"all\tnetwork\t{asked.layers}\timages\tdnd\t\n"
    asked.folder.mkdir(parents=True, exist_ok=True)
    for file, content in ((sweep, table), (config, text)):
        with replaced(file) as partial:
            partial.write_text(content, encoding="utf-8")
    print(f"wrote {config} and {sweep}")
    _, mistakes = load.examined(load.config_file(config))
    if mistakes:
        print("\nto mend:\n" + "\n".join(f"  {key}: {message}" for key, message in mistakes))
    snakemake = _snakemake()
    print(
        "\nthen type here:\n"
        f"  {snakemake} inventory --configfile {config}   # lists the layers in {asked.folder / 'layers.tsv'}\n"
        f"  {snakemake} --configfile {config} -n          # what would be done; without -n it is done"
    )
    return 0


def _snakemake() -> Path:
    """How to call the Snakemake of this environment from the working directory."""
    path = Path(sys.executable).with_name("snakemake")
    if not path.exists():
        return Path("snakemake")
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
