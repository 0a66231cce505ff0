"""What texts of models and users cannot do to a reader. Every other test watches for requests and errors as well."""

import re
from html.parser import HTMLParser

import pytest
from playwright.sync_api import expect
from shown import TALL, search

LAYER = "hostile/blocks.1-odd-name"


def test_hostile_labels_are_shown_as_they_are(open_site, described):
    page = open_site(f"#/layer/{LAYER}", viewport=TALL)
    labels = [row["label"] for row in described(LAYER)]
    expect(page.locator(".card")).to_have_count(len(labels))
    assert page.locator(".card .label bdi").evaluate_all("all => all.map(one => one.textContent)") == labels


@pytest.mark.parametrize("unit", [0, 1, 2, 4, 5, 6, 9])
def test_hostile_evidence_is_shown_as_it_is(open_site, described, unit):
    page = open_site(f"#/unit/{LAYER}/{unit}")
    row = described(LAYER)[unit]
    expect(page.locator(".exemplars > li")).to_have_count(10)
    for place, expected in (("h1 bdi", [row["label"]]), (".caption bdi", row["captions"])):
        assert page.locator(place).evaluate_all("all => all.map(one => one.textContent)") == expected
    concepts = page.locator(".candidates h3").evaluate_all("all => all.map(one => one.textContent)")
    assert concepts == [one["concept"] for one in row["candidates"]]
    for tile in page.locator(".exemplars .open").all():
        tile.click()  # says the image's name, which may be hostile as well
    assert page.locator("main script, main img, main svg[onload], main iframe").count() == 0
    dangerous = "all => all.filter(one => [...one.attributes].some(own => own.name.startsWith('on'))).length"
    assert page.locator("*").evaluate_all(dangerous) == 0


def test_no_link_leads_anywhere_but_into_the_report(open_site):
    for route in ("#/", f"#/layer/{LAYER}", f"#/unit/{LAYER}/2", "#/compare"):
        page = open_site(route)
        expect(page.locator("main h1")).to_be_visible()
        links = page.locator("a[href]").evaluate_all("all => all.map(one => one.getAttribute('href'))")
        assert [one for one in links if not re.match(r"#/|\.\./provenance\.json$|layers/", one)] == []


def test_what_the_address_says_is_not_run(open_site):
    page = open_site("#/layer/ours/concepts")
    search(page, '<img src=x onerror="alert(1)">')
    expect(page.locator("main")).to_contain_text('<img src=x onerror="alert(1)">')
    page = open_site("#/<script>alert(1)</script>")
    expect(page.get_by_role("heading", level=1)).to_have_text("No such page")


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_the_policy_forbids_inline_and_foreign_code(results):
    text = (results / "first/report/index.html").read_text(encoding="utf-8")
    tags = Tags(text).found
    (policy,) = [own["content"] for tag, own in tags if own.get("http-equiv") == "Content-Security-Policy"]
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split(";") if rule.strip()}
    assert rules["default-src"] == ["'none'"]
    assert rules["script-src"] == rules["style-src"] == ["'self'"]
    assert all("src" in own for tag, own in tags if tag == "script")
    assert not [tag for tag, own in tags if tag == "style" or "style" in own]
    assert "://" not in text


def test_the_policy_is_in_force(open_site):
    page = open_site("#/", provoked=True)
    ran = page.evaluate(
        """() => new Promise(done => {
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.addEventListener("securitypolicyviolation", () => done(Boolean(window.ran)), {once: true});
            document.body.append(script);
            setTimeout(() => done("no violation"), 1000);
        })"""
    )
    assert ran is False


@pytest.mark.parametrize("route", ["#/", "#/layer/ours/concepts", "#/unit/ours/concepts/2", "#/compare"])
def test_a_web_server_may_serve_the_folder(open_site, served, route):
    page = open_site(route, address=served)
    expect(page.locator("main h1")).to_be_visible()
    expect(page.locator("main .notice")).to_have_count(0)


def test_a_missing_file_is_named(open_site, results):
    hidden = results / "first/report/layers/ours/silent/index.js"
    moved = hidden.rename(hidden.with_suffix(".away"))
    try:
        page = open_site("#/layer/ours/silent", provoked=True)
        expect(page.get_by_role("alert")).to_contain_text("layers/ours/silent/index.js is missing")
    finally:
        moved.rename(hidden)
