"""How the networks of every family of timm and transformers are read: the table in models.md.

``python docs/families.py`` rewrites it, in some minutes. The networks are built small, with random weights.
"""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import timm
import torch
import transformers
from torch import Tensor, nn
from tqdm import tqdm
from transformers.models.auto import modeling_auto

from dnd.config.targets import PreprocessSettings
from dnd.target import places, steadiness
from dnd.target.network import Target
from dnd.target.outputs import TargetError, Tokens, watched
from dnd.target.preprocess import Preprocess

PAGE = Path(__file__).with_name("models.md")
START, END = "<!-- families: written by `python docs/families.py` -->\n", "<!-- end of families -->\n"
SMALL = ("test", "pico", "nano", "atto", "femto", "tiny", "xxs", "little", "small", "_s", "_b0")
"""What small networks of timm are called."""
PLACES = ((1, 1), (2, 2), (0, 3))
"""Rows and columns of the sixteenths of a picture that are textured, one after the other."""
HELD = 0.3
"""Share of the heat maps' energy in the textured place, from which a layer counts as localised; by chance .06."""
MOST_WEIGHTS, MOST_PIXELS = 100_000_000, 400 * 400
TASKS = (
    *("MODEL", "MODEL_FOR_IMAGE_CLASSIFICATION", "MODEL_FOR_OBJECT_DETECTION", "MODEL_FOR_SEMANTIC_SEGMENTATION"),
    *(
        "MODEL_FOR_DEPTH_ESTIMATION",
        "MODEL_FOR_BACKBONE",
        "MODEL_FOR_IMAGE",
        "MODEL_FOR_UNIVERSAL_SEGMENTATION",
        "MODEL_FOR_PRETRAINING",
    ),
)
"""Tables of transformers that name its classes."""
MOST_LAYERS = 60
"""Layers of a network that are looked at, evenly among all."""
SIZE = 224
"""Height and width of inputs of networks that take any."""
SHRUNK = {"num_hidden_layers": 2, "num_layers": 2, "depth": 2, "encoder_layers": 1, "decoder_layers": 1}
SHRUNK |= {"num_decoder_layers": 1, "vocab_size": 1000}


Build = Callable[[], tuple[nn.Module, tuple[int, int]]]


class TooLarge(Exception):
    """A network that is not small."""


class Outcome(NamedTuple):
    """How a network was read.

    Attributes
    ----------
    forms : as what layers are read, such as ``maps`` or ``tokens behind 1``; empty where none shows places.
    share : of the heat maps' energy in the textured place, in the clearest layer.
    wrong : a layer whose energy is as concentrated, but elsewhere; empty where there is none.
    random : the first layer that is another one each time, if there is one.
    """

    forms: list[str]
    share: float
    wrong: str
    random: list[str]


