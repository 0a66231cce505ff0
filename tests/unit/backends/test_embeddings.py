"""Vectors that are kept: the same images are not embedded twice, and nothing else is taken for them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dnd.backends import embeddings
from dnd.backends.embedder import TransformersEmbedder
from dnd.backends.embeddings import StoredEmbedder
from dnd.config.backends import EmbedderSettings
from dnd.io.store import Store

MODEL = EmbedderSettings(model=str(Path(__file__).parents[3] / "resources/shapeworld/embedder"))


@pytest.fixture
def loads(monkeypatch):
    """The settings of every embedder that is loaded."""
    found = []

    def load(settings):
        found.append(settings)
        return TransformersEmbedder(settings)

    monkeypatch.setattr(embeddings, "TransformersEmbedder", load)
    return found


def squares(*levels):
    return [Image.new("RGB", (64, 64), (level, 0, 90)) for level in levels]


def test_what_was_embedded_is_found_again_without_the_model(tmp_path, loads):
    store = Store(tmp_path)
    first = StoredEmbedder(MODEL, store).embed(squares(0, 100, 200))
    assert np.array_equal(first, TransformersEmbedder(MODEL).embed(squares(0, 100, 200)))
    again = StoredEmbedder(MODEL, store).embed(squares(0, 100, 200))
    assert (again.dtype, again.tolist()) == (np.float32, first.tolist())
    assert len(loads) == 1


@pytest.mark.parametrize("others", [(0, 200, 100), (0, 100), (0, 100, 201)])
def test_other_images_are_embedded(tmp_path, loads, others):
    embedder = StoredEmbedder(MODEL, Store(tmp_path))
    embedder.embed(squares(0, 100, 200))
    assert np.array_equal(embedder.embed(squares(*others)), TransformersEmbedder(MODEL).embed(squares(*others)))
    assert len(loads) == 1


def test_a_damaged_item_is_made_again(tmp_path, loads):
    first = StoredEmbedder(MODEL, Store(tmp_path)).embed(squares(5))
    (path,) = (one for one in tmp_path.rglob("*") if one.is_file())
    path.write_bytes(path.read_bytes()[:-20])
    assert np.array_equal(StoredEmbedder(MODEL, Store(tmp_path)).embed(squares(5)), first)
    assert len(loads) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda item: b"",
        lambda item: item[:-3],
        lambda item: item[:-4],
        lambda item: item[: len(item) // 2],
        lambda item: bytes(len(item)),
        lambda item: b"\xff" * len(item),
    ],
)
def test_damaged_vectors_are_told_made_again_and_replaced(tmp_path, loads, caplog, damage):
    store = Store(tmp_path)
    first = StoredEmbedder(MODEL, store).embed(squares(5, 9))
    (path,) = (one for one in tmp_path.rglob("*") if one.is_file())
    store.put(path.name, damage(store.get(path.name)))
    assert np.array_equal(StoredEmbedder(MODEL, store).embed(squares(5, 9)), first)
    assert f"{path} is damaged" in caplog.text
    assert np.array_equal(StoredEmbedder(MODEL, store).embed(squares(5, 9)), first)
    assert len(loads) == 2


def test_another_model_s_vectors_are_not_taken(tmp_path, loads):
    store = Store(tmp_path)
    StoredEmbedder(MODEL, store).embed(squares(5))
    StoredEmbedder(MODEL.model_copy(update={"dtype": "bfloat16"}), store).embed(squares(5))
    assert [one.dtype for one in loads] == ["float32", "bfloat16"]


def test_groups_are_found_again_in_other_company(tmp_path, loads, monkeypatch):
    store, shown = Store(tmp_path), []
    prepared = TransformersEmbedder._inputs
    monkeypatch.setattr(
        TransformersEmbedder,
        "_inputs",
        lambda self, images, shape: shown.append(len(images)) or prepared(self, images, shape),
    )
    first = list(StoredEmbedder(MODEL, store).embed_groups([squares(0, 100), squares(200)]))
    again = list(StoredEmbedder(MODEL, store).embed_groups([squares(7), squares(200), squares(8, 9), squares(0, 100)]))
    assert shown == [3, 3]  # what is missing is embedded together
    assert [len(one) for one in again] == [1, 1, 2, 2]
    assert np.array_equal(again[1], first[1]) and np.array_equal(again[3], first[0])
    assert np.array_equal(np.concatenate(again), TransformersEmbedder(MODEL).embed(squares(7, 200, 8, 9, 0, 100)))


@pytest.mark.parametrize("kept", [[], [0], [3], [1, 2], [0, 1, 2, 3]])
def test_groups_come_in_their_order_whichever_are_kept(tmp_path, loads, kept):
    groups = [squares(*range(start, start + count)) for start, count in ((0, 40), (50, 1), (60, 31), (100, 70))]
    store = Store(tmp_path)
    for number in kept:
        StoredEmbedder(MODEL, store).embed(groups[number])
    found = list(StoredEmbedder(MODEL, store).embed_groups(iter(groups)))
    assert [len(one) for one in found] == [40, 1, 31, 70]
    images = [image for group in groups for image in group]
    assert np.array_equal(np.concatenate(found), TransformersEmbedder(MODEL).embed(images))
    assert len(loads) == len(kept) + (len(kept) < 4)


def test_no_group_needs_no_model(tmp_path, loads):
    assert list(StoredEmbedder(MODEL, Store(tmp_path)).embed_groups([])) == [] == loads


def test_a_group_is_there_before_the_last_is_asked_for(tmp_path):
    asked = []

    def groups():
        for level in range(0, 250, 10):
            asked.append(level)
            yield squares(*[level] * 32)

    found = TransformersEmbedder(MODEL).embed_groups(groups())
    next(found)
    assert len(asked) < 6
    assert len(list(found)) == 24
