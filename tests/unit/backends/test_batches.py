"""Out of memory: each stage goes on with smaller batches, and its tables are those of an undisturbed run."""

import io
import weakref
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from handmade import Channels, TinyTarget, png, write_probe
from PIL import Image

from dnd.backends.batches import BatchSize, in_batches
from dnd.backends.captioner import TransformersCaptioner
from dnd.backends.embedder import TransformersEmbedder
from dnd.backends.generator import DiffusersGenerator
from dnd.candidates import captions
from dnd.config.backends import CaptionSettings, EmbedderSettings, GeneratorSettings
from dnd.config.stages import ExemplarSettings, ScoreSettings
from dnd.io import schemas, tables
from dnd.io.rows import Concept
from dnd.io.store import Store
from dnd.io.streams import ahead
from dnd.selection import images, scores
from dnd.target import activations, exemplars
from dnd.target import topk as merging
from dnd.target.network import Target

MODELS = Path(__file__).parents[3] / "resources" / "shapeworld"
FITS = 5
SIZES = [32, 16, 8, 4, 4]  # as tried for nine items: 32 is halved until at most FITS fit


class Limited:
    """Calls a function, but has no memory for batches above FITS; remembers the sizes that it was asked for."""

    def __init__(self, function, size_of):
        self.function = function
        self.size_of = size_of
        self.sizes = []

    def __call__(self, *arguments, **named):
        self.sizes.append(self.size_of(*arguments, **named))
        if self.sizes[-1] > FITS:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore")
        return self.function(*arguments, **named)


def limited(target):
    """A target network whose device has little memory."""

    class Small(Channels):
        run = Limited(lambda x: Channels.forward(small, x), len)

        def forward(self, x):
            return self.run(x)

    small = Small().eval()
    return Target(small, target.preprocess, target.device)


@pytest.fixture
def probe(tmp_path):
    """Thirteen images with a square that grows, of other reds."""
    found = {}
    for i in range(13):
        pixels = np.zeros((32, 32, 3), np.uint8)
        pixels[4 : 12 + i, 5 : 14 + i] = (19 * i, 7, 200 - i)
        found[f"{i:02d}.png"] = png(pixels)
    return write_probe(tmp_path / "probe.parquet", found)


def same(found, expected):
    assert expected.num_rows > 0
    assert found.equals(expected)


def test_items_that_did_not_fit_are_tried_again_in_their_order(caplog):
    work = Limited(lambda part, shape: [item * 10 for item in part], lambda part, shape: shape)
    size = BatchSize(32, "captioner")
    found = list(in_batches(range(9), size, work))
    assert [(list(part), results) for part, results in found] == [
        ([0, 1, 2, 3], [0, 10, 20, 30]),
        ([4, 5, 6, 7], [40, 50, 60, 70]),
        ([8], [80]),
    ]
    assert work.sizes == [*SIZES, 4]  # the last item, too, in a batch of the one shape
    assert caplog.messages[-1] == (
        "captioner: out of memory, batches of 4 from now on: CUDA out of memory. Tried to allocate 2.00 GiB"
    )
    assert len(caplog.messages) == 3
    list(in_batches(range(3), size, work))
    assert work.sizes[-1] == 4
    assert len(caplog.messages) == 3


def test_the_size_is_halved_again_whenever_it_has_to_be():
    fails = iter([True, False, True, False, False])

    def work(part, shape):
        if next(fails):
            raise torch.OutOfMemoryError("full")
        return list(part), shape

    found = [result for _, result in in_batches(range(4), BatchSize(4, "x"), work)]
    assert found == [([0, 1], 2), ([2], 1), ([3], 1)]


def test_one_item_that_does_not_fit_is_a_clear_error():
    def work(part, shape):
        raise torch.OutOfMemoryError("CUDA out of memory.\nmore")

    with pytest.raises(RuntimeError, match=r"^scores: the device's memory does not hold a batch of one: CUDA out of"):
        list(in_batches(range(9), BatchSize(32, "scores"), work))


def test_a_batch_that_did_not_fit_is_let_go_before_the_cache_is_emptied(monkeypatch):
    """What still holds its tensors would keep their memory from the smaller batch."""
    tensors, alive = [], []

    def work(part, shape):
        batch = torch.zeros(shape)
        tensors.append(weakref.ref(batch))
        if shape > 1:
            raise torch.OutOfMemoryError("full")
        return float(batch.sum())

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: alive.append(tensors[-1]() is not None))
    assert [result for _, result in in_batches(range(2), BatchSize(4, "x"), work)] == [0.0, 0.0]
    assert alive == [False, False]


def test_other_errors_are_not_taken_for_want_of_memory():
    def work(part, shape):
        raise RuntimeError("a kernel's own")

    with pytest.raises(RuntimeError, match=r"^a kernel's own$"):
        list(in_batches(range(9), BatchSize(32, "x"), work))


def topk(target, probe, folder):
    """The merged TOPK table of one layer of two, from a pass over the probe."""
    folder.mkdir()
    controls = ["01.png", "05.png", "09.png"]
    parts = activations.run(target, {"colour": "colour", "total": "total"}, probe, controls, pooling="mean", k=8)
    for name, part, schema in zip("tsc", parts, schemas.PARTS, strict=True):
        tables.write(folder / name, part, schema)
    return pa.concat_tables(merging.merge(*([folder / name] for name in "tsc"), slug="colour", k=8))


def test_activations(probe, tmp_path):
    small = limited(TinyTarget(32))
    same(topk(small, probe, tmp_path / "small"), topk(TinyTarget(32), probe, tmp_path / "large"))
    # three images twice, to see whether the network is the same each time; two, to see how it calls layers
    assert small.model.run.sizes == [3, 3, 2, *SIZES, 4, 4]


