"""What is wrong in values as YAML and JSON files hold them: each mistake is a key and a message."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from dnd.config.redaction import without_secrets
from dnd.io.documents import DEEPEST, MOST_VALUES

Key = tuple[str | int, ...]
"""The names on the way to a value, and the places in lists."""
Mistake = tuple[Key, str]

LARGEST = 2**63 - 1
"""Whole number that files and libraries of numbers can hold."""
STAND_IN = "unknown"
"""A text that may pass for the name of a model."""
EXPONENT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")
"""A number that YAML 1.1 takes for text where the point or the sign is missing, such as ``1e-3``."""
_WORDS = dict.fromkeys(("dict_type", "model_type"), "Input should be a valid dictionary")
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80


def spelt(key: Key) -> str:
    """Return a key as users write it."""
    return ".".join(map(str, key)) or "top level"


def plain(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[Mistake]]:
    """Return a copy of values with all that JSON can hold, and why the rest is left out: all, where there is no end."""
    mistakes: list[Mistake] = []
    try:
        return dict(_Walk(mistakes).items(values, (), ())), mistakes
    except _Multiplied as error:
        return {}, [(error.key, f"holds more than {MOST_VALUES:,} values")]


class _Multiplied(Exception):
    """Aliases multiply to more values than anybody can mean."""

    def __init__(self, key: Key) -> None:
        super().__init__()
        self.key = key


class _Walk:
    """A walk through values that may hold themselves."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        self.seen = 0

    def items(self, values: Mapping[Any, Any], key: Key, above: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
        for name, value in values.items():
            if not isinstance(name, str):
                self.mistakes.append(((*key, str(name)), f"a key must be text, in quotes, not {_SHORT.repr(name)}"))
            elif (wrong := _wrong(value, (*key, name), above)) or (wrong := _not_text(name)):
                self.mistakes.append(((*key, name), wrong))
            else:
                yield name, self.copy(value, (*key, name), above)

    def copy(self, value: Any, key: Key, above: tuple[int, ...]) -> Any:
        self.seen += 1
        if self.seen > MOST_VALUES:
            raise _Multiplied(key[:1])
        if isinstance(value, Mapping):
            return dict(self.items(value, key, (*above, id(value))))
        if not isinstance(value, list | tuple):
            return value
        copies = []
        for i, one in enumerate(value):
            place = (*key, i)
            if wrong := _wrong(one, place, (*above, id(value))):
                self.mistakes.append((place, wrong))
            else:
                copies.append(self.copy(one, place, (*above, id(value))))
        return copies


def _wrong(value: Any, key: Key, above: tuple[int, ...]) -> str | None:
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


def of(error: ValidationError, values: Mapping[str, Any]) -> list[Mistake]:
    """Return each mistake that pydantic found in values, one for each key.

    Of a key that takes one of several kinds of values, what is told is about the kind that was meant.
    """
    found: dict[Key, list[Any]] = {}
    for detail in error.errors(include_url=False):
        found.setdefault(_key(detail, values), []).append(detail)
    meant = [key for key in found if not any(other[: len(key)] == key and other != key for other in found)]
    return [(key, _message(found[key])) for key in meant]


def _key(detail: Any, values: Any) -> Key:
    """The key of a mistake, without what pydantic tells of the kinds that the key might hold."""
    key: list[str | int] = []
    for part in detail["loc"]:
        if (isinstance(values, Mapping) and part in values) or (
            isinstance(values, list) and isinstance(part, int) and part < len(values)
        ):
            key.append(part)
            values = values[part]
    if detail["type"] == "missing":
        key.append(detail["loc"][-1])
    return tuple(key)


def _message(details: list[Any]) -> str:
    """One sentence about a key."""
    # what two keys of a section say together is told of no other kind of value
    first, *others = [one for one in details if one["type"] == "value_error"] or details
    match first["type"]:
        case "extra_forbidden":
            return "unknown key"
        case "missing":
            return "is missing"
        case "union_tag_invalid":
            return f"method {first['ctx']['tag']!r} is none of {first['ctx']['expected_tags']}"
    told = [_WORDS.get(one["type"], one["msg"].removeprefix("Value error, ")) for one in (first, *others)]
    told[1:] = [text.removeprefix("Input should be ") for text in told[1:]]
    sentence = " or ".join(dict.fromkeys(told))
    says_all = first["type"] == "value_error" and (first["input"] == "" or isinstance(first["input"], dict))
    return sentence if says_all else f"{sentence}, not {_SHORT.repr(without_secrets(first['input']))}"


def remove(values: dict[str, Any], key: Key) -> Key:
    """Take what a mistake is about out of values, and return its key.

    A list goes as a whole. What is lacking gets a stand-in, a text; where that will not do, the section that lacks it
    goes.
    """
    inner: Any = values
    for depth, part in enumerate(key[:-1]):
        if not isinstance(inner, dict) or part not in inner:
            return remove(values, key[:depth])
        inner = inner[part]
    if not key:
        return key
    if not isinstance(inner, dict) or inner.get(key[-1]) == STAND_IN:
        return remove(values, key[:-1]) if len(key) > 1 else _deleted(values, key)
    if key[-1] not in inner:
        inner[key[-1]] = STAND_IN
        return key
    return _deleted(inner, key)


def _deleted(section: dict[str, Any], key: Key) -> Key:
    del section[str(key[-1])]
    return key


def read_exponents(error: ValidationError, values: dict[str, Any]) -> bool:
    """Turn texts such as ``1e-3`` into numbers where these are wanted; return whether there were any."""
    wanted = [one for one in error.errors() if one["type"] == "float_type" and isinstance(one["input"], str)]
    keys = [_key(one, values) for one in wanted if EXPONENT.fullmatch(one["input"])]
    for *path, last in keys:
        inner: Any = values
        for part in path:
            inner = inner[part]
        inner[last] = float(inner[last])
    return bool(keys)
