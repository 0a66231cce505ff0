"""The user's text files, YAML and JSON read strictly: what they cannot mean is one sentence, never a guess.

Rules import it: nothing heavy is imported here.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import yaml

DEEPEST = 100
"""Levels of values inside each other: readers of JSON give up at 128 (serde) to 1,000 (Python)."""
MOST_VALUES = 1_000_000
"""Values of a YAML file, those of an alias counted wherever it stands: a few lines of aliases can mean billions."""
_SIXTIES = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_OCTAL = re.compile(r"[-+]?0[0-9_]+")


class DocumentError(ValueError):
    """A file is not what it should be; the message names it, and the line where there is one."""


def read_text(path: str | Path) -> str:
    """Return the text of a file in UTF-8, without a byte order mark.

    Raises
    ------
    DocumentError
        It cannot be read, is a folder, or holds something else than text.
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # a pipe or a device may never end
            kind = "a folder" if os.path.isdir(path) else "no file"
            raise DocumentError(f"{path} is {kind}, expected a text file")
        content = Path(path).read_bytes()
    except OSError as error:
        raise DocumentError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DocumentError(f"{path}, line {line}: no UTF-8 text") from None


def read_json(path: str | Path) -> object:
    """Return the values of a JSON file.

    Raises
    ------
    DocumentError
        It is no text or no JSON (which has no NaN), has a key twice, or is nested too deep.
    """
    text = read_text(path)
    try:
        values = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise DocumentError(f"{path}, line {error.lineno}: no JSON: {error.msg}") from None
    except RecursionError:
        raise DocumentError(f"{path}: values lie inside each other more than {DEEPEST} deep") from None
    except ValueError as error:  # of the hooks, and of a number of thousands of digits
        raise DocumentError(f"{path}: {str(error).partition(';')[0]}") from None
    _require_shallow(path, values)
    return values


def read_yaml(path: str | Path) -> object:
    """Return the values of a YAML file.

    Raises
    ------
    DocumentError
        It is no text or no YAML, an alias stands inside what it stands for, or aliases multiply; or with one line for
        each key that is given twice and each number that YAML 1.1 reads otherwise than people do (``5:30`` is 330,
        ``010`` is 8).
    """
    text = read_text(path)
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        slips: list[str] = []
        _count(path, node, (), {}, slips)
        if slips:
            raise DocumentError("\n".join(slips))
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        where = f"{path}, line {error.problem_mark.line + 1}" if error.problem_mark else str(path)
        raise DocumentError(f"{where}: not YAML: {' '.join(str(error.problem).split())}") from None
    except yaml.YAMLError as error:
        raise DocumentError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise DocumentError(f"{path}: values lie inside each other more than {DEEPEST} deep") from None
    except DocumentError:
        raise
    except ValueError as error:  # of a date or a number that cannot be
        raise DocumentError(f"{path}: {str(error).partition(';')[0]}") from None


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {twice!r} is given twice")
    return values


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"no JSON: {name} is no number of JSON")


def _require_shallow(path: str | Path, values: object) -> None:
    level = [values]
    for _ in range(DEEPEST):
        level = [inner for value in level for inner in _inside(value)]
        if not level:
            return
    raise DocumentError(f"{path}: values lie inside each other more than {DEEPEST} deep")


def _inside(value: object) -> list[object]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _count(
    path: str | Path, node: yaml.Node, above: tuple[yaml.Node, ...], counts: dict[yaml.Node, int], slips: list[str]
) -> int:
    """Check a node and all below it, and return how many values it stands for; slips are added up.

    Raises
    ------
    DocumentError
        The node is inside itself, or there is no end to it.
    """
    where = f"{path}, line {node.start_mark.line + 1}"
    if any(node is outer for outer in above):
        raise DocumentError(f"{where}: an alias (*) stands inside the value (&) that it stands for")
    if len(above) > DEEPEST:
        raise DocumentError(f"{where}: values lie inside each other more than {DEEPEST} deep")
    if node in counts:
        return counts[node]
    inner: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        slips += [f"{path}, {slip}" for slip in _keys_given_twice(node)]
        inner = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        inner = node.value
    elif slip := _strange_number(node):
        slips.append(f"{where}: {slip}")
    counts[node] = 1 + sum(_count(path, part, (*above, node), counts, slips) for part in inner)
    if counts[node] > MOST_VALUES:
        raise DocumentError(f"{where}: aliases (*) multiply to more than {MOST_VALUES:,} values")
    return counts[node]


def _keys_given_twice(node: yaml.MappingNode) -> Iterator[str]:
    seen: set[tuple[str, str]] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            if (key.tag, key.value) in seen:
                yield f"line {key.start_mark.line + 1}: key {key.value!r} is given twice"
            seen.add((key.tag, key.value))


def _strange_number(node: yaml.Node) -> str | None:
    """What is to be said of a number that YAML 1.1 reads otherwise than people do."""
    if node.tag not in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
        return None
    if _SIXTIES.fullmatch(node.value):
        return f"YAML 1.1 counts {node.value} in sixties; quote it, or write the number in tens"
    if _OCTAL.fullmatch(node.value):
        return f"YAML 1.1 counts {node.value} in eights; write the number without leading zeros"
    return None
