"""English of the shape world: captions of images, phrases for concepts, and what a label denotes."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from dnd.shapeworld.world import ATTRIBUTES, GROUPS, Extension, Scene, attribute_of, everything, word_extension

PLURALS = {
    "circle": "circles",
    "ring": "rings",
    "square": "squares",
    "cross": "crosses",
    "triangle": "triangles",
    "star": "stars",
}
PLACES = {"grass": "grass", "sand": "sand", "water": "water", "snow": "snow", "brick": "bricks"}
"""Background value -> the word captions use for it."""

FULL = (
    "a {colour} {texture} {shape} on {place}",
    "a {texture} {colour} {shape} on {place}",
    "a {colour} {texture} {shape} against {place}",
    "a photo of a {colour} {texture} {shape} on {place}",
    "{place} with a {colour} {texture} {shape}",
)
OBJECT = (
    "a {colour} {texture} {shape}",
    "a close-up of a {colour} {texture} {shape}",
)
PART = (
    "part of a {colour} {texture} object on {place}",
    "a {colour} {texture} surface on {place}",
)
SURFACE = (
    "a {colour} {texture} surface",
    "a close-up of a {colour} {texture} surface",
)
EMPTY = (
    "a close-up of {place}",
    "{place} and nothing else",
)


def caption(
    scene: Scene, rng: np.random.Generator, *, shape: bool = True, surface: bool = True, place: bool = True
) -> str:
    """Return one of several English captions of a scene, naming only what can be seen.

    Parameters
    ----------
    scene : what the picture shows.
    rng : chooses the wording.
    shape : the outline of the object can be seen.
    surface : some of the object can be seen.
    place : some of the background can be seen.
    """
    templates: tuple[str, ...]
    if not surface:
        templates = EMPTY
    elif shape:
        templates = FULL if place else OBJECT
    else:
        templates = PART if place else SURFACE
    template = templates[int(rng.integers(len(templates)))]
    words = {"colour": scene.colour, "texture": scene.texture, "shape": scene.shape, "place": PLACES[scene.background]}
    return re.sub(r"\ba (?=orange)", "an ", template.format(**words))


def caption_of_view(scene: Scene, mask: np.ndarray, crop: np.ndarray, rng: np.random.Generator) -> str | None:
    """Caption a cut-out by what it shows of the object; None where that is too little to say.

    Parameters
    ----------
    mask : bool [h, w], the object in the whole image.
    crop : bool [h', w'], the part of the mask inside the cut-out.
    """
    visible = int(np.count_nonzero(crop)) / int(np.count_nonzero(mask))
    covered = float(crop.mean())
    if covered < 0.02:
        return caption(scene, rng, surface=False)
    if covered < 0.12:
        return None
    return caption(scene, rng, shape=visible >= 0.75, place=covered < 0.8)


def _noun_phrase(words: dict[str, str]) -> str:
    """``{colour: red, texture: striped, shape: star}`` -> ``red striped stars``."""
    shape = words.get("shape")
    parts = [words.get("colour"), words.get("texture")]
    if words.get("colour") in GROUPS:
        parts[0] = f"{words['colour']} coloured"
    parts.append(f"{shape} objects" if shape in GROUPS else PLURALS[shape] if shape else "objects")
    return " ".join(part for part in parts if part)


def phrase(words: Sequence[str]) -> str:
    """Return the plain name of a conjunction of value and group words: ``[red, star]`` -> ``red stars``.

    No word at all is ``various objects``; a background alone is ``grass backgrounds``.
    """
    by_attribute = {attribute_of(word): word for word in words}
    place = by_attribute.pop("background", None)
    if not by_attribute:
        return f"{PLACES[place]} backgrounds" if place else "various objects"
    if list(by_attribute) == ["colour"] and by_attribute["colour"] in GROUPS and not place:
        return f"{by_attribute['colour']} colours"
    return _noun_phrase(by_attribute) + (f" on {PLACES[place]}" if place else "")


def either(first: Sequence[str], second: Sequence[str]) -> str:
    """Return the plain name of a disjunction: ``[red], [star]`` -> ``red objects or stars``."""
    return f"{phrase(first)} or {phrase(second)}"


_SYNONYMS = {
    "spotted": "dotted",
    "spots": "dotted",
    "dots": "dotted",
    "polka": "dotted",
    "dot": "dotted",
    "stripes": "striped",
    "stripe": "striped",
    "violet": "purple",
    "crimson": "red",
    "scarlet": "red",
    "solid": "plain",
    "disc": "circle",
    "discs": "circle",
    "disk": "circle",
    "disks": "circle",
    "hoop": "ring",
    "hoops": "ring",
    "beach": "sand",
    "sandy": "sand",
    "grassy": "grass",
    "lawn": "grass",
    "snowy": "snow",
    "watery": "water",
    "sea": "water",
    "bricks": "brick",
    "pattern": "patterned",
    "patterns": "patterned",
    "plus": "cross",
    "pluses": "cross",
} | {plural: value for value, plural in PLURALS.items()}
_THINGS = {"object", "objects", "thing", "things", "item", "items", "shape", "shapes", "figure", "figures"}
_PLACES = {"background", "backgrounds", "wall", "walls"}
_NOUNS = _THINGS | _PLACES | {"surface", "surfaces", "colour", "colours", "color", "colors"}
_FILLER_WORDS = (
    "a an the of on in with against and at some one various different many image images photo photos picture pictures "
    "realistic close up part parts coloured colored themed that are is over from to it its nothing else"
    " texture textures textured scene scenes geometric all kinds"
)
_FILLERS = set(_FILLER_WORDS.split())
_VALUES = {value for values in ATTRIBUTES.values() for value in values} | set(GROUPS)


def vocabulary() -> set[str]:
    """Return every word that :func:`parse` understands."""
    return _VALUES | set(_SYNONYMS) | _NOUNS | _FILLERS


def parse(label: str) -> Extension | None:
    """Return the extension a label denotes, or None where it lies outside the grammar."""
    clauses = alternatives(label)
    return None if clauses is None else np.logical_or.reduce(clauses)


def alternatives(label: str) -> list[Extension] | None:
    """Return the extensions that a label joins by ``or``, or None where it lies outside the grammar.

    Words of one attribute inside a clause are alternatives (``red and blue objects``), words of different attributes
    restrict one another (``red stars``). ``or`` joins clauses; a clause without a noun shares the next one's
    (``red or blue stars``, ``red or striped objects``).
    """
    clauses: list[Extension] = []
    parts: list[list[str]] = []  # alternatives that wait for a noun
    pending: list[str] = []
    tokens = re.findall(r"[^\W_]+|,|/", label.lower())
    closed = True  # nothing is waiting for a noun
    for token in [*tokens, "or"]:
        if token in {"or", ",", "/"}:
            if token == "," and not closed:  # between adjectives
                continue
            if pending:
                parts.append(pending)
                pending = []
            if parts and closed:
                clauses += _alternatives(parts)
                parts = []
            continue
        word = _SYNONYMS.get(token, token)
        if word in _VALUES:
            pending.append(word)
            closed = attribute_of(word) in {"shape", "background"} or token in {"stripes", "dots", "spots", "patterns"}
        elif token in _NOUNS:
            closed = True
            if not pending and token not in _THINGS:
                return None
            if token in _PLACES and "background" not in map(attribute_of, pending):
                return None  # nothing in the world has a red background
        elif token not in _FILLERS:
            return None
    if parts:
        clauses += _alternatives(parts)
    if not clauses and _THINGS & set(tokens):
        return [everything()]
    return clauses or None


def _alternatives(parts: Sequence[Sequence[str]]) -> list[Extension]:
    """Return what alternatives mean, the earlier completed by the last: its noun, or all it says of other attributes.

    ``[red], [blue, striped, star]`` are alternatives of colour and share the rest; ``[red], [striped, star]`` are not,
    and share the noun only.
    """
    *earlier, last = parts
    clauses = []
    for part in earlier:
        said = set(map(attribute_of, part))
        alike = said & set(map(attribute_of, last))
        shared = [word for word in last if alike or attribute_of(word) in {"shape", "background"}]
        clauses.append(_clause([*part, *(word for word in shared if attribute_of(word) not in said)]))
    return [*clauses, _clause(last)]


def _clause(words: Sequence[str]) -> Extension:
    result = everything()
    for name in ATTRIBUTES:
        alternatives = [word_extension(word) for word in words if attribute_of(word) == name]
        if alternatives:
            result &= np.logical_or.reduce(alternatives)
    return result
