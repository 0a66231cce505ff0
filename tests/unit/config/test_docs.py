"""Fails while the schema or the key table lags behind dnd.config.load; `dnd config-docs` mends it."""

import json
from pathlib import Path

import pytest

from dnd.config import docs
from dnd.config.load import Config

ROOT = Path(__file__).parents[3]


def test_schema_is_in_sync():
    assert (ROOT / docs.SCHEMA).read_text() == docs.schema()


def test_key_table_is_in_sync():
    readme = (ROOT / docs.README).read_text()
    assert readme == docs.updated(readme)


def test_every_section_of_the_configuration_is_documented():
    table = docs.key_table()
    for name in Config.model_fields:
        assert f"`{name}" in table
    assert "| `recipes.NAME.generator.steps` | whole number | `20` | sampling steps |" in table


def test_schema_refuses_unknown_keys():
    assert json.loads(docs.schema())["additionalProperties"] is False


def test_a_readme_without_markers_is_refused():
    with pytest.raises(ValueError, match="are missing"):
        docs.updated("# Configuration\n")
