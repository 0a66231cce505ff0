"""Images that labels are judged by: renders, drawn pictures, and what the network makes of them."""

import numpy as np
import torch
from handmade import plain, png, write_probe
from PIL import Image
from tiny_models import one_thread  # noqa: F401
from torch import nn

from dnd.config.evaluation import EvaluationSettings
from dnd.evaluation import judged_images
from dnd.evaluation.judged_images import HeldOut
from dnd.target.network import Target

SIDE = 4
NETWORK = Target(nn.Sequential(nn.Identity()), plain(SIDE), torch.device("cpu"))
"""Its units are the three colours."""


def of_colour(red, green=0, blue=0):
    return np.full((SIDE, SIDE, 3), (red, green, blue), np.uint8)


def embed(images):
    return np.array([[np.asarray(image)[0, 0, 0]] for image in images], np.float32)


def test_held_out_images_are_seen_by_network_and_embedder_in_their_order(tmp_path):
    path = write_probe(tmp_path / "p.parquet", {f"{i}.png": png(of_colour(51 * i, 255)) for i in range(5)})
    seen = judged_images.held_out(NETWORK, "0", embed, [path], "mean")
    np.testing.assert_allclose(seen.activations[:, 0], np.arange(5) / 5, atol=1e-6)
    assert seen.vectors[:, 0].tolist() == [0, 51, 102, 153, 204]
    assert seen.names == [f"{i}.png" for i in range(5)]
    assert seen.live.tolist() == [True, False, False]
    assert seen.best(0).tolist() == [4, 3, 2, 1, 0]


def test_of_equally_exciting_images_the_first_are_the_exemplars():
    seen = HeldOut(np.zeros((12, 1), np.float32), np.zeros((12, 1), np.float32))
    assert seen.best(0).tolist() == list(range(judged_images.EXEMPLARS))


def test_each_label_gets_what_its_own_pictures_excite():
    labelled = [("a", [Image.fromarray(of_colour(255))] * 2), ("none", []), ("b", [Image.fromarray(of_colour(0, 255))])]
    found = judged_images.excited(NETWORK, "0", labelled, "max")
    assert {label: values.tolist() for label, values in found.items()} == {
        "a": [[1, 0, 0]] * 2,
        "b": [[0, 1, 0]],
    }


def test_labels_are_drawn_as_the_settings_say():
    assert judged_images.label_pictures(["stars"], EvaluationSettings(), []) is None
    rendered = dict(judged_images.label_pictures(["stars"], EvaluationSettings(renderer="shapeworld", images=2), []))
    assert len(rendered["stars"]) == 2


def test_renders_show_what_the_label_denotes_and_nothing_for_other_labels():
    shown = dict(judged_images.renders(["red circles", "happiness"], 6))
    assert shown["happiness"] == []
    assert len(shown["red circles"]) == 6
    centre = np.mean([np.asarray(image)[30:34, 30:34].mean((0, 1)) for image in shown["red circles"]], axis=0)
    assert centre[0] > 1.5 * centre[2]
    again = dict(judged_images.renders(["red circles"], 6))["red circles"]
    assert all(a.tobytes() == b.tobytes() for a, b in zip(shown["red circles"], again, strict=True))
    assert len({image.tobytes() for image in again}) == 6
