"""The first page: what it counts, and how near the evidence is."""

import re
from collections import Counter

import pytest
from playwright.sync_api import expect


def card(page, place):
    return page.locator(".layer-card").filter(
        has=page.get_by_role("heading", name=place.replace("/", " / ", 1), exact=True)
    )


def spoken_name(column):
    return {"explains": "what they explain"}.get(column, column)


def test_a_card_counts_labels_and_abstentions(open_site, described):
    page = open_site()
    rows = described("ours/concepts")
    reasons = Counter(row["abstained"] for row in rows)
    assert reasons["dead"] == 3 and reasons["chance"] == 3
    counts = card(page, "ours/concepts").locator(".legend li")
    expect(counts.get_by_text(f"{reasons[None]} labelled")).to_be_visible()
    expect(counts.get_by_text("3 never active")).to_be_visible()
    expect(counts.get_by_text("1 responds alike to everything")).to_be_visible()
    expect(counts.get_by_text("3 labels of other units explain it as well")).to_be_visible()
    expect(counts.get_by_text("1 its label explains too little")).to_be_visible()
    expect(counts.get_by_text("3 polysemantic")).to_be_visible()
    silent = card(page, "ours/silent").locator(".legend li")
    expect(silent.get_by_text("0 labelled")).to_be_visible()
    expect(silent.get_by_text("4 never active")).to_be_visible()


def test_the_lead_sums_over_layers(open_site, described):
    rows = [
        row
        for place in ("ours/concepts", "rival/concepts", "hostile/blocks.1-odd-name", "ours/silent")
        for row in described(place)
    ]
    labelled = sum(row["label"] is not None for row in rows)
    lead = open_site().locator(".lead")
    expect(lead).to_contain_text(f"{labelled} of {len(rows)} units have a label")
    expect(lead).to_contain_text(f"{len(rows) - labelled} nothing is said")


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("ours/concepts", "explains"),
        ("hostile/blocks.1-odd-name", "explains"),
        ("hostile/blocks.1-odd-name", "confidence"),
    ],
)
def test_the_histograms_of_labels_are_right(open_site, described, place, name):
    bins = Counter(min(int(f"{row[name]:.3f}"[2:3]), 9) for row in described(place) if row["label"])
    spoken = ", ".join(str(bins[number]) for number in range(10))
    title = f"hostile/{described(place)[0]['layer']}" if "hostile" in place else place
    drawn = card(open_site(), title).get_by_role("img", name=f"Labels by {spoken_name(name)}")
    assert drawn.get_attribute("aria-label").endswith(f": {spoken}")


def test_there_is_no_histogram_of_a_confidence_that_is_not_known(open_site):
    page = open_site()
    expect(card(page, "ours/concepts").get_by_role("img", name="Labels by what they explain")).to_be_visible()
    expect(card(page, "ours/concepts").get_by_role("img", name="Labels by confidence")).to_have_count(0)


def test_the_most_frequent_label_comes_first_and_leads_to_its_units(open_site, described):
    page = open_site()
    counts = Counter(row["label"] for row in described("ours/concepts") if row["label"])
    label, count = min(counts.items(), key=lambda one: (-one[1], one[0]))
    chip = card(page, "ours/concepts").locator(".chip").first
    expect(chip).to_have_text(re.compile(rf"{label}\s*{count}"))
    chip.click()
    expect(page.locator(".count")).to_have_text(f"{count} of 72 units")


def test_figures_of_the_evaluation_are_shown_with_intervals(open_site, results):
    row = card(open_site(), "ours/concepts").locator(".figures tr").filter(has_text="exact").first
    expect(row.locator(".whisker")).to_be_visible()
    assert float(row.locator(".n").inner_text()) <= 1
    low, high = map(float, row.locator(".range").inner_text().split("\u2013"))
    assert low <= float(row.locator(".n").inner_text()) <= high


def test_two_clicks_lead_to_the_evidence_of_a_unit(open_site):
    page = open_site()
    card(page, "ours/concepts").get_by_role("link", name="Browse").click()
    page.locator(".card").first.click()
    expect(page.locator(".exemplars .tile").first).to_be_visible()
    assert page.evaluate("location.hash") == "#/unit/ours/concepts/0"


def test_a_term_explains_itself_to_the_keyboard_as_well(open_site):
    page = open_site()
    term = page.locator(".term button").first
    term.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("One neuron or channel of a layer")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_text("One neuron or channel of a layer")).to_have_count(0)


def test_the_run_can_be_cited(open_site):
    page = open_site()
    page.locator(".colophon summary", has_text="Cite").click()
    expect(page.locator(".cite pre")).to_contain_text("@")
