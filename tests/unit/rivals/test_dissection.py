"""Overlaps of units and concepts: equal to masks compared pixel by pixel, wherever the network looks."""

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from handmade import Channels, TinyTarget, plain, png, write_probe
from torch.nn import functional as F

from dnd.io import schemas, tables
from dnd.probe.masks import Annotation
from dnd.probe.masks import png as mask_png
from dnd.rivals import dissection
from dnd.rivals.dissection import Pixels, Tally, enlarged, patterns_of, pixels_seen
from dnd.target.network import Target

NAMES = ("sky", "tree", "red")


class Pooled(Channels):
    """Layer ``colour`` has maps of a quarter of the input's side."""

    def forward(self, x):
        return self.colour(F.avg_pool2d(x, 4))


def write_annotations(path, masks):
    rows = [
        {"image_id": image, "category": category, "concept": concept, "mask": None if mask is None else mask_png(mask)}
        for image, own in sorted(masks.items())
        for (category, concept), mask in sorted(own.items())
    ]
    tables.write(path, tables.table(rows, schemas.ANNOTATIONS), schemas.ANNOTATIONS)
    return path


def made(tmp_path, shape, count=6, seed=0):
    """Noise with random masks, of which the last image has none, and the first only a label of the whole image."""
    rng = np.random.default_rng(seed)
    pixels = {f"{i}.png": rng.integers(0, 256, (*shape, 3)) for i in range(count)}
    masks = {}
    for name in sorted(pixels)[:-1]:
        masks[name] = {("object", one): rng.random(shape) < 0.5 for one in ("sky", "tree")}
        masks[name]["colour", "red"] = None if rng.random() < 0.5 else rng.random(shape) < 0.3
    masks["0.png"] = {("colour", "red"): None}
    probe = write_probe(tmp_path / "p.parquet", {name: png(one) for name, one in pixels.items()})
    return pixels, masks, probe, write_annotations(tmp_path / "a.parquet", masks)


def counts(patterns, overlaps, unit, holds):
    """Active pixels and pixels of all patterns that a function of the set of concepts holds for."""
    rows = patterns.to_pylist()
    chosen = {row["pattern"] for row in rows if holds({one["concept"] for one in row["concepts"]})}
    active = [row["pixels"] for row in overlaps.to_pylist() if row["unit"] == unit and row["pattern"] in chosen]
    return sum(active), sum(row["pixels"] for row in rows if row["pattern"] in chosen)


FORMULAS = [
    lambda own: "sky" in own,
    lambda own: "sky" in own and "tree" not in own,
    lambda own: "red" in own or ("sky" in own and "tree" in own),
]


def test_counts_are_those_of_the_pixels(tmp_path):
    pixels, masks, probe, annotations = made(tmp_path, (32, 32))
    target = Target(Pooled().eval(), plain(32), torch.device("cpu"))
    patterns, overlaps = dissection.run(target, "colour", [probe], [annotations], units=[2, 0], quantiles=[0.3])
    assert overlaps["unit"].unique().to_pylist() == [0, 2]
    assert overlaps["quantile"].unique().to_pylist() == ["0.3"]
    inputs = {name: torch.tensor(one).permute(2, 0, 1)[None].float() / 255 for name, one in pixels.items()}
    maps = {name: F.avg_pool2d(one, 4)[0] for name, one in inputs.items()}
    for unit in (0, 2):
        limit = np.quantile(
            np.concatenate([one[unit].numpy().ravel() for one in maps.values()]), 0.7, method="inverted_cdf"
        )
        for holds in FORMULAS:
            active = truth = 0
            for name, own in masks.items():
                large = F.interpolate(maps[name][None, unit : unit + 1], (32, 32), mode="bilinear")[0, 0].numpy()
                flags = np.zeros((32, 32), bool)
                for place in np.ndindex(32, 32):
                    flags[place] = holds({tag[1] for tag, mask in own.items() if mask is None or mask[place]})
                active, truth = active + (flags & (large > limit)).sum(), truth + flags.sum()
            assert counts(patterns, overlaps, unit, holds) == (active, truth)


def test_images_without_annotations_do_not_count_and_categories_are_told(tmp_path):
    _, masks, probe, annotations = made(tmp_path, (8, 8))
    patterns, _ = dissection.run(TinyTarget(8), "colour", [probe], [annotations], units=[0], quantiles=[0.1])
    rows = patterns.to_pylist()
    assert sum(row["pixels"] for row in rows) == len(masks) * 64
    assert sum(row["pixels"] for row in rows if row["categories"] == ["colour"]) == 64
    assert {tuple(row["categories"]) for row in rows} == {("colour",), ("colour", "object")}


def test_only_what_the_network_sees_counts(tmp_path):
    """A network that is shown the middle 8 x 8 of 8 x 16 pixels, unchanged."""
    pixels, masks, probe, annotations = made(tmp_path, (8, 16))
    patterns, overlaps = dissection.run(TinyTarget(8), "colour", [probe], [annotations], units=[1], quantiles=[0.2])
    seen = np.concatenate([one[:, 4:12, 1].ravel() for one in pixels.values()])
    limit = np.quantile(seen, 0.8, method="inverted_cdf")
    assert sum(patterns["pixels"].to_pylist()) == len(masks) * 64
    for holds in FORMULAS:
        active = sum(
            int(pixels[name][y, x, 1] > limit and holds({tag[1] for tag, m in own.items() if m is None or m[y, x]}))
            for name, own in masks.items()
            for y in range(8)
            for x in range(4, 12)
        )
        assert counts(patterns, overlaps, 1, holds)[0] == active


