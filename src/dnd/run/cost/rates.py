"""How long jobs take and how large their files are: the rates that the cost of a run is reckoned with."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from dnd.config import shipped
from dnd.config.load import ConfigError
from dnd.config.sections import Settings
from dnd.io import documents

RATES = shipped.path("config/rates.yaml")


class Rate(Settings):
    """What the jobs of a rule cost.

    Attributes
    ----------
    device : on which this was measured.
    gpu : whether that is a GPU; otherwise hours are those of processor cores.
    threads : of a job.
    job : seconds of any job, whatever it has to do.
    item : further seconds for each of its items; `dnd.run.cost.amounts.NOUNS` says what those are.
    size : bytes of its files for each item; of some rules for others than the items that take the time.
    """

    device: str
    gpu: bool = False
    threads: int = Field(1, ge=1)
    job: float = Field(ge=0)
    item: float = Field(ge=0)
    size: float = Field(0, ge=0)


class Assumptions(Settings):
    """What nobody can know before a run, as it came out in one that was measured."""

    exemplars: float = Field(description="exemplars found, as a share of those that recipes ask for")
    views: float = Field(description="distinct views among the exemplars of a job, as a share")
    questions: float = Field(description="questions asked, as a share of those that a recipe provides for")
    candidates: float = Field(description="candidates of a unit")
    concepts: float = Field(description="distinct concepts among the candidates of a bundle, as a share")
    caption_tokens: float = Field(description="of a caption, a token taken for four characters")
    answer_tokens: float = Field(description="of an answer")
    picture_tokens: float = Field(500, description="of an exemplar that is shown to the language model")
    probe_images: int = Field(50_000, description="of a probe whose size cannot be seen before it is listed")
    image_bytes: float = Field(110_000, description="of an image of such a probe")


class Rates(Settings):
    """All of `config/rates.yaml`."""

    stages: dict[str, Rate]
    assumptions: Assumptions


def read(path: Path) -> Rates:
    """Read a file of rates.

    Raises
    ------
    ConfigError
        It cannot be read or holds something else.
    """
    try:
        return Rates.model_validate(documents.read_yaml(path))
    except documents.DocumentError as error:
        raise ConfigError(str(error)) from None
    except ValidationError as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None
