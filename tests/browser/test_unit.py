"""The evidence of a unit."""

import re

import pytest
from playwright.sync_api import expect

UNIT = "#/unit/ours/concepts/{}"


def numbers(place):
    """The number that ends each of some texts."""
    return [float(one.replace("\u2212", "-").split()[-1]) for one in place.all_inner_texts()]


@pytest.fixture
def rows(described):
    return {row["unit"]: row for row in described("ours/concepts")}


def test_label_what_it_explains_and_known_answer_are_said(open_site, rows):
    page = open_site(UNIT.format(1))
    expect(page.get_by_role("heading", level=1)).to_have_text(rows[1]["label"])
    facts = page.locator(".facts").first
    explains, low, high = (f"{rows[1][name]:.2f}" for name in ("explains", "explains_low", "explains_high"))
    expect(facts.locator(".explains")).to_contain_text(re.compile(rf"{explains}\s*{low}\u2013{high}"))
    expect(facts).to_contain_text(re.compile(rf"bimodality\s*{rows[1]['bimodality']:.2f}"))
    expect(facts).not_to_contain_text("confidence")
    expect(facts).to_contain_text("right")
    expect(open_site(UNIT.format(6)).locator(".facts").first).to_contain_text("wrong")


def test_confidence_is_said_where_it_is_known(open_site, described):
    own = described("hostile/blocks.1-odd-name")[1]["confidence"]
    facts = open_site("#/unit/hostile/blocks.1-odd-name/1").locator(".facts").first
    expect(facts).to_contain_text(re.compile(rf"confidence\s*{own:.2f}"))


def test_exemplars_come_best_first_with_captions(open_site, rows):
    page = open_site(UNIT.format(2))
    tiles = page.locator("ol.exemplars > li")
    expect(tiles).to_have_count(10)
    assert [one.strip() for one in tiles.locator(".caption").all_inner_texts()] == rows[2]["captions"]
    assert numbers(tiles.locator(".number")) == [round(one["activation"], 2) for one in rows[2]["exemplars"]]


def test_boxes_and_heat_maps_toggle(open_site, rows):
    page = open_site(UNIT.format(2))
    expect(page.locator(".exemplars .tile").first).to_be_visible()
    boxes, heats = page.locator(".tile .box"), page.locator(".tile .heat")
    with_box = sum(one["box"] is not None for one in rows[2]["exemplars"])
    assert 0 < with_box < 10
    toggle = {
        name: page.locator(f"button[aria-keyshortcuts={key}]") for name, key in (("crop box", "b"), ("heat map", "h"))
    }
    if toggle["crop box"].get_attribute("aria-pressed") == "false":
        toggle["crop box"].click()
    expect(boxes).to_have_count(with_box)
    before = page.locator("ol.exemplars").screenshot()
    page.keyboard.press("b")
    expect(boxes).to_have_count(0)
    assert page.locator("ol.exemplars").screenshot() != before
    expect(heats).to_have_count(0)
    page.keyboard.press("h")
    expect(heats).to_have_count(10)
    expect(toggle["heat map"]).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile("/3$"))
    expect(heats).to_have_count(2)  # the choice is kept


