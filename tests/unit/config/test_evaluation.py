"""What the configuration says about judging descriptions and units: metrics, audits, importance."""

import pytest

from dnd.config.evaluation import AuditSettings


def test_settings_want_a_query_or_units():
    for settings in ({}, {"query": "a", "units": "1"}, {"query": " | "}):
        with pytest.raises(ValueError, match="query"):
            AuditSettings(row="r", layer="l", **settings)
