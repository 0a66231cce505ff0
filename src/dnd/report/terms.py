"""The words that the site explains where they stand, and how to cite what it shows."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import yaml
from pydantic import Field

from dnd.config.sections import Settings
from dnd.io.version import VERSION

PATH = Path(__file__).with_name("terms.yaml")


class Terms(Settings):
    """The file of terms."""

    terms: dict[str, str] = Field(description="term -> one sentence")
    metrics: dict[str, str] = Field(description="metric of an EVALUATION table -> one sentence")
    abstentions: dict[str, str] = Field(description="why nothing is said of a unit -> one sentence")
    text: str = Field(description="citation in words; {version} stands for this version")
    bibtex: str = Field(description="the same as BibTeX")

    @property
    def glossary(self) -> dict[str, str]:
        """All that is explained, each with its sentence."""
        return {
            **self.terms,
            **self.abstentions,
            **{metric: text for metric, text in self.metrics.items() if metric not in self.terms},
        }

    @property
    def citation(self) -> dict[str, str]:
        """The citation as ``text`` and as ``bibtex``."""
        return {name: getattr(self, name).replace("{version}", VERSION).strip() for name in ("text", "bibtex")}


@lru_cache
def load() -> Terms:
    """Read the file of terms."""
    return Terms.model_validate(yaml.safe_load(PATH.read_text(encoding="utf-8")))