@pytest.mark.parametrize(("rank", "wide", "high"), [(0, 96, 64), (1, 64, 96)])
def test_a_box_lies_where_it_belongs(open_site, rows, rank, wide, high):
    """The box is the middle half of the image, and the image is centred in its square cell."""
    page = open_site(UNIT.format(0))
    assert rows[0]["exemplars"][rank]["box"] == [wide // 4, high // 4, wide * 3 // 4, high * 3 // 4]
    tile = page.locator(".tile").nth(rank)
    cell, box = tile.locator(".cell").bounding_box(), tile.locator(".box").bounding_box()
    side = cell["width"]
    assert box["width"] == pytest.approx(side * wide / 96 / 2, abs=3)
    assert box["height"] == pytest.approx(side * high / 96 / 2, abs=3)
    assert box["x"] + box["width"] / 2 == pytest.approx(cell["x"] + side / 2, abs=2)
    assert box["y"] + box["height"] / 2 == pytest.approx(cell["y"] + side / 2, abs=2)


def test_candidates_come_best_first_with_every_component(open_site, rows):
    page = open_site(UNIT.format(2))
    shown = page.locator(".candidates > li")
    expect(shown.locator("h3")).to_have_text([one["concept"] for one in rows[2]["candidates"]])
    scores = numbers(shown.locator(".score .number"))
    assert scores == sorted(scores, reverse=True)
    expect(shown.first).to_contain_text("the label")
    components = shown.first.locator(".components")
    expect(components.locator("dt").first).to_have_text("AUC")
    assert numbers(components.locator("dd")) == [0.97, 2.5, 5, 0.8, 0.6, 0.5, 0.7, 3]


def test_generated_pictures_come_most_activating_first(open_site):
    page = open_site(UNIT.format(2))
    for candidate in page.locator(".candidates > li").all():
        values = numbers(candidate.locator(".drawn .number"))
        assert len(values) == 5 and len(set(values)) > 1
        assert values == sorted(values, reverse=True)


def test_activations_are_drawn_with_their_marks(open_site):
    page = open_site(UNIT.format(2))
    chart = page.get_by_role("img", name=re.compile("^Activations"))
    said = chart.get_attribute("aria-label")
    assert "40 random probe images" in said and "10 exemplars" in said and "5 generated pictures" in said
    assert len(chart.locator("path.exemplars").get_attribute("d").split("M")) == 11
    assert len(chart.locator("path.drawn").get_attribute("d").split("M")) == 6


def test_a_polysemantic_unit_shows_its_facets(open_site):
    page = open_site(UNIT.format(11))
    why = page.locator(".why li")
    expect(why).to_have_count(2)
    expect(why.first).to_contain_text("red objects")
    expect(why.first).to_contain_text("50 %")


@pytest.mark.parametrize(
    ("unit", "reason"),
    [(5, "never active"), (13, "responds alike"), (7, "Concepts of other units"), (31, "too little")],
)
def test_a_silent_unit_says_why(open_site, unit, reason):
    page = open_site(UNIT.format(unit))
    expect(page.get_by_role("heading", level=1)).to_have_text("Nothing is said of this unit")
    expect(page.locator(".unit-head")).to_contain_text(re.compile(reason, re.IGNORECASE))
    expect(page.locator("ol.exemplars > li")).to_have_count(10 if unit in (7, 31) else 0)


def test_what_is_withheld_stands_there_with_what_it_explains(open_site, rows):
    page, row = open_site(UNIT.format(7)), rows[7]
    best = row["candidates"][0]["concept"]
    expect(page.locator(".unit-head .unsaid")).to_have_text(re.compile(rf"not said:\s*{best}"))
    expect(page.locator(".facts .explains")).to_contain_text(f"{row['explains']:.2f}")
    shown = page.locator(".candidates > li")
    expect(shown.first).to_contain_text("not said")
    expect(shown.nth(1)).not_to_contain_text("not said")


def test_a_rivals_unit_does_without_captions(open_site, described):
    page = open_site("#/unit/rival/concepts/1")
    row = described("rival/concepts")[1]
    expect(page.get_by_role("heading", level=1)).to_have_text(row["label"])
    expect(page.locator("ol.exemplars > li")).to_have_count(10)
    expect(page.locator(".exemplars .caption").first).to_have_text("no caption")
    expect(page.locator("button[aria-keyshortcuts=h]")).to_be_disabled()


def test_other_methods_and_near_units_are_named(open_site, described):
    page = open_site(UNIT.format(1))
    expect(page.locator(".others")).to_contain_text(described("rival/concepts")[1]["label"])
    near = page.locator(".near li")
    label = described("ours/concepts")[1]["label"]
    expect(near.first).to_contain_text(label)
    page.locator(".others").get_by_role("link").first.click()
    expect(page).to_have_url(re.compile("#/unit/rival/concepts/1$"))


def test_arrows_go_on_in_the_list_that_was_filtered(open_site):
    page = open_site("#/layer/ours/concepts?why=chance")
    page.locator(".card").first.click()
    expect(page.locator(".others")).to_be_visible()  # keys that are pressed before the first unit is there move nothing
    for unit in (25, 43):
        page.keyboard.press("ArrowRight")
        expect(page).to_have_url(re.compile(f"/{unit}$"))
    page.keyboard.press("ArrowLeft")
    expect(page).to_have_url(re.compile("/25$"))


def test_arrows_that_are_pressed_faster_than_units_are_drawn_all_count(open_site):
    page = open_site("#/layer/ours/concepts?why=chance")
    page.locator(".card").first.click()
    expect(page.locator(".others")).to_be_visible()
    page.evaluate("for (const _ of [1, 2]) dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight' }))")
    expect(page).to_have_url(re.compile("/43$"))


def test_provenance_and_permalink_are_offered(open_site):
    page = open_site(UNIT.format(1), permissions=["clipboard-read", "clipboard-write"])
    page.get_by_text("Settings of the recipe").click()
    expect(page.locator("aside")).to_contain_text("exemplars.images")
    page.get_by_role("button", name="Copy permalink").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").endswith("#/unit/ours/concepts/1")


@pytest.mark.parametrize(
    ("route", "words"),
    [
        (UNIT.format(999), "No unit 999"),
        ("#/nowhere", "No such page"),
        ("#/unit/ours/concepts/x", "No such page"),
        ("#/layer/%E0%A4%A", "No such page"),
    ],
)
def test_a_wrong_address_says_so(open_site, route, words):
    expect(open_site(route).get_by_role("heading", level=1)).to_have_text(words)
