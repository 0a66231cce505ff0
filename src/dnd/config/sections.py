"""What all sections of the configuration share: their base, and kinds of texts, numbers and paths."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from dnd.config import mistakes

MOST = 10_000_000
"""Largest count: no layer has so many units and no probe so many images; beyond it there is a slip of the hand."""
LONGEST_SIDE = 65_535
"""Of an image in pixels: a JPEG file can have no longer one."""
ANY_NUMBER = frozenset({"seed"})
"""Keys of whole numbers that count nothing."""


class Settings(BaseModel):
    """Base of every section: unknown keys are errors, numbers are finite, and values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _counts_are_no_slips(cls, value: object, info: ValidationInfo) -> object:
        if type(value) is int and abs(value) > MOST and info.field_name not in ANY_NUMBER:
            raise ValueError(f"must not exceed {MOST:,}")
        return value

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with keys together, of which the first is told."""
        yield from ()

    @model_validator(mode="after")
    def _keys_go_together(self) -> Self:
        for problem in self.problems():
            raise ValueError(problem)
        return self


EXPONENT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")
"""A number that YAML 1.1 takes for text where the point or the sign is missing, such as ``1e-3``."""


def _number(value: object) -> object:
    return float(value) if isinstance(value, str) and EXPONENT.fullmatch(value) else value


Number = Annotated[float, BeforeValidator(_number)]


def require_path(path: Path, info: ValidationInfo, kind: str | None = None, needs: str = "this") -> Path:
    """Return a path at which something lies, where whoever validates asks for that by a context.

    Parameters
    ----------
    kind : file or folder; either when empty.
    needs : what wants it so, for people.

    Raises
    ------
    PydanticCustomError
        Of type :data:`dnd.config.mistakes.PATH`.
    """
    told = None
    if not os.path.exists(path):  # of Path this raises an error where the name is too long
        told = f"{path} does not exist"
    elif kind and os.path.isdir(path) == (kind == "file"):
        told = f"{path} is no {kind}, as {needs} needs"
    if told and info.context:
        raise PydanticCustomError(mistakes.PATH, "{told}", {"told": told})
    return path


File = Annotated[Path, AfterValidator(partial(require_path, kind="file"))]
Folder = Annotated[Path, AfterValidator(partial(require_path, kind="folder"))]
FileOrFolder = Annotated[Path, AfterValidator(partial(require_path, kind=None))]


def is_path(name: str) -> bool:
    """Tell a path from a hub id (``owner/name``): it has more than one slash or starts like a path."""
    return name.count("/") > 1 or name.startswith((".", "/", "~"))


def _concept_template(text: str) -> str:
    if text.count("{concept}") != 1 or re.search("[{}]", text.replace("{concept}", "")):
        raise ValueError("must hold {concept} once and no other braces")
    return text


ConceptTemplate = Annotated[str, AfterValidator(_concept_template)]
"""A text with ``{concept}`` in the place of a concept."""


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


Name = Annotated[str, AfterValidator(_not_blank)]
"""A text that says something, such as a folder or hub id."""


Precision = Literal["auto", "float32", "float16", "bfloat16"]


def _server(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port that is no number, or half an IPv6 address
        good = False
    if not good:
        raise ValueError("must be a server's address, such as http://host:8000/v1")
    return url


BaseUrl = Annotated[str, AfterValidator(_server)]