def test_results_do_not_depend_on_shards_or_batches(tmp_path, monkeypatch):
    pixels, masks, probe, annotations = made(tmp_path, (32, 32))
    target = Target(Pooled().eval(), plain(32), torch.device("cpu"))
    whole = dissection.run(target, "colour", [probe], [annotations], units=[0, 1], quantiles=["otsu"])
    names = sorted(pixels)
    parts = [
        write_probe(tmp_path / f"{i}.parquet", {name: png(pixels[name]) for name in part})
        for i, part in enumerate((names[:2], names[2:]))
    ]
    told = [
        write_annotations(tmp_path / f"a{i}.parquet", {name: masks[name] for name in part if name in masks})
        for i, part in enumerate((names[:2], names[2:]))
    ]
    monkeypatch.setattr(dissection, "MOST_PIXELS", 1)
    monkeypatch.setattr(dissection, "MOST_COUNTS", 1)
    monkeypatch.setattr("dnd.rivals.thresholds.BATCH", 2)
    split = dissection.run(target, "colour", parts, told, units=[1, 0], quantiles=["otsu"])
    assert all(a.equals(b) for a, b in zip(whole, split, strict=True))


def test_every_quantile_has_overlaps_of_its_own(tmp_path):
    _, _, probe, annotations = made(tmp_path, (8, 8))
    shares = [0.3, "otsu", 0.05]
    patterns, both = dissection.run(TinyTarget(8), "colour", [probe], [annotations], units=[0, 1], quantiles=shares)
    for share in shares:
        alone = dissection.run(TinyTarget(8), "colour", [probe], [annotations], units=[0, 1], quantiles=[share])
        assert alone[0].equals(patterns)
        assert alone[1].equals(both.filter(pc.field("quantile") == str(share)))


def test_masks_of_another_size_are_an_error(tmp_path):
    probe = write_probe(tmp_path / "p.parquet", {"a.png": png(np.zeros((8, 8, 3)))})
    annotations = write_annotations(tmp_path / "a.parquet", {"a.png": {("object", "sky"): np.eye(4, 8, dtype=bool)}})
    with pytest.raises(ValueError, match=r"image 'a.png': the mask of 'sky' has 8x4 pixels, not \(8, 8\)"):
        dissection.run(TinyTarget(8), "colour", [probe], [annotations], units=[0], quantiles=[0.1])


def test_a_probe_without_annotations_is_an_error(tmp_path):
    probe = write_probe(tmp_path / "p.parquet", {"a.png": png(np.zeros((8, 8, 3)))})
    annotations = write_annotations(tmp_path / "a.parquet", {})
    with pytest.raises(ValueError, match="no image of the probe has an annotation"):
        dissection.run(TinyTarget(8), "colour", [probe], [annotations], units=[0], quantiles=[0.1])


@pytest.mark.parametrize("size", [(16, 16), (40, 24), (7, 5)])
def test_enlarging_is_torchs(size):
    maps = torch.rand(3, 5, 6, generator=torch.Generator().manual_seed(0))
    pixels = pixels_seen((0.0, 0.0, float(size[1]), float(size[0])), size[1], size[0])
    expected = F.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]
    assert torch.allclose(enlarged(maps, (0.0, 0.0, float(size[1]), float(size[0])), pixels), expected, atol=1e-6)


def test_a_padded_image_lies_inside_its_map():
    # the frame of a 4 x 2 image in a square input reaches one pixel beyond it above and below
    maps = torch.arange(4.0).view(1, 4, 1).expand(1, 4, 4)
    pixels = pixels_seen((0, -1, 4, 3), 4, 2)
    assert enlarged(maps, (0, -1, 4, 3), pixels)[0].tolist() == [[1.0] * 4, [2.0] * 4]


def test_of_large_images_every_third_pixel_is_looked_at(monkeypatch):
    monkeypatch.setattr(dissection, "SIDE", 4)
    pixels = pixels_seen((0, 0, 10, 6), 10, 6)
    assert pixels.xs.tolist() == [1, 4, 7]
    assert pixels.ys.tolist() == [1, 4]


def test_patterns_of_more_concepts_than_an_integer_has_bits():
    rng = np.random.default_rng(0)
    masks = rng.random((90, 4, 4)) < 0.5
    masks[:, 0, 1] = masks[:, 0, 0]
    own = [Annotation("object", f"{i:02d}", mask) for i, mask in enumerate(masks)]
    numbers, patterns = patterns_of(own, Pixels(np.arange(4), np.arange(4)))
    assert len(patterns) == 15 and numbers[0] == numbers[1]
    for place, number in enumerate(numbers):
        expected = {("object", f"{i:02d}") for i in range(90) if masks[i].ravel()[place]}
        assert patterns[number].concepts == expected


def test_a_tally_adds_up_whatever_its_room(monkeypatch):
    rng = np.random.default_rng(0)
    kinds = [dissection.Tags(frozenset({("object", str(i))}), frozenset({"object"})) for i in range(4)]
    images = [(rng.permutation(4)[:2], rng.integers(0, 3, (5, 2))) for _ in range(20)]
    expected = np.zeros((5, 4), int)
    small, large = Tally(), Tally()
    for number, tally in enumerate((small, large)):
        monkeypatch.setattr(dissection, "MOST_COUNTS", 7 if number else 10**6)
        for places, active in images:
            tally.add([kinds[place] for place in places], np.array([9, 9]), active)
            if number:
                expected[:, places] += active
    assert np.array_equal(small.active(), large.active())
    unit, pattern, pixels = large.active()
    names = {number: int(next(iter(kind.concepts))[1]) for kind, number in large.numbers.items()}
    found = np.zeros((5, 4), int)
    for one, number, count in zip(unit, pattern, pixels, strict=True):
        found[one, names[number]] = count
    assert np.array_equal(found, expected)
