"""What a page of the site shows, read the way its readers would."""

from __future__ import annotations

import re
import time
from typing import Any

from playwright.sync_api import Page, expect

TALL = {"width": 1280, "height": 6000}
"""A window in which no unit of a small layer is off the screen, so that every one of them exists."""


def units(page: Page) -> list[int]:
    """Return the units of a list in its order."""
    places = page.locator(".rows [data-at]").evaluate_all(
        "all => all.map(one => [Number(one.dataset.at), one.getAttribute('href')])"
    )
    assert sorted(at for at, _ in places) == list(range(len(places))), "some units are off the screen"
    return [int(re.search(r"/(\d+)$", href)[1]) for _, href in sorted(places)]


def wait_for(page: Page, count: int, of: int) -> None:
    """Wait until a layer says that it shows so many of its units."""
    noun = "unit" if of == 1 else "units"
    expect(page.locator(".count")).to_have_text(f"{count} of {of} {noun}" if count < of else f"{of} {noun}")


def search(page: Page, text: str) -> None:
    """Type into the search field, and wait until candidates and captions are searched as well."""
    page.get_by_role("searchbox").fill(text)
    expect(page.locator(".count")).not_to_contain_text("searching")


def texts(row: dict[str, Any]) -> list[str]:
    """Return what a search looks at, in lower case."""
    found = [row["label"], *(one["concept"] for one in row["candidates"]), *row["captions"]]
    return [one.lower() for one in found if one]


def until(page: Page, condition: str) -> None:
    """Wait until a JavaScript expression is true; the policy forbids the page to evaluate texts, as Playwright does."""
    deadline = time.monotonic() + 15
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, f"not within 15 s: {condition}"
        page.wait_for_timeout(30)
