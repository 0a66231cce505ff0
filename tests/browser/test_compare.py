"""Two methods, and two runs, side by side."""

import pyarrow.parquet as pq
from playwright.sync_api import expect
from shown import TALL, units

ROUTE = "#/compare?a=ours/concepts&b=rival/concepts"


def pairs(results, a, b):
    """Units by what became of their labels."""
    first, second = (
        {row["unit"]: row["label"] for row in pq.read_table(results / place / "descriptions.parquet").to_pylist()}
        for place in (a, b)
    )
    found = {"changed": [], "only_a": [], "only_b": [], "same": [], "silent": []}
    for unit, label in first.items():
        other = second[unit]
        if label is None or other is None:
            state = "silent" if label == other else "only_b" if label is None else "only_a"
        else:
            state = "same" if label == other else "changed"
        found[state].append(unit)
    return found


def test_changed_labels_come_first(open_site, results):
    page = open_site(ROUTE, viewport=TALL)
    expected = pairs(results, "first/ours/concepts", "first/rival/concepts")
    assert len(expected["changed"]) > 5 and len(expected["only_b"]) == 4
    expect(page.get_by_role("table")).to_be_visible()
    shown = units(page)
    assert shown[: len(expected["changed"])] == expected["changed"]
    assert sorted(shown) == sorted(unit for some in expected.values() for unit in some)
    row = page.locator('[role="row"]').filter(has=page.locator('[data-at="0"]'))
    expect(row).to_contain_text("says something else")


def test_one_sort_of_change_can_be_shown_alone(open_site, results):
    page = open_site(ROUTE, viewport=TALL)
    expected = pairs(results, "first/ours/concepts", "first/rival/concepts")
    button = page.get_by_role("button", name=f"{len(expected['only_b'])} only B speaks")
    button.click()
    expect(page.locator(".rows [data-at]")).to_have_count(len(expected["only_b"]))
    assert units(page) == expected["only_b"]


def test_sides_can_be_chosen_and_swapped(open_site):
    page = open_site("#/compare")
    a, b = page.locator(".pick select").nth(0), page.locator(".pick select").nth(1)
    expect(a).to_have_value("ours/concepts")
    expect(b).to_have_value("rival/concepts")
    page.get_by_role("button", name="Swap A and B").click()
    expect(a).to_have_value("rival/concepts")
    expect(page.locator(".side").first).to_contain_text("rival")


def test_another_run_is_read_from_its_folder(open_site, results, served, site):
    expected = pairs(results, "first/ours/concepts", "second/ours/concepts")
    assert len(expected["changed"]) > 40
    for address in (site, served):
        page = open_site(
            "#/compare?a=ours/concepts&b=ours/concepts&with=../../second/report", address=address, viewport=TALL
        )
        expect(page.get_by_role("button", name=f"{len(expected['changed'])} says something else")).to_be_visible()
        assert units(page)[: len(expected["changed"])] == expected["changed"]


def test_no_other_place_is_read(open_site):
    for folder in (
        "https://example.org/report",
        "//example.org/report",
        "javascript:alert(1)",
        "data:text/javascript,1",
    ):
        page = open_site(f"#/compare?a=ours/concepts&b=ours/concepts&with={folder}")
        expect(page.get_by_role("alert").first).to_contain_text("folder relative to this report")
