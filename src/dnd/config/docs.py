"""Generate the JSON schema and the key table of config/README.md from :mod:`dnd.config.load`.

``dnd config-docs`` rewrites both; a test fails while they differ from the code.
"""

from __future__ import annotations

import argparse
import json
import types
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from dnd.config.load import Config
from dnd.config.recipes import Method
from dnd.config.sections import Settings

SCHEMA = Path("workflow/schemas/config.schema.json")
README = Path("config/README.md")
KINDS: dict[object, str] = {str: "text", int: "whole number", float: "number", Path: "path"}
START, END = "<!-- keys: written by `dnd config-docs` -->\n", "<!-- end of keys -->\n"


def schema() -> str:
    """Return the JSON schema of config.yaml."""
    return json.dumps(Config.model_json_schema(), indent=2) + "\n"


def _sections(annotation: object) -> tuple[list[type[Settings]], str]:
    """The sections that a key may hold, and what stands between its path and the sections' keys."""
    if get_origin(annotation) is dict and (sections := _sections(get_args(annotation)[1])[0]):
        return sections, ".NAME"
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation], ""
    if get_origin(annotation) is Annotated:
        return _sections(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [section for kind in get_args(annotation) for section in _sections(kind)[0]], ""
    return [], ""


def _kind(annotation: object) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) is Annotated:
        return _kind(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join("empty" if kind is type(None) else _kind(kind) for kind in get_args(annotation))
    if get_origin(annotation) in (list, tuple):
        return f"list of {_kind(get_args(annotation)[0])}"
    if get_origin(annotation) is dict:
        return "mapping"
    return KINDS.get(annotation, getattr(annotation, "__name__", ""))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    return "empty" if value in (None, [], {}) else f"`{value}`"


def _rows(section: type[Settings], path: str, told: Collection[str] = ()) -> Iterator[str]:
    for name, field in section.model_fields.items():
        if name in told:
            continue
        sections, suffix = _sections(field.annotation)
        key = f"{path}{name}{suffix}"
        if not sections:
            yield f"| `{key}` | {_kind(field.annotation)} | {_default(field)} | {field.description} |"
            continue
        yield f"| **`{key}`** | | | {field.description or _says(sections[0])} |"
        yield from _rows(sections[0], f"{key}.")
        for other in sections[1:]:
            method = get_args(other.model_fields["method"].annotation)[0]
            yield f"| **`{key}`**, `method: {method}` | | | {_says(other)} |"
            yield from _rows(other, f"{key}.", {"method", *Method.model_fields})


def _says(section: type[Settings]) -> str:
    return (section.__doc__ or "").splitlines()[0]


def key_table() -> str:
    """Return a Markdown table of every key, its type, default and meaning."""
    return "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *_rows(Config, "")]) + "\n"


def updated(readme: str) -> str:
    """Return the text of config/README.md with the present key table.

    Raises
    ------
    ValueError
        The markers around the table are missing.
    """
    before, opened, rest = readme.partition(START)
    _, closed, after = rest.partition(END)
    if not opened or not closed:
        raise ValueError(f"{README}: the lines {START!r} and {END!r} are missing")
    return before + START + "\n" + key_table() + "\n" + END + after


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrite the schema and the table of keys from the code, in a checkout."""
    parser = argparse.ArgumentParser(
        prog="dnd config-docs", description=main.__doc__, epilog="example: dnd config-docs"
    )
    parser.parse_args(arguments)
    SCHEMA.write_text(schema())
    README.write_text(updated(README.read_text()))
    return 0
