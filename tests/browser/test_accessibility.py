"""Every view in light and dark, on a desk and on a telephone: axe finds nothing serious, and nothing sticks out."""

from pathlib import Path

import pytest
from playwright.sync_api import expect
from screens import DESKTOP, PHONE, SCREENSHOTS

AXE = Path(__file__).with_name("vendor") / "axe.min.js"
VIEWS = {
    "overview": "#/",
    "layer": "#/layer/ours/concepts",
    "table": "#/layer/ours/concepts?view=table&why=labelled",
    "unit": "#/unit/ours/concepts/11",
    "silent": "#/unit/ours/concepts/5",
    "withheld": "#/unit/ours/concepts/7",
    "hostile": "#/unit/hostile/blocks.1-odd-name/11",
    "compare": "#/compare?a=ours/concepts&b=rival/concepts",
}
SCREENS = {"desktop": DESKTOP, "phone": PHONE}


def findings(page):
    """Serious and critical findings of axe, in words. It comes by the browser's own channel, which no policy stops."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations'], preload: false})")
    return [
        f"{one['id']}: {one['help']}: {node['html'][:150]} {node.get('failureSummary', '')[:300]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:2]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_accessible(open_site, view, screen, scheme):
    page = open_site(VIEWS[view], viewport=SCREENS[screen], color_scheme=scheme, reduced_motion="reduce")
    expect(page.locator("main h1")).to_be_visible()
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    page.wait_for_load_state("networkidle")
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{view}-{screen}-{scheme}.png")
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    assert findings(page) == []


def test_the_help_is_accessible(open_site):
    page = open_site("#/")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert findings(page) == []


def test_colours_can_be_changed_by_hand(open_site):
    page = open_site("#/", color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    button = page.get_by_role("button", name="Colours")
    while "Colours: dark" not in button.get_attribute("aria-label"):
        button.click()
    assert page.evaluate(ground) != light
    page.reload()
    expect(page.locator("main h1")).to_be_visible()
    assert page.evaluate(ground) != light


def test_every_picture_of_the_evidence_has_words(open_site):
    page = open_site("#/unit/ours/concepts/2")
    tiles = page.locator(".exemplars [role=img]")
    expect(tiles).to_have_count(10)
    names = tiles.evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")
    assert all("thing" in name and "activation" in name for name in names)
    drawn = page.locator(".drawn [role=img]").evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")
    assert len(drawn) == 15 and all("generated for" in name for name in drawn)


def test_the_tabulator_reaches_the_evidence_in_reading_order(open_site):
    page = open_site("#/layer/ours/concepts")
    expect(page.locator(".card").first).to_be_visible()
    places = []
    for _ in range(40):
        page.keyboard.press("Tab")
        places.append(page.evaluate("document.activeElement.className + '|' + document.activeElement.tagName"))
        if "card" in places[-1]:
            break
    assert places[0].startswith("skip|") and "card" in places[-1]
    assert any("INPUT" in one for one in places)


def test_paper_gets_the_units_without_the_controls(open_site):
    page = open_site("#/layer/ours/concepts?why=chance")
    expect(page.locator(".card").first).to_be_visible()
    page.emulate_media(media="print")
    expect(page.locator(".card").first).to_be_visible()
    expect(page.get_by_role("button", name="Export")).to_be_hidden()
