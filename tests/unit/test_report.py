"""The page of a run: what people read on it, what untrusted text cannot do to it, and that it is one closed file."""

import base64
import hashlib
import io
import json
import re

import numpy as np
import pytest
from pages import GENERATED, Page, png, write_run
from PIL import Image

from dnd import report, schemas, tables
from dnd.report import CandidateView, ExemplarView, LayerReport, UnitView
from dnd.shapeworld import render

LAYERS = {
    ("planted", "concepts"): [
        ("single", ("red",), ["red objects", "striped objects"]),
        ("conjunction", ("blue", "star"), ["snow backgrounds", "blue stars", "red objects"]),
        ("dead", None, []),
        ("random", None, ["various objects"]),
    ],
    ("classes", "fc"): [("class", ("green", "ring"), ["green rings"])],
}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, write_run(folder, LAYERS)


@pytest.fixture(scope="module")
def built(run_folder):
    folder, (places, measured, answers) = run_folder
    out = folder / "report" / "index.html"
    report.build(out, "demo", places, measured, answers)
    return out.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(built):
    return Page(built)


def card_of(page, place):
    """The elements of one unit's card."""
    start = next(i for i, one in enumerate(page.elements) if one["id"] == place)
    others = (i for i in range(start + 1, len(page.elements)) if page.elements[i].tag in {"article", "script"})
    return page.elements[start : next(others)]


def test_every_unit_has_a_card_in_order_of_the_sweep(page):
    assert [one["id"] for one in page.all("article")] == [
        "planted/concepts/0",
        "planted/concepts/1",
        "planted/concepts/2",
        "planted/concepts/3",
        "classes/fc/0",
    ]


def test_cards_say_label_truth_and_verdict(page):
    states = {one["id"]: one["data-state"] for one in page.all("article")}
    assert states == {
        "planted/concepts/0": "described right",
        "planted/concepts/1": "described wrong",
        "planted/concepts/2": "abstained right",
        "planted/concepts/3": "described",
        "classes/fc/0": "described right",
    }
    texts = {one["id"]: one.words for one in page.all("article")}
    assert "✓ right: truth: red objects single" in texts["planted/concepts/0"]
    assert "✗ wrong: truth: blue stars conjunction" in texts["planted/concepts/1"]
    assert "abstained: dead never active" in texts["planted/concepts/2"]
    assert "nothing to name random" in texts["planted/concepts/3"]


def test_every_candidate_is_shown_with_every_score(page):
    card = card_of(page, "planted/concepts/1")
    shown = [one.text for one in card if one.tag == "bdi"]
    assert {"snow backgrounds", "blue stars", "red objects"} <= set(shown)
    numbers = [one.words for one in card if one["class"] == "numbers"]
    assert numbers == [
        "AUC 0.99 MAD 3.0 rank² 11 similarity 0.80 votes 3",
        "AUC 0.86 MAD 2.1 rank² 101 similarity 0.70 votes 2",
        "AUC 0.73 MAD 1.2 rank² 191 similarity 0.60 votes 1",
    ]
    assert [one.text for one in card if one["class"] == "score"] == ["2.40", "1.90", "1.40"]


def test_generated_images_are_in_order_of_activation(page):
    card = card_of(page, "planted/concepts/1")
    values = [float(one["title"].removeprefix("activation ")) for one in card if one.tag == "img"]
    assert len(values) == 3 * GENERATED
    for start in range(0, len(values), GENERATED):
        part = values[start : start + GENERATED]
        assert part == sorted(part, reverse=True)
        assert len(set(part)) > 1


def test_an_exemplar_with_a_box_is_cut_to_it(page, run_folder):
    folder, _ = run_folder
    rows = tables.read(folder / "planted" / "exemplars.parquet", schemas.EXEMPLARS).to_pylist()
    own = [row for row in rows if row["unit"] == 0]
    svgs = [one for one in card_of(page, "planted/concepts/0") if one["data-whole"]]
    assert len(svgs) == len(own) == 10
    for svg, row in zip(svgs, own, strict=True):
        x0, y0, x1, y1 = row["box"] or (0, 0, 64, 64)
        assert svg["data-cut"] == f"{x0} {y0} {x1 - x0} {y1 - y0}"
        assert svg["data-whole"] == "0 0 64 64"
        assert svg["data-id"] == row["image_id"]


def album(page):
    return [base64.b64decode(one) for one in json.loads(page.all("script")[0].text)]


def test_every_picture_is_embedded_once_and_can_be_read(page):
    pictures = album(page)
    assert len(set(pictures)) == len(pictures)
    used = {int(one["data-k"]) for one in page.elements if one["data-k"]}
    assert used == set(range(len(pictures)))
    sizes = {Image.open(io.BytesIO(one)).size for one in pictures}
    assert sizes == {(64, 64), (16, 16)}  # renders and heat maps


def test_an_exemplar_shows_its_own_image(page):
    svg = next(i for i, one in enumerate(page.elements) if one["data-whole"])
    name = page.elements[svg]["data-id"]
    picture = album(page)[int(page.elements[svg + 1]["data-k"])]
    _, truth, _ = render.draw(4, int(name[-8:-4]))
    found = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"), float)
    assert np.abs(found - truth).mean() < 8  # compressed, but this image


