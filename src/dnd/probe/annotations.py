"""What is known of a probe's images: which concepts they show, and at which pixels."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from tqdm import tqdm

from dnd.config.targets import AnnotationSettings, ProbeSettings
from dnd.io import schemas, tables
from dnd.io.rows import MaskedConcept
from dnd.io.streams import chunks
from dnd.probe import broden
from dnd.probe.masks import Mask, png

log = logging.getLogger(__name__)
GROUP_IMAGES = 64
"""Images whose annotations make a row group."""


class Image(NamedTuple):
    """An image of a probe, without its bytes."""

    image_id: str
    width: int
    height: int
    label: str | None


Annotate = Callable[[Image], Iterable[tuple[str, str, Mask | None]]]
"""Image -> category, concept and mask [height, width], or None: everywhere."""


def settings_of(probe: ProbeSettings) -> AnnotationSettings | None:
    """Return where a probe's annotations come from: renders of the shape world need not say so."""
    if probe.annotations is None and probe.source == "shapeworld":
        return AnnotationSettings(source="shapeworld")
    return probe.annotations


def annotators(name: str, probes: Mapping[str, ProbeSettings]) -> dict[str, Annotate]:
    """Return what annotates the images of a probe: beginning of their ids -> function; of a union each member's own.

    Raises
    ------
    ValueError
        The probe has no annotations, or their files are not what they should be.
    """
    places = {"": name} if settings_of(probes[name]) else {f"{member}/": member for member in probes[name].members}
    known = {}
    for prefix, member in places.items():
        settings = settings_of(probes[member])
        if settings is not None:
            known[prefix] = SOURCES[settings.source](member, probes[member], settings)
    if not known:
        raise ValueError(f"probes.{name}.annotations: missing; this method needs images whose concepts are known")
    return known


def run(name: str, probes: Mapping[str, ProbeSettings], shard: Path) -> Iterator[pa.Table]:
    """Yield the ANNOTATIONS of a probe shard, those of some images at a time, by image id, category and concept.

    Parameters
    ----------
    name : of the probe.
    probes : its settings and, of a union, those of its members.

    Raises
    ------
    ValueError
        The probe has no annotations, or a file is not what it should be; the message names it and the row.
    """
    known = annotators(name, probes)
    groups = tables.row_groups([shard], schemas.PROBE, Image._fields)
    rows = (image for group in groups for image in tables.rows_of(group, Image))
    images = annotated = 0
    with tqdm(total=tables.count(shard), desc="annotations", unit="image", mininterval=5) as bar:
        for chunk in chunks(rows, GROUP_IMAGES):
            concepts = [concept for image in chunk for concept in _concepts(image, known)]
            images, annotated = images + len(chunk), annotated + len({concept.image_id for concept in concepts})
            if concepts:
                yield tables.table(concepts, schemas.ANNOTATIONS)
            bar.update(len(chunk))
    log.log(logging.INFO if annotated == images else logging.WARNING, "%d of %d images annotated", annotated, images)


def _concepts(image: Image, known: Mapping[str, Annotate]) -> list[MaskedConcept]:
    """The concepts of one image; of one that is told several times the union."""
    masks: dict[tuple[str, str], Mask | None] = {}
    for prefix, annotate in known.items():
        if image.image_id.startswith(prefix):
            for category, concept, mask in annotate(image._replace(image_id=image.image_id.removeprefix(prefix))):
                before = masks.get((category, concept), mask)
                masks[category, concept] = None if before is None or mask is None else before | mask
    return [
        MaskedConcept(image.image_id, category, concept, png(mask))
        for (category, concept), mask in sorted(masks.items(), key=lambda item: item[0])
        if mask is None or mask.any()
    ]


def _shapeworld(name: str, probe: ProbeSettings, settings: AnnotationSettings) -> Annotate:
    """Draw each scene again.

    As in Broden, groups are a category of their own, like materials beside objects, and so are scenes, which hold for
    all of an image: the object's pixels are none of the background's, and without them no formula could say that
    something is on grass.
    """
    from dnd.shapeworld.render import draw
    from dnd.shapeworld.world import ATTRIBUTES, GROUPS

    def annotate(image: Image) -> Iterator[tuple[str, str, Mask | None]]:
        number = re.fullmatch(r"(\d+)\.png", image.image_id)
        if number is None:
            raise ValueError(f"probes.{name}: image {image.image_id!r} is no render of the shape world")
        scene, _, mask = draw(probe.seed, int(number[1]), probe.scenes)
        for attribute in ATTRIBUTES:
            yield attribute, getattr(scene, attribute), ~mask if attribute == "background" else mask
        yield "scene", scene.background, None
        for group, (attribute, values) in GROUPS.items():
            if getattr(scene, attribute) in values:
                yield "group", group, mask

    return annotate


def _labels(name: str, probe: ProbeSettings, settings: AnnotationSettings) -> Annotate:
    """An image's label holds everywhere in it, and so does all that the label is a kind of."""
    above = {} if settings.parents is None else hypernyms(settings.parents)

    def annotate(image: Image) -> Iterator[tuple[str, str, Mask | None]]:
        if image.label is not None:
            yield "label", image.label, None
            for concept in ancestors(image.label, above):
                yield "parent", concept, None

    return annotate


def _broden(name: str, probe: ProbeSettings, settings: AnnotationSettings) -> Annotate:
    assert settings.path is not None
    known = broden.Broden(settings.path, settings.categories)
    return lambda image: known.annotations(image.image_id, (image.width, image.height))


SOURCES: dict[str, Callable[[str, ProbeSettings, AnnotationSettings], Annotate]] = {
    "shapeworld": _shapeworld,
    "broden": _broden,
    "labels": _labels,
}


def hypernyms(path: Path) -> dict[str, list[str]]:
    """Read a table of two columns, label and what it is a kind of: label -> its concepts, in the file's order.

    Raises
    ------
    ValueError
        A row has another form; the message names file and line.
    """
    above: dict[str, list[str]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for line, row in enumerate(csv.reader(file, delimiter="\t"), 1):
                cells = [cell.strip() for cell in row]
                if not any(cells):
                    continue
                if len(cells) != 2 or not all(cells):
                    raise ValueError(f"{path}, line {line}: expected a label, a tab and a concept, found {row}")
                above.setdefault(cells[0], []).append(cells[1])
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: no table of text: {error}") from None
    return above


def ancestors(label: str, above: Mapping[str, Sequence[str]]) -> list[str]:
    """Return all that a label is a kind of, nearest first, each once; a circle among them ends where it began."""
    concepts = [label]
    for nearer in concepts:
        concepts += [concept for concept in above.get(nearer, ()) if concept not in concepts]
    return concepts[1:]
