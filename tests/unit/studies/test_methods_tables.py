"""Markdown of the studies' pages."""

from pathlib import Path

import pytest

from studies import methods_tables


@pytest.mark.parametrize(
    ("old", "new", "text", "right"),
    [
        ("config/evaluation", "docs", "see [it](../../docs/ablation.md), which", "see [it](ablation.md), which"),
        ("config/trial", "docs", "[keys](../README.md#results)", "[keys](../config/README.md#results)"),
        ("/a/config", "/a/docs/pages", "![plot](plots/x.png)", "![plot](../../config/plots/x.png)"),
        (
            "config",
            "docs",
            "[a](https://example.org/x.md) [b](#there) [1]",
            "[a](https://example.org/x.md) [b](#there) [1]",
        ),
    ],
)
def test_links_of_a_text_that_is_taken_in_lead_where_they_did(old, new, text, right):
    assert methods_tables.relinked(text, Path(old), Path(new)) == right
