import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from dnd.backends.embedder import Embedder
from dnd.backends.messages import Answer
from dnd.candidates import look_alikes
from dnd.candidates.concepts import propose, unit_captions
from dnd.candidates.questions import UnitCaptions
from dnd.config.stages import ConceptSettings
from dnd.io import schemas, tables
from dnd.io.rows import Controls

COLOURS = {"aa": (250, 0, 0), "bb": (240, 10, 0), "cc": (200, 90, 0), "dd": (0, 0, 250), "ee": (0, 250, 0)}


class Colours(Embedder):
    """Embeds an image as its mean colour."""

    def embed(self, images):
        means = np.stack([np.asarray(image, np.float32).mean((0, 1)) for image in images])
        return means / np.linalg.norm(means, axis=1, keepdims=True)


@pytest.fixture
def found(tmp_path):
    """A function that finds the look-alikes of unit 3, whose exemplar is the reddest image, among all five."""

    def run(activations, count=2, exemplars=(("aa", None),)):
        rows = []
        for name, colour in COLOURS.items():
            file = io.BytesIO()
            Image.new("RGB", (8, 8), colour).save(file, "PNG")
            rows.append(
                {"image_id": name, "digest": name * 32, "width": 8, "height": 8, "label": None}
                | {"image": file.getvalue()}
            )
        tables.write(tmp_path / "probe.parquet", tables.table(rows, schemas.PROBE), schemas.PROBE)
        shown = [
            {"unit": 3, "rank": rank, "image_id": name, "box": box, "activation": 1.0}
            | {"heatmap": None, "heatmap_box": None}
            for rank, (name, box) in enumerate(exemplars)
        ]
        written = []

        def write(images):
            written.extend(images.to_pylist())
            captions = [row | {"caption": f"picture {row['image_id']}"} for row in images.to_pylist()]
            return tables.table(captions, schemas.CAPTIONS)

        table = look_alikes.run(
            Colours(),
            write,
            exemplars=tables.table(shown, schemas.EXEMPLARS),
            topk=[Controls(3, None, activations), Controls(8, None, activations)],
            controls=list(COLOURS),
            shards=[tmp_path / "probe.parquet"],
            count=count,
        )
        assert sorted(row["image_id"] for row in written) == sorted(set(table["image_id"].to_pylist()))
        return [(row["unit"], row["rank"], row["image_id"], row["caption"]) for row in table.to_pylist()]

    return run


def test_look_alikes_resemble_the_exemplars_and_excite_the_unit_less_than_the_mean(found):
    # the mean is 4: bb excites the unit, and aa is the exemplar
    assert found([9, 8, 1, 1, 1]) == [(3, 0, "cc", "picture cc"), (3, 1, "dd", "picture dd")]
    assert found([0, 0, 1, 9, 9], count=5) == [(3, 0, "bb", "picture bb"), (3, 1, "cc", "picture cc")]


def test_an_image_without_a_finite_activation_is_no_look_alike(found):
    assert [row[2] for row in found([9, np.nan, 1, 1, 9], count=5)] == ["cc", "dd"]
    assert found([np.nan] * 5) == []


def test_part_of_an_image_is_an_exemplar_as_well(found):
    assert [row[2] for row in found([1, 1, 1, 9, 9], exemplars=(("bb", (0, 0, 4, 4)),))] == ["aa", "cc"]


def test_captions_of_look_alikes_stand_in_the_contrastive_prompt_only():
    exemplars = pa.Table.from_pylist(
        [{"unit": 3, "rank": 0, "image_id": "aa", "box": None}],
        schema=pa.schema([schemas.EXEMPLARS.field(i) for i in range(4)]),
    )
    captions = tables.table([{"image_id": "aa", "box": None, "caption": "red star"}], schemas.CAPTIONS)
    rows = [
        {"unit": 3, "rank": i, "image_id": "x", "caption": text} for i, text in enumerate(["red\nring", "", "disc"])
    ]
    units = unit_captions("n", "s", exemplars, captions, tables.table(rows, schemas.LOOK_ALIKES))
    assert units == [UnitCaptions("n", "s", 3, ["red star"], ["red\nring", "", "disc"])]
    asked = []

    def ask(requests):
        asked.extend(request.messages[-1]["content"] for request in requests)
        return [Answer("stars")] * len(requests)

    prompt = "config/prompts/concept-contrast.yaml"
    _, answers = propose(units, ask, ConceptSettings(samples=1, look_alikes=3, prompts=[prompt]))
    assert asked == [
        "red star",
        "These excite the unit:\nred star\nThese do not:\nred ring\ndisc",
    ]
    assert answers["source"].to_pylist() == ["captions", "contrast"]
    asked.clear()
    propose([UnitCaptions("n", "s", 3, ["red star"])], ask, ConceptSettings(samples=1, look_alikes=3, prompt=prompt))
    assert asked == ["These excite the unit:\nred star"]


def test_a_prompt_with_look_alikes_needs_some():
    with pytest.raises(ValueError, match=r"concept-contrast\.yaml: 'others' is undefined"):
        propose([], lambda _: [], ConceptSettings(prompts=["config/prompts/concept-contrast.yaml"]))


def test_look_alikes_are_similar_and_excite_less_than_the_mean():
    images = np.array([[1.0, 0], [1, 0.1], [1, 0.2], [0, 1], [1, 0.3]])
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    activations = np.array([9.0, 8, 0, 0, 1])
    found = look_alikes.nearest(images[:2], images, activations, 2)
    assert found.tolist() == [2, 4]  # 3 is unlike, 0 and 1 are the exemplars
    excluded = np.array([False, False, True, False, False])
    assert look_alikes.nearest(images[:2], images, activations, 5, excluded).tolist() == [4, 3]


def test_equal_look_alikes_are_taken_in_order():
    images = np.tile([1.0, 0.0], (5, 1))
    assert look_alikes.nearest(images[:1], images, np.array([5.0, 0, 0, 0, 0]), 3).tolist() == [1, 2, 3]