def test_the_same_tables_give_the_same_page(built, run_folder):
    folder, (places, measured, answers) = run_folder
    out = folder / "again.html"
    report.build(out, "demo", places, measured, answers)
    assert out.read_text(encoding="utf-8") == built
    assert not [one for one in folder.iterdir() if one.name.startswith(".")]


def test_figures_of_the_run_are_shown(page):
    rows = [one.words for one in page.all("tr")]
    # one of two is right (Wilson: 9-91 %); snow backgrounds and blue stars, 1/5 and 1/36 of the scenes,
    # share 1/180: IoU 0.025, F1 0.049. Two labels dealt out anew stay where they are by chance.
    assert "all concepts 2 50 % 9\u201391 0.52 0.51 50 % 50 % 0 %" in rows
    assert "class 1 100 % 21\u2013100 1.00 1.00 100 % 100 % 0 %" in rows


def test_a_page_without_known_answers_claims_no_figures(run_folder):
    folder, (places, _, _) = run_folder
    report.build(folder / "bare.html", "demo", places, None, {})
    bare = Page((folder / "bare.html").read_text(encoding="utf-8"))
    assert not bare.all("table")
    assert {one["data-state"] for one in bare.all("article")} == {"described", "abstained"}
    assert "right" not in [one["value"] for one in bare.all("option")]


def test_page_asks_nothing_of_any_network(built, page):
    for one in page.elements:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert (one[name] or "#").startswith(("#", "data:")), (one.tag, one[name])
    assert not re.search(r"@import|url\(", built.split("</style>")[0])


def test_policy_admits_only_the_pages_own_style_and_script(page):
    policy = next(one["content"] for one in page.all("meta") if one["http-equiv"])
    digests = {
        name: "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for name, text in (
            ("style-src", page.all("style")[0].text),
            ("script-src", page.all("script")[1].text),
        )
    }
    assert policy.split("; ") == [
        "default-src 'none'",
        "img-src data:",
        f"style-src '{digests['style-src']}'",
        f"script-src '{digests['script-src']}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert not [one for one in page.elements if one["style"]]  # the policy would drop it


def picture(value, size=(8, 8)):
    buffer = io.BytesIO()
    Image.new("RGB", size, (value, 0, 0)).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


NASTY = [
    "<script>alert(1)</script>",
    '" onload="alert(1)',
    "' onerror='alert(1)",
    "javascript:alert(1)",
    "</script><img src=x onerror=alert(1)>",
    "</bdi></article><!--",
    "{{ 7 * 7 }} {% raw %}",
    "&lt;b&gt; \u202egnp",
]


@pytest.mark.parametrize("text", NASTY)
def test_untrusted_text_stays_text(text):
    exemplar = ExemplarView(text, (8, 8), (0, 0, 4, 8), 1.0, text, picture(1))
    candidate = CandidateView(text, 1, 1, 1, 1, 1, text, 1, ((picture(2), 1.0),))
    both = ((text, 0.6), (text, 0.4))
    unit = UnitView(0, text, None, 0.5, (exemplar,), (candidate, candidate), text, text, True, facets=both)
    silent = UnitView(1, None, text, 0.0)
    layers = [LayerReport(text, text, text, text, text, text, (unit, silent))]
    plain = [LayerReport("a", "a", "a", "a", "a", "a", (unit, silent))]
    page = Page(report.render(text, layers, None))
    assert len(page.all("script")) == 2
    assert len(page.all("article")) == 2
    assert len(page.elements) == len(Page(report.render("a", plain, None)).elements)
    for one in page.elements:
        assert not [name for name in one.attributes if name.startswith("on")]
        assert not (one["href"] or "").startswith("javascript")
    assert page.all("h3")[0].text == text
    assert [one.text for one in page.all("bdi")].count(text) >= 6
    svg = next(one for one in page.elements if one["data-whole"])
    assert (svg["data-caption"], svg["data-id"]) == (text, text)


def test_shared_pictures_are_shared_between_units():
    one = ExemplarView("a", (8, 8), None, 1.0, "", picture(1))
    units = tuple(UnitView(i, "a", None, 0.5, (one, one)) for i in range(3))
    page = Page(report.render("r", [LayerReport("n", "l", "s", "m", "p", "c", units)], None))
    assert album(page) == [picture(1)]


def test_large_images_shrink_and_keep_a_sharp_cutout():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 500, 3), np.uint8))
    small = Image.open(io.BytesIO(report.webp(image, 144)))
    assert small.size == (144, 86)
    assert image.size == (500, 300)


def test_heat_map_is_clear_at_its_minimum_and_covers_at_its_maximum():
    found = Image.open(io.BytesIO(report.coloured(png(np.array([[0, 255]], np.uint8)))))
    low, high = (found.convert("RGBA").getpixel((x, 0)) for x in (0, 1))
    assert low[3] == 0
    assert high == (252, 240, 150, 230)


