import numpy as np
import pytest
from handmade import png, write_probe

from dnd import captions, tables
from dnd.backends.captioner import BATCH
from dnd.settings import CaptionSettings
from dnd.store import Store


class Sizes:
    """Captions an image by its size and counts the calls."""

    def __init__(self, fail_after=None):
        self.seen = 0
        self.fail_after = fail_after

    def captions(self, images):
        if self.fail_after is not None and self.seen >= self.fail_after:
            raise KeyboardInterrupt
        self.seen += len(images)
        return [f"{image.width} by {image.height}" for image in images]


@pytest.fixture
def setting(tmp_path):
    probe = write_probe(tmp_path / "p.parquet", {"a.png": png(np.zeros((8, 6, 3))), "b.png": png(np.ones((8, 6, 3)))})
    views = [("a.png", None), ("b.png", [1, 2, 4, 7]), ("a.png", None), ("a.png", [0, 0, 5, 5])]
    return probe, exemplars(views), Store(tmp_path / "store"), CaptionSettings(model="owner/model")


def exemplars(views):
    rows = [
        {"unit": i, "rank": 0, "image_id": name, "box": box, "activation": 1.0, "heatmap": None, "heatmap_box": None}
        for i, (name, box) in enumerate(views)
    ]
    return tables.table(rows, tables.EXEMPLARS)


def test_each_distinct_exemplar_is_captioned_once(setting):
    probe, table, store, settings = setting
    captioner = Sizes()
    rows = captions.run(captioner, table, [probe], settings, store).to_pylist()
    assert {(row["image_id"], tuple(row["box"] or ())): row["caption"] for row in rows} == {
        ("a.png", ()): "6 by 8",
        ("a.png", (0, 0, 5, 5)): "5 by 5",
        ("b.png", (1, 2, 4, 7)): "3 by 5",
    }
    assert captioner.seen == 3


def test_finished_captions_are_not_made_again(setting):
    probe, table, store, settings = setting
    first = captions.run(Sizes(), table, [probe], settings, store)
    again = Sizes(fail_after=0)
    assert captions.run(again, table, [probe], settings, store).equals(first)
    assert again.seen == 0


def test_other_settings_make_other_captions(setting):
    probe, table, store, settings = setting
    captions.run(Sizes(), table, [probe], settings, store)
    again = Sizes()
    captions.run(again, table, [probe], settings.model_copy(update={"max_new_tokens": 7}), store)
    assert again.seen == 3


def test_a_killed_job_resumes_where_it_stopped(setting, tmp_path):
    _, _, store, settings = setting
    images = {f"{i:03d}.png": png(np.full((4, 4, 3), i)) for i in range(2 * BATCH)}
    probe = write_probe(tmp_path / "many.parquet", images)
    table = exemplars([(name, None) for name in images])
    with pytest.raises(KeyboardInterrupt):
        captions.run(Sizes(fail_after=BATCH), table, [probe], settings, store)
    rest = Sizes()
    assert captions.run(rest, table, [probe], settings, store).num_rows == 2 * BATCH
    assert rest.seen == BATCH