def textured(size: tuple[int, int]) -> Tensor:
    """Return pictures [1 + places, 3, h, w]: grey, and grey with a texture in one place."""
    height, width = size
    texture = torch.rand(3, height, width, generator=torch.Generator().manual_seed(1)) * 4 - 2
    pictures = torch.zeros(1 + len(PLACES), 3, height, width)
    for picture, (row, column) in zip(pictures[1:], PLACES, strict=True):
        rows = slice(height * row // places.SIDE, height * (row + 1) // places.SIDE)
        columns = slice(width * column // places.SIDE, width * (column + 1) // places.SIDE)
        picture[:, rows, columns] = texture[:, rows, columns]
    return pictures


def shares(maps: Tensor) -> tuple[float, float]:
    """Return the mean share of energy in the textured places, and the share that any places of that size could have.

    Parameters
    ----------
    maps : [1 + places, units, h, w].
    """
    energy = (maps[1:] - maps[:1]).double().square().sum(1)
    inside, most = [], []
    height, width = energy.shape[1:]
    for values, (row, column) in zip(energy, PLACES, strict=True):
        covered = torch.from_numpy(np.outer(places.covered(height, row), places.covered(width, column)))
        total = float(values.sum()) or math.nan
        inside.append(float((values * covered).sum()) / total / float(covered.max()))
        largest = values.flatten().sort(descending=True).values[: math.ceil(float(covered.sum()))]
        most.append(float(largest.sum()) / total)
    return float(np.mean(inside)), float(np.mean(most))


def outcome(network: nn.Module, size: tuple[int, int]) -> Outcome:
    """Return how the layers of a network are read, and where the heat maps of textured pictures have their energy."""
    settings = PreprocessSettings(size=size, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    target = Target(network.eval(), Preprocess(settings), torch.device("cpu"))
    pictures = textured(size)
    named = [(name, module) for name, module in network.named_modules() if name]
    layers = dict(named[:: -(-len(named) // MOST_LAYERS)])
    random = steadiness.differing(target, pictures, layers)
    read: dict[str, tuple[str, tuple[int, int], float, float]] = {}
    _ = target.census  # no other pass can be made from inside one

    def watch(layer: str, module: nn.Module, args: Any, output: Any) -> None:
        try:
            reading = target.reading(layer, module, output, len(pictures))
        except TargetError:
            return
        grid = reading.output.grid
        if grid and math.prod(grid) > places.SIDE and layer not in random:
            units = torch.arange(reading.units)
            maps = torch.stack([reading.maps(image, units) for image in range(len(pictures))])  # type: ignore[arg-type]
            read[layer] = told(target.form(layer, output, len(pictures)).tokens), grid, *shares(maps)

    with torch.inference_mode(), watched(layers, watch):
        target.forward(pictures)
    shares_of = [share for _, _, share, _ in read.values() if not math.isnan(share)]
    return Outcome(sorted({form for form, *_ in read.values()}), max(shares_of, default=0), misplaced(read), random[:1])


def misplaced(read: dict[str, tuple[str, tuple[int, int], float, float]]) -> str:
    """Return a layer of which as much energy lies together as could be in the textured place, but does not lie there.

    Of layers that are read alike the one with the most energy in one place tells: after that, the network mixes places.
    """
    groups = defaultdict(list)
    for layer, (form, grid, share, most) in read.items():
        groups[form, grid].append((most, share, layer))
    for (form, grid), layers in groups.items():
        most, share, layer = max(layers)
        if most >= HELD and share < most / 2:
            return f"{layer} as {form} of {grid[0]} x {grid[1]}"
    return ""


def told(tokens: Tokens | None) -> str:
    """Return in words how tokens are read."""
    if tokens is None:
        return "maps"
    words = ["tokens"]
    words += [f"behind {tokens.prefix}"] if tokens.prefix else []
    words += [f"before {tokens.suffix}"] if tokens.suffix else []
    words += ["put back in rows"] if tokens.order is not None else []
    return " ".join(words)


def of_timm() -> Iterator[tuple[str, list[Build]]]:
    """Yield every family of timm, a file of its models, with what builds its smallest network."""
    families: dict[str, list[str]] = defaultdict(list)
    for name in timm.list_models():
        families[timm.models.model_entrypoint(name).__module__.rpartition(".")[2]].append(name)

    for family, names in sorted(families.items()):
        smallest = min(
            names, key=lambda name: (next((i for i, part in enumerate(SMALL) if part in name), 99), len(name))
        )
        yield family, [partial(build_timm, smallest, arguments) for arguments in ({"depth": 2}, {})]


def build_timm(name: str, arguments: dict[str, int]) -> tuple[nn.Module, tuple[int, int]]:
    """Build a network of timm, and return it with the size of its input."""
    with torch.device("meta"):
        network = timm.create_model(name, **arguments)
    size = tuple(network.default_cfg["input_size"][1:])
    if sum(weights.numel() for weights in network.parameters()) > MOST_WEIGHTS or math.prod(size) > MOST_PIXELS:
        raise TooLarge(name)
    return timm.create_model(name, **arguments), size


def of_transformers() -> Iterator[tuple[str, list[Build]]]:
    """Yield every kind of model of transformers that sees images, with what builds its classes, small at first."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for task in TASKS:
        for kind, names in getattr(modeling_auto, f"{task}_MAPPING_NAMES").items():
            kinds[kind] += [names] if isinstance(names, str) else names
    for kind, names in sorted(kinds.items()):
        seeing = [name for name in dict.fromkeys(names) if sees_images(name)]
        if seeing:
            yield kind, [partial(build_transformers, *how) for how in product(seeing, (SHRUNK, {}))]


def sees_images(name: str) -> bool:
    """Tell whether a class of transformers takes images first."""
    try:
        return getattr(getattr(transformers, name, None), "main_input_name", None) == "pixel_values"
    except ImportError:  # of stand-ins for classes whose packages are not installed
        return False


def shrink(config: transformers.PreTrainedConfig, shrunk: dict[str, int]) -> None:
    """Set keys of a configuration, and of those inside it, to values that are not larger."""
    for key, value in vars(config).items():
        if isinstance(value, transformers.PreTrainedConfig):
            shrink(value, shrunk)
        elif shrunk and key == "depths":
            setattr(config, key, [min(depth, 2) for depth in value])
        elif key in shrunk and isinstance(value, int):
            setattr(config, key, min(value, shrunk[key]))


def build_transformers(name: str, shrunk: dict[str, int]) -> tuple[nn.Module, tuple[int, int]]:
    """Build a network of transformers from its configuration's defaults, and return it with the size of its input."""
    chosen = getattr(transformers, name)
    config = chosen.config_class()
    shrink(config, shrunk)
    size = getattr(config, "image_size", None) or SIZE
    if shrunk and isinstance(size, int | list | tuple) and np.prod(size) > SIZE**2:
        size = config.image_size = SIZE if isinstance(size, int) else [SIZE, SIZE]
    size = (size, size) if isinstance(size, int) else tuple(size)
    if math.prod(size) > MOST_PIXELS:
        raise TooLarge(name)
    with torch.device("meta"):
        if sum(weights.numel() for weights in chosen(config).parameters()) > MOST_WEIGHTS:
            raise TooLarge(name)
    return chosen(config), size


def first(builds: Sequence[Build]) -> Outcome | str:
    """Return how the first network is read that can be built and run, or why none can."""
    failure = ""
    for build in builds:
        torch.manual_seed(0)
        try:
            return outcome(*build())
        except TooLarge:
            failure = "too large to be tried here"
        except TargetError:  # such as that it takes something else than images
            failure = failure or "takes something else than a batch of images"
        except ImportError:
            failure = failure or "needs a package that is not installed"
        except Exception:  # of configurations whose defaults contradict each other
            failure = failure or "cannot be built from its defaults"
    return failure


def outcomes() -> Iterator[tuple[str, str, Outcome | str]]:
    """Yield library, family and how its network is read, or why it could not be tried."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for library, families in (("timm", of_timm()), ("transformers", of_transformers())):
            for family, builds in tqdm(list(families), desc=library, unit="family", mininterval=5):
                yield library, family, first(builds)


def verdict(result: Outcome | str) -> tuple[str, str]:
    """Return what became of a family, and as what it is read or why not."""
    if isinstance(result, str):
        return "not tried", result
    if result.wrong:
        return "wrong", result.wrong
    if result.random:
        return "refused", f"random in evaluation, from `{result.random[0]}` on"
    if not result.forms:
        return "refused", "no layer shows places of the image"
    return ("held" if result.share >= HELD else "not localised"), "; ".join(result.forms)


def table(results: Iterable[tuple[str, str, Outcome | str]]) -> str:
    """Return the table of the families, a line for each outcome."""
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for library, family, result in results:
        outcome, read = verdict(result)
        groups[outcome, read, library].append(family)
    rows = [
        f"| {outcome} | {read} | {library}: {', '.join(families)} |"
        for (outcome, read, library), families in sorted(groups.items())
    ]
    return "\n".join(["| outcome | read as | families |", "|---|---|---|", *rows]) + "\n"


def main() -> None:
    """Rewrite the table in the page."""
    before, _, rest = PAGE.read_text().partition(START)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{START}{table(outcomes())}{END}{after}")


if __name__ == "__main__":
    main()