def test_ticks_lie_on_one_axis():
    assert report.ticks([1.0, 2.0, 5.0], (1.0, 5.0), 0, 6) == "M0.0 0V6M25.0 0V6M100.0 0V6"
    assert report.ticks([3.0], (3.0, 3.0), 0, 6) == "M0.0 0V6"


def test_span_covers_exemplars_and_generated_images():
    exemplar = ExemplarView("a", (8, 8), None, 4.0, "", b"")
    candidate = CandidateView("a", 1, 1, 1, 1, 1, "llm", 1, ((b"", -1.5), (b"", 2.0)))
    assert UnitView(0, "a", None, 1.0, (exemplar,), (candidate,)).span == (-1.5, 4.0)
    assert UnitView(0, None, "dead", 0.0).span == (0.0, 0.0)


def test_exemplars_of_large_images_come_with_a_sharp_cutout(tmp_path):
    places, _, answers = write_run(tmp_path, {("planted", "concepts"): LAYERS["planted", "concepts"][:1]}, probe=20)
    rows = tables.read(tmp_path / "probe.parquet", schemas.PROBE).to_pylist()
    for row in rows:
        image = Image.open(io.BytesIO(row["image"])).resize((320, 320))
        row |= {"width": 320, "height": 320, "image": png(np.asarray(image))}
    tables.write(tmp_path / "probe.parquet", tables.table(rows, schemas.PROBE), schemas.PROBE)
    report.build(tmp_path / "index.html", "demo", places, None, answers)
    page = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    pictures = album(page)
    for i, svg in enumerate(page.elements):
        if svg["data-whole"]:
            assert svg["data-whole"] == "0 0 320 320"
            whole, second = page.elements[i + 1 : i + 3]
            assert Image.open(io.BytesIO(pictures[int(whole["data-k"])])).size == (144, 144)
            box = [int(n) for n in svg["data-cut"].split()]
            if box == [0, 0, 320, 320]:
                assert second["class"] == "heat"
            else:  # laid over its place in the whole image
                assert [int(second[name]) for name in ("x", "y", "width", "height")] == box
                assert max(Image.open(io.BytesIO(pictures[int(second["data-k"])])).size) == min(96, max(box[2:]))


def test_an_abstained_unit_shows_its_candidates():
    candidate = CandidateView("red objects", 1, 1, 1, 1, 1, "llm", 1)
    unit = UnitView(3, None, "low_confidence", 0.1, (), (candidate,), "single", "red objects", False)
    page = Page(report.render("r", [LayerReport("n", "l", "s", "m", "p", "c", (unit,))], None))
    card = page.all("article")[0]
    assert card["data-state"] == "abstained wrong"
    assert "abstained: low_confidence evidence too weak" in card.words
    assert "red objects" in page.all("p", "concept")[0].text


def test_a_unit_that_responds_to_several_things_says_how_much_to_each(tmp_path):
    units = [("single", ("red",), ["red objects or stars"]), ("single", ("red",), ["red objects"])]
    places, _, answers = write_run(tmp_path, {("planted", "concepts"): units}, probe=20)
    report.build(tmp_path / "index.html", "demo", places, None, answers)
    page = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert [one.words for one in page.all("p", "facets")] == ["red objects 50 % stars 50 %"]
    assert [one.words for one in card_of(page, "planted/concepts/1") if one["class"] == "facets"] == []


def test_images_that_the_scores_leave_out_are_not_shown(tmp_path):
    """Else the activations beside the others would be those of their neighbours."""
    rows = [
        {"concept": "red stars", "sample": i, "seed": i, "key": "", "problem": problem}
        | {"image": png(np.full((8, 8, 3), 100 * i, np.uint8))}
        for i, problem in enumerate(("black", None, "flagged"))
    ]
    tables.write(tmp_path / "images.parquet", tables.table(rows, schemas.IMAGES), schemas.IMAGES)
    (shown,) = report._drawn([tmp_path / "images.parquet"], {"red stars"})["red stars"]
    assert Image.open(io.BytesIO(shown)).convert("RGB").getpixel((0, 0)) == pytest.approx((100, 100, 100), abs=3)


def test_units_can_be_put_in_order_of_their_importance(tmp_path):
    places, _, answers = write_run(tmp_path, LAYERS)
    assert 'value="weight"' not in _page(tmp_path, places, answers)
    rows = [
        {"unit": unit, "attribution": 0.5, "absolute": 1.5 + unit, "std": 0.1, "images": 4, "note": None}
        for unit in range(2)
    ]
    tables.write(tmp_path / "weights.parquet", tables.table(rows, schemas.IMPORTANCE), schemas.IMPORTANCE)
    places[0]["importance"] = [tmp_path / "weights.parquet"]
    text = _page(tmp_path, places, answers)
    assert 'value="weight"' in text
    assert text.count("data-importance=") == 2
    assert 'data-importance="2.5"' in text


def _page(folder, places, answers):
    report.build(folder / "index.html", "demo", places, None, answers)
    return (folder / "index.html").read_text(encoding="utf-8")