def test_exemplars(probe):
    target = TinyTarget(32)
    top = {0: [f"{i:02d}.png" for i in range(1, 13)], 2: ["03.png", "04.png", "05.png"]}
    settings = ExemplarSettings(views_per_image=3)
    arguments = {"pooling": "max", "settings": settings}
    small = limited(target)
    same(
        exemplars.run(small, "colour", top, [probe], **arguments),
        exemplars.run(target, "colour", top, [probe], **arguments),
    )
    assert small.model.run.sizes[:6] == [2, *SIZES]
    assert set(small.model.run.sizes[5:]) == {4}  # the crops begin with the size that the whole images came to


def test_captions(probe, tmp_path):
    settings = CaptionSettings(model=str(MODELS / "captioner"))
    rows = [
        {"unit": 0, "rank": i, "image_id": f"{i:02d}.png", "box": None, "activation": 1.0, "heatmap": None}
        | {"heatmap_box": None}
        for i in range(9)
    ]
    shown = tables.table(rows, schemas.EXEMPLARS)
    captioner = TransformersCaptioner(settings)
    expected = captions.run(captioner, shown, [probe], settings, Store(tmp_path / "a"))
    captioner.model.generate = small = Limited(captioner.model.generate, lambda **named: len(named["pixel_values"]))
    same(captions.run(captioner, shown, [probe], settings, Store(tmp_path / "b")), expected)
    assert small.sizes == [*SIZES, 4]


def test_images(tmp_path):
    settings = GeneratorSettings(model=str(MODELS / "generator"), steps=2, images=9)
    generator = DiffusersGenerator(settings)
    expected = images.run(generator, ["red stars"], settings, Store(tmp_path / "a"))
    generator.pipeline = small = Limited(generator.pipeline, lambda **named: len(named["prompt"]))
    found = images.run(generator, ["red stars"], settings, Store(tmp_path / "b"))
    assert small.sizes == [20, 10, 5, 5]
    same(found.drop_columns("image"), expected.drop_columns("image"))
    for one, other in zip(found["image"].to_pylist(), expected["image"].to_pylist(), strict=True):
        pixels = [np.array(Image.open(io.BytesIO(data))).astype(int) for data in (one, other)]
        assert np.abs(pixels[0] - pixels[1]).max() <= 1  # another shape, other last bits


def test_scores(probe, tmp_path):
    target = TinyTarget(32)
    concepts = [
        Concept("n", "s", unit, i, concept, 2 - i, [], "captions")
        for unit in (0, 2)
        for i, concept in enumerate(("red stars", "rings"))
    ]
    drawn = [
        {
            "concept": concept,
            "sample": sample,
            "seed": 0,
            "key": "",
            "problem": None,
            "image": png(np.full((32, 32, 3), shade + 9 * sample)),
        }
        for concept, shade in (("red stars", 90), ("rings", 10))
        for sample in range(7)
    ]
    shown = [
        {"unit": unit, "rank": i, "image_id": f"{i:02d}.png", "box": None, "activation": 1.0, "heatmap": None}
        | {"heatmap_box": None}
        for unit in (0, 2)
        for i in range(8)
    ]
    tables.write(tmp_path / "topk.parquet", topk(target, probe, tmp_path / "parts"), schemas.TOPK)
    tables.write(tmp_path / "images.parquet", tables.table(drawn, schemas.IMAGES), schemas.IMAGES)
    embedder = TransformersEmbedder(EmbedderSettings(model=str(MODELS / "embedder")))

    def run(target):
        return scores.run(
            target,
            "colour",
            embedder,
            scores.DrawnShard(
                concepts,
                [tmp_path / "images.parquet"],
                tables.table(shown, schemas.EXEMPLARS),
                tmp_path / "topk.parquet",
                [probe],
            ),
            pooling="mean",
            weights=ScoreSettings(combination="image-products"),
        )

    expected = run(target)
    small = limited(target)
    embedder.model.vision_model.forward = tower = Limited(
        embedder.model.vision_model.forward, lambda **named: len(named["pixel_values"])
    )
    found = run(small)
    inexact = ("score", "image_similarity")  # of CLIP, whose kernels see another shape
    same(found.drop_columns(inexact), expected.drop_columns(inexact))
    for column in inexact:
        assert found[column].to_pylist() == pytest.approx(expected[column].to_pylist(), abs=1e-6)
    assert small.model.run.sizes[1:6] == tower.sizes[:5] == SIZES


def noted(count, asked):
    """Numbers, each of which is taken down when it is asked for."""
    for number in range(count):
        asked.append(number)
        yield number


def test_one_item_is_made_ahead():
    asked = []
    items = ahead(noted(4, asked))
    assert next(items) == 0
    assert list(items) == asked[1:] == [1, 2, 3]


def test_items_that_did_not_fit_are_not_made_again():
    asked = []
    work = Limited(lambda part, shape: part, lambda part, shape: shape)
    found = [result for _, result in in_batches(noted(6, asked), BatchSize(8, "x"), work)]
    assert found == [[0, 1, 2, 3], [4, 5]]
    assert asked == [0, 1, 2, 3, 4, 5]


def test_what_is_loaded_ahead_has_the_shape_of_its_batch():
    loaded = []

    def load(part, shape):
        loaded.append((list(part), shape))
        return [10 * item for item in part]

    work = Limited(lambda part, shape: part, lambda part, shape: shape)
    found = list(in_batches(range(6), BatchSize(8, "x"), work, load))
    assert found == [([0, 1, 2, 3], [0, 10, 20, 30]), ([4, 5], [40, 50])]
    assert loaded == [([0, 1, 2, 3, 4, 5], 8), ([0, 1, 2, 3], 4), ([4, 5], 4)]
