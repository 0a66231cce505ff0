"""The chart of an audit: its words, its bars, and nothing of a class's name that a browser would run."""

import xml.dom.minidom

import pytest

from dnd.evaluation import audit_chart, audits
from dnd.evaluation.audits import Audit
from dnd.io import schemas


def row(name, change, control=None):
    """A class of which two images were right before units were silenced."""
    after = round(2 + 2 * change)
    counts = (2, 2, after, 0.1, 0.2) if name else (6, 6, 4 + after, 0.1, 0.2)
    return Audit("a", "r", "colour", control, [0], name, *counts, change, change, change, *[0.0] * 6)


def drawn(*rows, title="a"):
    return audit_chart.draw(title, audits.table_of(rows))


def bars(text):
    """The lengths in pixels of the bars of classes and of their controls."""
    found = xml.dom.minidom.parseString(text).getElementsByTagName("rect")
    return [float(one.getAttribute("width")) for one in found if one.getElementsByTagName("title")]


def test_the_chart_shows_each_class_and_escapes_its_name():
    text = drawn(row(None, -0.5), row("red", -1.0), row("<script>&", 0.0), title="a <b>")
    assert xml.dom.minidom.parseString(text).documentElement.tagName == "svg"
    assert "<script>" not in text and "&lt;script&gt;&amp;" in text and "a &lt;b&gt;" in text
    assert "1 unit silenced" in text and "red: -100 % (-100 % to -100 %), 2 to 0 of 2 images right" in text


def test_an_audit_without_units_has_no_bars():
    text = audit_chart.draw("a", schemas.AUDITS.empty_table())
    assert "no unit matches the query" in text and bars(text) == []


def test_the_mean_of_the_controls_lies_below_the_bar():
    rows = [row(None, 0.0), row("red", -1.0), row("red", -0.5, control=0), row("red", 0.0, control=1)]
    text = drawn(*rows)
    assert "as many others, mean of 2" in text and "red: -25 % with other units" in text
    _, audited, control = bars(text)
    assert control * 4 == pytest.approx(audited, abs=0.4)  # rounded to a tenth


def test_the_classes_that_change_most_are_drawn():
    rows = [row(None, 0.0), *(row(f"class {i}", -i / 100) for i in range(audit_chart.MOST + 5))]
    text = drawn(*rows)
    assert "the 40 of 45 classes that change most" in text
    assert "class 5:" in text and "class 4:" not in text
