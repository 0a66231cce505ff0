import io

import pytest
from PIL import Image

from dnd.backends.generator import BATCH, Drawn
from dnd.config.backends import GeneratorSettings
from dnd.io.store import Store
from dnd.selection import images

SETTINGS = GeneratorSettings(model="owner/model", images=5)


class Painter:
    """Paints the seed and counts the calls."""

    def __init__(self, fail_after=None):
        self.drawn = []
        self.fail_after = fail_after

    def draw(self, prompts, seeds):
        if self.fail_after is not None and len(self.drawn) >= self.fail_after:
            raise KeyboardInterrupt
        assert len(prompts) <= BATCH
        self.drawn += zip(prompts, seeds, strict=True)
        return [Drawn(Image.new("RGB", (2, 2), (seed % 256, seed // 256 % 256, 0)), None) for seed in seeds]


class Failing(Painter):
    """Draws black images of prompts with a word, and has those with another one flagged."""

    def __init__(self, black=None, flagged=None):
        super().__init__()
        self.words = {"black": black, "flagged": flagged}

    def draw(self, prompts, seeds):
        problems = [
            next((problem for problem, word in self.words.items() if word and word in prompt), None)
            for prompt in prompts
        ]
        return [
            one if problem is None else Drawn(Image.new("RGB", (2, 2)), problem)
            for one, problem in zip(super().draw(prompts, seeds), problems, strict=True)
        ]


def test_each_image_has_a_seed_of_its_own_that_does_not_depend_on_company(tmp_path):
    alone, together = Painter(), Painter()
    images.run(alone, ["red objects"], SETTINGS, Store(tmp_path / "a"))
    images.run(together, ["stars", "red objects"], SETTINGS, Store(tmp_path / "b"))
    assert set(alone.drawn) <= set(together.drawn)
    assert len({seed for _, seed in together.drawn}) == 10


@pytest.mark.parametrize(
    "damage", [lambda png: b"", lambda png: b"x", lambda png: png[:40], lambda png: png[:-9] + b"x" * 9]
)
def test_a_damaged_picture_is_told_drawn_again_and_replaced(tmp_path, caplog, damage):
    store = Store(tmp_path)
    first = images.run(Painter(), ["stars"], SETTINGS, store)
    row = first.to_pylist()[2]
    store.put(row["key"], damage(row["image"]))
    again = Painter()
    assert images.run(again, ["stars"], SETTINGS, store).equals(first)
    assert [seed for _, seed in again.drawn] == [row["seed"]]
    assert f"{row['key']} is damaged" in caplog.text
    assert images.run(None, ["stars"], SETTINGS, store).equals(first)


def test_prompts_follow_the_template(tmp_path):
    painter = Painter()
    images.run(painter, ["stars"], SETTINGS.model_copy(update={"prompt": "A photo of {concept}"}), Store(tmp_path))
    assert {prompt for prompt, _ in painter.drawn} == {"A photo of stars"}


def test_a_concept_is_drawn_once_and_a_killed_job_resumes(tmp_path):
    store = Store(tmp_path)
    concepts = [f"concept {i}" for i in range(12)]
    with pytest.raises(KeyboardInterrupt):
        images.run(Painter(fail_after=2 * BATCH), concepts, SETTINGS, store)
    rest = Painter()
    table = images.run(rest, concepts, SETTINGS, store)
    assert len(rest.drawn) == 12 * 5 - 2 * BATCH
    assert table.num_rows == 60
    assert images.run(None, concepts, SETTINGS, store).equals(table)


def test_what_another_job_draws_meanwhile_is_not_drawn_again(tmp_path):
    store, concepts, other = Store(tmp_path), [f"concept {i}" for i in range(12)], Painter()

    class Slow(Painter):
        def draw(self, prompts, seeds):
            drawn = super().draw(prompts, seeds)
            images.run(other, concepts[:9], SETTINGS, store, order="another job")
            return drawn

    slow = Slow()
    table = images.run(slow, concepts, SETTINGS, store)
    assert BATCH <= len(slow.drawn) <= BATCH + 3 * 5  # its first batch, and what the other does not want
    assert table.equals(images.run(Painter(), concepts, SETTINGS, Store(tmp_path / "alone")))


def test_jobs_draw_in_orders_of_their_own(tmp_path):
    first, second = Painter(), Painter()
    concepts = [f"concept {i}" for i in range(12)]
    images.run(first, concepts, SETTINGS, Store(tmp_path / "a"), order="a")
    images.run(second, concepts, SETTINGS, Store(tmp_path / "b"), order="b")
    assert sorted(first.drawn) == sorted(second.drawn)
    assert first.drawn != second.drawn


def test_table_holds_the_pictures(tmp_path):
    row = images.run(Painter(), ["stars"], SETTINGS, Store(tmp_path)).to_pylist()[3]
    assert (row["concept"], row["sample"]) == ("stars", 3)
    pixel = Image.open(io.BytesIO(row["image"])).getpixel((0, 0))
    assert pixel == (row["seed"] % 256, row["seed"] // 256 % 256, 0)


def test_settings_change_the_key_but_the_number_of_images_does_not():
    name = images.image_key("stars", 0, SETTINGS)
    assert images.image_key("stars", 0, SETTINGS.model_copy(update={"images": 9})) == name
    for change in (
        *({"steps": 3}, {"guidance": 1.0}, {"prompt": "{concept}"}, {"model": "other/model"}, {"size": 64}),
        *({"scheduler": "LCMScheduler"}, {"variant": "fp16"}, {"arguments": {"eta": 0.5}}, {"dtype": "bfloat16"}),
        *({"revision": "v2"}, {"trust_remote_code": True}),
    ):
        assert images.image_key("stars", 0, SETTINGS.model_copy(update=change)) != name
    assert images.image_key("stars", 0, SETTINGS.model_copy(update={"offload": True})) == name
    assert 0 <= images.seed_of(name) < 2**63


def test_parts_cover_every_concept_once():
    concepts = [f"concept {i}" for i in range(50)]
    parts = [[one for one in concepts if images.part_of(one, 3) == part] for part in range(3)]
    assert sorted(one for part in parts for one in part) == sorted(concepts)
    assert all(parts)


def test_the_key_holds_the_precision_that_auto_comes_to(monkeypatch):
    def names():
        return [
            images.image_key("stars", 0, SETTINGS.model_copy(update={"dtype": dtype}))
            for dtype in ("auto", "float32", "float16")
        ]

    auto, single, half = names()
    assert auto == single != half
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    auto, *others = names()
    assert others == [single, half] and auto == half


def test_images_with_a_problem_are_in_the_table_and_not_in_the_store(tmp_path):
    store, failing = Store(tmp_path), Failing(black="stars", flagged="rings")
    table = images.run(failing, ["stars", "rings", "grass"], SETTINGS, store).to_pylist()
    assert {(row["concept"], row["problem"]) for row in table} == {
        *(("stars", "black"), ("rings", "flagged"), ("grass", None))
    }
    better = Painter()
    again = images.run(better, ["stars", "rings", "grass"], SETTINGS, store).to_pylist()
    assert len(better.drawn) == 10  # those of grass are kept
    assert all(row["problem"] is None for row in again)


def test_a_model_that_draws_only_black_images_is_given_up_with_advice(tmp_path):
    settings = SETTINGS.model_copy(update={"dtype": "float16"})
    failing, concepts = Failing(black="concept"), [f"concept {i}" for i in range(50)]
    with pytest.raises(images.ImagesError) as error:
        images.run(failing, concepts, settings, Store(tmp_path), section="recipes.mine.generator")
    assert len(failing.drawn) == images.PATIENCE < 50 * 5
    assert str(error.value) == (
        "recipes.mine.generator: all 100 images that owner/model drew are black: half precision overflows in it; "
        "set recipes.mine.generator.dtype: float32 (or bfloat16)"
    )
    with pytest.raises(images.ImagesError, match=r"all 5 images .* are black, in float32, too"):
        images.run(Failing(black="stars"), ["stars"], SETTINGS, Store(tmp_path))


def test_a_model_all_of_whose_images_are_flagged_is_given_up_a_concept_is_not(tmp_path):
    failing, concepts = Failing(flagged="concept"), [f"concept {i}" for i in range(50)]
    with pytest.raises(images.ImagesError, match=r"^generator: all 100 images that owner/model drew are flagged"):
        images.run(failing, concepts, SETTINGS, Store(tmp_path))
    few = images.run(Failing(flagged="concept"), concepts[:2], SETTINGS, Store(tmp_path))
    assert few["problem"].to_pylist() == ["flagged"] * 10


def test_one_usable_image_among_those_of_the_store_is_enough(tmp_path):
    store, concepts = Store(tmp_path), [f"concept {i}" for i in range(50)]
    images.run(Painter(), ["grass"], SETTINGS, store)
    table = images.run(Failing(black="concept"), ["grass", *concepts], SETTINGS, store)
    assert table["problem"].to_pylist().count("black") == 250
