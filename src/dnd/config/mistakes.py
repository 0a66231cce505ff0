"""What is wrong in values as YAML and JSON files hold them: each mistake is a key and a message."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from itertools import count
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dnd.config.redaction import without_secrets
from dnd.io.documents import DEEPEST, MOST_VALUES

Key = tuple[str | int, ...]
"""The names on the way to a value, and the places in lists."""
Mistake = tuple[Key, str]

LARGEST = 2**63 - 1
"""Whole number that files and libraries of numbers can hold."""
PATH = "path"
"""Type, in pydantic's errors, of what is wrong with a path: see :func:`dnd.config.backends.require_path`."""
_WORDS = dict.fromkeys(("dict_type", "model_type"), "Input should be a valid dictionary")
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80


def spelt(key: Key) -> str:
    """Return a key as users write it."""
    return ".".join(map(str, key)) or "top level"


class _Multiplied(Exception):
    """Aliases multiply to more values than anybody can mean, below a key."""

    def __init__(self, key: Key) -> None:
        super().__init__()
        self.key = key


def plain(values: Mapping[str, object]) -> tuple[dict[str, object], list[Mistake]]:
    """Return a copy of values with all that JSON can hold, and why the rest is left out: all, where there is no end."""
    mistakes: list[Mistake] = []
    number = count(1)

    def copied(value: object, key: Key, above: tuple[int, ...]) -> object:
        if next(number) > MOST_VALUES:
            raise _Multiplied(key[:1])
        if isinstance(value, Mapping):
            return section(value, key, (*above, id(value)))
        if not isinstance(value, list | tuple):
            return value
        places = [((*key, i), item) for i, item in enumerate(value)]
        above = (*above, id(value))
        return [copied(item, place, above) for place, item in places if fits(_wrong(item, place, above), place)]

    def section(value: Mapping[Any, object], key: Key, above: tuple[int, ...]) -> dict[str, object]:
        places = {(*key, str(name)): (name, item) for name, item in value.items()}
        return {
            str(name): copied(item, place, above)
            for place, (name, item) in places.items()
            if fits(_wrong_name(name) or _wrong(item, place, above), place)
        }

    def fits(wrong: str | None, place: Key) -> bool:
        if wrong:
            mistakes.append((place, wrong))
        return not wrong

    try:
        return section(values, (), ()), mistakes
    except _Multiplied as error:
        return {}, [(error.key, f"holds more than {MOST_VALUES:,} values")]


def _wrong_name(name: object) -> str | None:
    return _not_text(name) if isinstance(name, str) else f"a key must be text, in quotes, not {_SHORT.repr(name)}"


def _wrong(value: object, key: Key, above: tuple[int, ...]) -> str | None:
    """Why a value is none of JSON's; None where it is."""
    if isinstance(value, str):
        return _not_text(value)
    if isinstance(value, float):
        return None if math.isfinite(value) else f"must be a finite number, not {value}"
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return None if abs(value) <= LARGEST else f"must be a number of 64 bits, not one of {value.bit_length()} bits"
    if not isinstance(value, Mapping | list | tuple):
        return f"must be text, in quotes, not a {type(value).__name__}"
    if id(value) in above:
        return "holds itself: an alias (*) stands inside the value (&) that it stands for"
    return f"lies more than {DEEPEST} levels deep" if len(key) > DEEPEST else None


def _not_text(text: str) -> str | None:
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        return f"must be text, without zero bytes and half characters, not {_SHORT.repr(text)}"
    return None


def of(error: ValidationError, values: object) -> list[Mistake]:
    """Return each mistake that pydantic found in values, one for each key.

    Of a key that takes one of several kinds of values, what is told is about the kind that was meant.
    """
    details: dict[Key, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        details.setdefault(_key(detail, values), []).append(detail)
    meant = [key for key in details if not any(inner[: len(key)] == key and inner != key for inner in details)]
    return [(key, _message(details[key])) for key in meant]


def _key(detail: ErrorDetails, values: object) -> Key:
    """The key of a mistake, without what pydantic tells of the kinds that the key might hold."""
    key: list[str | int] = []
    for part in detail["loc"]:
        inner = values if isinstance(values, Mapping) else dict(enumerate(values)) if isinstance(values, list) else {}
        if part in inner:
            key.append(part)
            values = inner[part]
    if detail["type"] == "missing":
        key.append(detail["loc"][-1])
    return tuple(key)


def _message(details: list[ErrorDetails]) -> str:
    """One sentence about a key."""
    # what two keys of a section say together is told of no other kind of value
    first, *others = [detail for detail in details if detail["type"] in ("value_error", PATH)] or details
    if first["type"] == PATH:
        return first["msg"]
    match first["type"]:
        case "extra_forbidden":
            return "unknown key"
        case "missing":
            return "is missing"
        case "union_tag_invalid":
            return f"method {first['ctx']['tag']!r} is none of {first['ctx']['expected_tags']}"
    told = [_WORDS.get(detail["type"], detail["msg"].removeprefix("Value error, ")) for detail in (first, *others)]
    told[1:] = [text.removeprefix("Input should be ") for text in told[1:]]
    sentence = " or ".join(dict.fromkeys(told))
    says_all = first["type"] == "value_error" and (first["input"] == "" or isinstance(first["input"], dict))
    return sentence if says_all else f"{sentence}, not {_SHORT.repr(without_secrets(first['input']))}"
