"""Which scenes the renders of a probe show: attributes that go together, and values that are rare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue

from dnd.config.sections import Number, Settings

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "colour": ("red", "orange", "yellow", "green", "blue", "purple"),
    "texture": ("plain", "striped", "dotted"),
    "shape": ("circle", "ring", "square", "cross", "triangle", "star"),
    "background": ("grass", "sand", "water", "snow", "brick"),
}
"""Attribute of a scene -> its values; the order of names is the order of the axes of every extension."""


def attribute_of_value(word: str) -> str | None:
    """Return the attribute that has a value, None where no attribute has it."""
    return next((attribute for attribute, values in ATTRIBUTES.items() if word in values), None)


def _value(word: str) -> str:
    if attribute_of_value(word) is None:
        values = (value for values in ATTRIBUTES.values() for value in values)
        raise ValueError(f"no scene has a value {word!r}; there are {', '.join(values)}")
    return word


Attribute = Literal["colour", "texture", "shape", "background"]
Value = Annotated[str, AfterValidator(_value)]
Share = Annotated[Number, Field(ge=0, le=1)]


class SceneSettings(Settings):
    """Which scenes are rendered; those of a probe that says nothing have every value equally often."""

    together: tuple[Attribute, Attribute] | None = Field(
        None,
        description="two attributes that go together: an image with the first's i-th value has the second's i-th, such "
        "as `[colour, shape]`; each by itself when empty",
    )
    leak: Share = Field(0.0, description="together: share of images that break the pairing")
    shift: int = Field(
        0, ge=0, description="together: the first's i-th value goes with the second's (i + `shift`)-th, from the start"
    )
    rare: dict[Value, Share] = Field(
        default_factory=dict, description="value -> share of the images that have it, such as `red: 0.0033`"
    )

    def problems(self) -> Iterator[str]:
        if self.together is None and (self.leak or self.shift):
            yield "`leak` and `shift` belong to `together`"
        if self.together is not None:
            first, second = self.together
            if first == second:
                yield f"`together` names {first} twice, expected two attributes"
            for value in self.rare:
                if attribute_of_value(value) == second:
                    yield f"`rare` names {value}, but {second} follows from {first}, whose values may be rare"
        for attribute, values in ATTRIBUTES.items():
            shares = [share for value, share in self.rare.items() if value in values]
            if sum(shares) > 1 or len(shares) == len(values):
                yield f"`rare`: the shares of {attribute} must not exceed 1, and leave a value out"


class Stream(Settings):
    """What renders are of, beside their numbers: the stream's seed, and which scenes it shows."""

    seed: int
    scenes: SceneSettings | None = None


def plain(streams: Mapping[str, Stream]) -> dict[str, JsonValue]:
    """Return streams as a job's parameters hold them: plain values, of which :func:`streams_from` makes streams."""
    return {beginning: stream.model_dump(mode="json") for beginning, stream in streams.items()}


def streams_from(values: Mapping[str, JsonValue] | None) -> dict[str, Stream]:
    """Return streams from the plain values in a job's parameters; none where these are None."""
    return {beginning: Stream.model_validate(stream) for beginning, stream in (values or {}).items()}
