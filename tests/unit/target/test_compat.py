"""Each step of the released driver, on and off. Worked values: hand calculations on the formulas of its code."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from handmade import TinyTarget, plain, png, write_probe
from PIL import Image
from torchvision.transforms.functional import to_pil_image

from dnd.backends import views
from dnd.backends.embedder import Embedder
from dnd.candidates import captions
from dnd.candidates import compat as compat_answers
from dnd.config.backends import CaptionSettings
from dnd.config.stages import ExemplarSettings, ScoreSettings
from dnd.io import pictures, schemas, tables
from dnd.io.rows import Concept
from dnd.selection import components, scores
from dnd.target import compat, crops, exemplars
from dnd.target.outputs import Output, TargetError
from dnd.target.units import Reading

SETTINGS = ExemplarSettings(min_side=0)


def values(*numbers):
    return np.array(numbers, np.float32)


def test_maps_wrap_around_in_eight_bits():
    assert compat.wrapped(torch.tensor([[0.0, 0.5], [1.2, 3.0]])).tolist() == [[0, 127], [50, 253]]
    assert compat.wrapped(torch.tensor([-0.5, float("nan"), float("inf")])).tolist() == [129, 0, 0]


def test_wrapped_maps_are_what_torchvision_makes_of_them():
    heat = torch.rand(7, 5, generator=torch.Generator().manual_seed(0)) * 4
    assert np.array_equal(compat.wrapped(heat), np.asarray(to_pil_image(heat)))


def ring():
    """A strong square in a weak surrounding: 2.0 wraps to 254, 1.01 to 1."""
    heat = torch.full((64, 64), 0.3)
    heat[10:30, 10:30] = 1.01
    heat[40:60, 40:60] = 0.99
    return heat


def test_wrapping_moves_the_crops():
    whole, shape = (0, 0, 64, 64), (64, 64)
    assert crops.boxes(ring(), whole, (64, 64), shape, SETTINGS) == [(10, 10, 30, 30), (40, 40, 60, 60)]
    wrapped = SETTINGS.model_copy(update={"wrap_heatmaps": True})
    # 1.01 becomes 1 and falls behind the surrounding, 0.99 becomes 252
    assert crops.boxes(ring(), whole, (64, 64), shape, wrapped) == [(40, 40, 60, 60)]


def test_parts_inside_a_hole_are_left_out():
    heat = torch.zeros(64, 64)
    heat[4:54, 4:54] = 1
    heat[6:52, 6:52] = 0
    heat[20:40, 20:40] = 1
    asked = {"frame": (0, 0, 64, 64), "size": (64, 64), "shape": (64, 64)}
    assert crops.boxes(heat, settings=SETTINGS, **asked) == [(4, 4, 54, 54), (20, 20, 40, 40)]
    outer = SETTINGS.model_copy(update={"outer_parts": True})
    assert crops.boxes(heat, settings=outer, **asked) == [(4, 4, 54, 54)]


def test_a_class_token_is_read_as_a_picture():
    token = torch.zeros(16, 16, 3)
    token[2, 5] = torch.tensor([1.0, 0.0, 0.0])  # red in row 2, column 5
    token[9, 0] = torch.tensor([2.0, 2.0, 2.0])  # 510 wraps to 254
    grey = compat.token_map(token.flatten())
    assert grey.shape == (16, 16)
    assert (int(grey[2, 5]), int(grey[9, 0]), int(grey.sum())) == (76, 254, 330)  # 255 x 299 / 1000
    with pytest.raises(TargetError, match="384 channels; `token_maps` needs 768"):
        compat.token_map(torch.zeros(384))


def test_class_tokens_are_maps_of_every_unit_only_where_asked_for():
    tokens = torch.rand(1, 1, 768, generator=torch.Generator().manual_seed(0)) * 0.99
    reading = Reading(Output(torch.rand(1, 4, 768), (2, 2), tokens[:, 0]), None, 1)
    on = exemplars.maps_of(reading, 0, [3, 5], ExemplarSettings(token_maps=True))
    assert on.shape == (2, 16, 16)
    assert torch.equal(on[0], on[1])
    assert exemplars.maps_of(reading, 0, [3, 5], ExemplarSettings()).shape == (2, 2, 2)


@pytest.fixture
def corner(tmp_path):
    """An image of 128 x 64 pixels with a red square of 16 pixels at (48, 8)."""
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[8:24, 48:64] = (255, 0, 0)
    return write_probe(tmp_path / "images.parquet", {"a.png": png(pixels)})


def boxes(probe, target, pooling="mean", **settings):
    several = ExemplarSettings(views_per_image=5, min_side=0, **settings)
    found = exemplars.run(target, "colour", {0: ["a.png"]}, [probe], pooling=pooling, settings=several)
    return found.to_pylist()


def test_boxes_are_scaled_about_the_centre_where_the_map_is_taken_for_the_whole_image(tmp_path):
    pixels = np.zeros((256, 256, 3), np.uint8)
    pixels[58:86, 170:198] = (255, 0, 0)  # the network sees 16 to 240
    probe = write_probe(tmp_path / "images.parquet", {"a.png": png(pixels)})
    target = replace(TinyTarget(), preprocess=plain(224, resize=256))
    right = boxes(probe, target)[0]["box"]
    assert right == [170, 58, 198, 86]
    wrong = boxes(probe, target, whole_image_boxes=True)[0]["box"]
    scaled = [128 + (edge - 128) * 8 / 7 for edge in right]
    assert scaled == [176, 48, 208, 80]
    assert wrong == pytest.approx(scaled, abs=1)


def test_squares(corner):
    """The network sees all of a square, and the middle of an image of 128 x 64 pixels."""
    own = boxes(corner, TinyTarget())
    assert [row["box"] for row in own] == [[48, 8, 64, 24], None]
    assert own[1]["activation"] == pytest.approx(16 * 16 / 64**2)
    assert own[1]["heatmap_box"] == [32, 0, 96, 64]
    square = boxes(corner, TinyTarget(), square=64)
    assert square[0]["activation"] > 0.9  # nothing but the red square, stretched to 64 x 64
    assert square[0]["box"] == pytest.approx([48, 8, 64, 24], abs=2)
    assert square[1]["activation"] == pytest.approx(8 * 16 / 64**2, rel=0.05)
    assert square[1]["heatmap_box"] == [0, 0, 128, 64]


def test_boxes_return_from_a_square_that_is_no_larger():
    rng = np.random.default_rng(0)
    for width, height in ((375, 375), (500, 375), (640, 427)):
        for _ in range(50):
            x0, y0 = rng.integers(0, 370, 2)
            box = (x0, y0, rng.integers(x0 + 1, 376), rng.integers(y0 + 1, 376))
            there = pictures.rescaled(box, (375, 375), (width, height))
            assert pictures.rescaled(there, (width, height), (375, 375)) == box
    assert pictures.rescaled((374, 374, 375, 375), (375, 375), (8, 8)) == (7, 7, 8, 8)  # never empty


def test_views_are_cut_from_the_square_and_stretched():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 80, 3), np.uint8))
    assert pictures.view(image, (8, 8, 24, 24)).size == (16, 16)
    square = image.resize((20, 20))  # as Pillow does by default
    assert pictures.view(image, None, 20) == square
    assert pictures.view(image, (8, 8, 24, 24), 20) == square.crop((2, 4, 6, 12)).resize((20, 20))


def test_squares_have_captions_and_names_of_their_own():
    settings = CaptionSettings(model="resources/shapeworld/captioner")
    plain_key = captions.caption_key(settings, "d", None)
    assert plain_key == captions.caption_key(settings, "d", None, None)
    assert plain_key != captions.caption_key(settings, "d", None, 375)
    assert views.name("d", (0, 0, 4, 4)) == "image sha256:d box 0,0,4,4 within 512 pixels"
    assert views.name("d", None, 375) == "image sha256:d stretched to 375 x 375 within 512 pixels"


def test_the_best_image_may_have_rank_zero():
    """A has the ranks 0, 3, 5, B 1, 2, 4."""
    a, b = values(0.9, 0.5, 0.1), values(0.8, 0.7, 0.3)
    assert [list(map(int, np.sort(one))) for one in components.ranks([a, b], first=0)] == [[0, 3, 5], [1, 2, 4]]
    assert components.rank_scores([a, b], best=2, first=0) == [4.5, 2.5]
    assert components.rank_scores([a, b], best=2) == [8.5, 6.5]
    means = [float(one.mean()) for one in components.ranks([a, b], first=0)]
    assert means == pytest.approx([8 / 3, 7 / 3])


def test_places_by_rank_multiply_the_similarity():
    assert compat.topk_compare([1, 2, 3], [0.60, 0.75, -1]) == pytest.approx([1.8, 1.5, -1])
    assert compat.topk_compare([7, 7], [0.5, 0.5]) == [1.0, 0.5]  # equal ranks by candidate
    # the sign error: of two candidates without an image among the best, the better rank ends up lower
    assert compat.topk_compare([0, 146.4, 175.4], [0.6, -1, -1]) == pytest.approx([1.8, -2, -1])


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("mean", [-8 / 3, -7 / 3]),
        ("topk-sq-mean", [-4.5, -2.5]),
        ("topk-compare", [0.6, 1.4]),
        ("image-products", [0.6, 0.7]),
    ],
)
def test_scoring_functions_of_the_released_code(variant, expected):
    candidates = [
        {"mean_rank": 8 / 3, "rank_score": 4.5, "image_similarity": 0.6},
        {"mean_rank": 7 / 3, "rank_score": 2.5, "image_similarity": 0.7},
    ]
    assert compat.combined(variant, candidates) == pytest.approx(expected)


def test_only_images_among_the_best_are_compared():
    exemplar = values([1, 0])
    vectors = [values([1, 0], [0, 1]), values([0.6, 0.8], [0.8, 0.6])]
    activations = [values(9, 1), values(3, 2)]
    every = scores.similarities(exemplar, vectors, activations, ScoreSettings())
    assert every == pytest.approx([0.5, 0.7])
    best = scores.similarities(exemplar, vectors, activations, ScoreSettings(compare_best=2))
    assert best == pytest.approx([1.0, 0.6])
    one = {"compare_best": 1}
    assert scores.similarities(exemplar, vectors, activations, ScoreSettings(**one)) == pytest.approx([1.0, 0.7])
    absent = scores.similarities(exemplar, vectors, activations, ScoreSettings(**one, absent_similarity=-1))
    assert absent == pytest.approx([1.0, -1])


def test_equally_exciting_images_count_by_candidate():
    chosen = compat.among_best([values(1, 1), values(1, 2)], 2)
    assert [one.tolist() for one in chosen] == [[True, False], [False, True]]


def test_answers_as_the_released_code_reads_them():
    assert compat_answers.concept("Concept: Red Things.") == "red things"
    assert compat_answers.concept("a: b: c") == "b"
    assert compat_answers.concept('"Red" things..') == '"red" things.'
    assert compat_answers.concept("") == ""


@pytest.mark.parametrize(
    ("answer", "rule", "expected"),
    [
        ("Abstract design", "none", None),
        ("Abstract design", "all", "abstract design background"),
        ("Abstract design.", "all", "abstract design background"),
        ("Abstract design", "undotted", "abstract design background"),
        ("Abstract design.", "undotted", None),
        ("Label: Abstract Graphics", "undotted", "abstract graphics background"),
        ("designer", "all", None),
        ("design background", "all", None),
    ],
)
def test_backgrounds_of_designs(answer, rule, expected):
    assert compat_answers.background(compat_answers.concept(answer), answer, rule) == expected


def test_shrunk_images_are_small_and_bicubic():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    assert pictures.squared(image, 32) == image.resize([32, 32])


def test_the_stored_heat_map_is_the_one_that_crops_came_from(corner):
    on, off = (boxes(corner, TinyTarget(), wrap_heatmaps=wrap)[-1]["heatmap"] for wrap in (True, False))
    first, second = (np.asarray(Image.open(io.BytesIO(one))) for one in (on, off))
    assert np.array_equal(first, second)  # 0 and 1 become 0 and 255 either way
    bright = replace(TinyTarget(), preprocess=plain(64, std=(0.5, 0.5, 0.5)))
    wrapped = boxes(corner, bright, wrap_heatmaps=True)[-1]["heatmap"]
    assert np.asarray(Image.open(io.BytesIO(wrapped))).max() == 254  # 2.0 x 255 = 510


class Sizes(Embedder):
    """Embeds an image as one direction, and keeps the sizes it has seen."""

    def __init__(self):
        self.seen = set()

    def embed(self, images):
        self.seen |= {image.size for image in images}
        return np.tile(values(1, 0), (len(images), 1))


@pytest.mark.parametrize("on", [False, True])
def test_shrunk_images_and_squares_reach_network_and_embedder(corner, tmp_path, on):
    """Generated images hold one red pixel, or four; its colour fades when 64 x 64 pixels become 8 x 8."""
    rows = []
    for concept, side in {"dot": 1, "spot": 4}.items():
        pixels = np.zeros((64, 64, 3), np.uint8)
        pixels[:side, :side] = (255, 0, 0)
        rows.append({"concept": concept, "sample": 0, "seed": 0, "key": "", "image": png(pixels), "problem": None})
    tables.write(tmp_path / "drawn.parquet", tables.table(rows, schemas.IMAGES), schemas.IMAGES)
    topk = dict.fromkeys(schemas.TOPK.names) | {"unit": 0, "controls": [0.0, 0.5]}
    tables.write(tmp_path / "topk.parquet", tables.table([topk], schemas.TOPK), schemas.TOPK)
    shown = {"unit": 0, "rank": 0, "image_id": "a.png", "box": [48, 8, 64, 24], "activation": 1.0}
    switches = {"combination": "topk-compare", "first_rank": 0, "shrink": 8, "compare_best": 1, "absent_similarity": -1}
    embedder = Sizes()
    found = scores.run(
        TinyTarget(),
        "colour",
        embedder,
        scores.DrawnShard(
            [Concept("n", "s", 0, i, one, 1, [], "captions") for i, one in enumerate(("dot", "spot"))],
            [tmp_path / "drawn.parquet"],
            tables.table([shown | {"heatmap": None, "heatmap_box": None}], schemas.EXEMPLARS),
            tmp_path / "topk.parquet",
            [corner],
        ),
        pooling="max",
        weights=ScoreSettings(**(switches if on else {"combination": "mean"})),
        square=20 if on else None,
    ).to_pylist()
    dot, spot = (row["activations"][0] for row in found)
    if on:
        assert embedder.seen == {(8, 8), (20, 20)}
        assert 0 < dot < 0.1 < spot < 0.6
        # the spot comes first: two candidates, place 0, similarity 1; the dot has no image among the best
        assert [row["score"] for row in found] == [-1, 2]
        assert [row["rank_score"] for row in found] == [1, 0]
    else:
        assert embedder.seen == {(64, 64), (16, 16)}
        assert (dot, spot) == (1, 1)
        assert [row["rank_score"] for row in found] == [2.25, 2.25]
