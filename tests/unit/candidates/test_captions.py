import numpy as np
import pytest
from handmade import png, write_probe

from dnd.candidates import captions
from dnd.config.backends import CaptionSettings
from dnd.io import pictures, schemas, tables
from dnd.io.store import Store


class Sizes:
    """Captions an image by its size and counts those it was shown."""

    def __init__(self, fail_after=None):
        self.seen = 0
        self.fail_after = fail_after

    def captions(self, images):
        for image in images:
            if self.seen == self.fail_after:
                raise KeyboardInterrupt
            self.seen += 1
            yield f"{image.width} by {image.height}"


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
    return tables.table(rows, schemas.EXEMPLARS)


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


@pytest.mark.parametrize(
    "change",
    [
        *({"max_new_tokens": 7}, {"min_length": 2}, {"prompt": "a photo of"}, {"dtype": "float16"}, {"revision": "v2"}),
        *({"model": "owner/other"}, {"trust_remote_code": True}),
    ],
)
def test_the_key_holds_what_changes_a_caption(change):
    settings = CaptionSettings(model="owner/model")
    assert captions.caption_key(settings.model_copy(update=change), "a", None) != captions.caption_key(
        settings, "a", None
    )


def test_the_key_leaves_out_where_and_how_fast_a_server_is_and_what_auto_means_there(monkeypatch):
    def name(**values):
        return captions.caption_key(CaptionSettings(model="seer", base_url="http://a", **values), "a", (0, 0, 1, 1))

    there = captions.caption_key(
        CaptionSettings(model="seer", base_url="http://b", api_key_env="KEY", concurrency=2), "a", (0, 0, 1, 1)
    )
    assert there == name() == name(dtype="auto")
    here = CaptionSettings(model="seer", dtype="auto")
    on_cpu = captions.caption_key(here, "a", None)
    assert on_cpu == captions.caption_key(here.model_copy(update={"dtype": "float32"}), "a", None)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert captions.caption_key(here, "a", None) != on_cpu


def test_an_empty_caption_is_asked_for_again(setting):
    probe, table, store, settings = setting

    class Silent(Sizes):
        def captions(self, images):
            return ["" for _ in super().captions(images)]

    assert captions.run(Silent(), table, [probe], settings, store)["caption"].to_pylist() == [""] * 3
    again = Sizes()
    assert "6 by 8" in captions.run(again, table, [probe], settings, store)["caption"].to_pylist()
    assert again.seen == 3


@pytest.mark.parametrize("item", [b"no JSON", b'""', b"3", b"null", b'["6 by 8"]', b"\xff"])
def test_a_damaged_caption_is_told_written_again_and_replaced(setting, caplog, item):
    probe, table, store, settings = setting
    first = captions.run(Sizes(), table, [probe], settings, store)
    path = next(path for path in sorted(store.folder.rglob("*")) if path.is_file())
    store.put(path.name, item)
    again = Sizes()
    assert captions.run(again, table, [probe], settings, store).equals(first)
    assert again.seen == 1
    assert f"{path} is damaged" in caplog.text
    assert captions.run(Sizes(fail_after=0), table, [probe], settings, store).equals(first)


def test_a_caption_that_was_stored_with_half_a_pair_can_be_written(setting, tmp_path):
    probe, table, store, settings = setting
    captions.run(Sizes(), table, [probe], settings, store)
    for path in list(store.folder.rglob("*")):
        if path.is_file():
            store.put(path.name, b'"a \\udfff star"')
    found = captions.run(Sizes(fail_after=0), table, [probe], settings, store)
    tables.write(tmp_path / "captions.parquet", found, schemas.CAPTIONS)
    assert found["caption"].to_pylist() == ["a ? star"] * 3


def test_a_killed_job_resumes_where_it_stopped(setting, tmp_path):
    _, _, store, settings = setting
    images = {f"{i:03d}.png": png(np.full((4, 4, 3), i)) for i in range(64)}
    probe = write_probe(tmp_path / "many.parquet", images)
    table = exemplars([(name, None) for name in images])
    with pytest.raises(KeyboardInterrupt):
        captions.run(Sizes(fail_after=40), table, [probe], settings, store)
    rest = Sizes()
    assert captions.run(rest, table, [probe], settings, store).num_rows == 64
    assert rest.seen == 24


def test_units_without_exemplars_have_no_captions(setting):
    probe, _, store, settings = setting
    assert captions.run(Sizes(), exemplars([]), [probe], settings, store).equals(schemas.CAPTIONS.empty_table())


def test_pictures_that_have_a_caption_are_not_opened(setting, monkeypatch):
    probe, table, store, settings = setting
    captions.run(Sizes(), table.slice(0, 1), [probe], settings, store)
    opened, decode = [], pictures.decode
    monkeypatch.setattr(pictures, "decode", lambda data: opened.append(data) or decode(data))
    captions.run(Sizes(), table, [probe], settings, store)
    assert len(opened) == 2  # the part of the first, and the second
    captions.run(Sizes(), table, [probe], settings, store)
    assert len(opened) == 2
