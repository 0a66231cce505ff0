"""Which image processors of transformers are imitated, and as what: the table in models.md.

``python docs/image_processors.py`` rewrites it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import transformers
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

from dnd.config.targets import PreprocessSettings
from dnd.target import transformers_models
from dnd.target.imitation import Inimitable

PAGE = Path(__file__).with_name("models.md")
START, END = "<!-- image processors: written by `python docs/image_processors.py` -->\n", "<!-- end -->\n"
FITS = {"crop": "the centre is cut", "squash": "squashed", "letterbox": "padded"}
REASONS = {
    "inputs of several shapes": "the input's shape depends on the image",
    "inputs [": "patches, or several inputs of an image",
    "not pixel_values": "patches, or several inputs of an image",
    "no image alone": "it takes something else than an image",
}


def processors() -> dict[str, transformers.BaseImageProcessor]:
    """Return every image processor of transformers that can be built from its defaults, by the name of its class."""
    known = IMAGE_PROCESSOR_MAPPING_NAMES.values()
    names = {classes.get("torchvision", next(iter(classes.values()))) for classes in known}
    built = {}
    for name in sorted(names):
        try:
            built[name] = getattr(transformers, name)()
        except (TypeError, ValueError, ImportError):  # of those that need an argument or a package
            continue
    return built


def outcome(processor: transformers.BaseImageProcessor) -> PreprocessSettings | str:
    """Return as what a processor is imitated, or why it is not."""
    try:
        return transformers_models._of_transformers(processor)
    except Inimitable as error:
        return str(error)


def table(outcomes: dict[str, PreprocessSettings | str]) -> str:
    """Return the table of the outcomes by name, a line for each way of preparing images."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, found in outcomes.items():
        family = re.sub(r"ImageProcessor(Pil)?$", "", name)
        if isinstance(found, str):
            reason = next(
                (told for part, told in REASONS.items() if part in found),
                "it does more than to resize, cut or pad around the middle, and normalise",
            )
            groups["refused", reason].append(family)
        else:
            groups["held", FITS[found.fit] + ", blue first" * (found.channels == "bgr")].append(family)
    rows = [f"| {how} | {what} | {', '.join(families)} |" for (how, what), families in sorted(groups.items())]
    return "\n".join(["| outcome | read as | image processors |", "|---|---|---|", *rows]) + "\n"


def main() -> None:
    """Rewrite the table in the page."""
    before, _, rest = PAGE.read_text().partition(START)
    after = rest.partition(END)[2]
    found = table({name: outcome(processor) for name, processor in processors().items()})
    PAGE.write_text(f"{before}{START}{found}{END}{after}")


if __name__ == "__main__":
    main()
