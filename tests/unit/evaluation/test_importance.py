"""How much each unit of a layer adds to the network's answers, against sums by hand and captum's own."""

import numpy as np
import pytest
import torch
from captum.attr import LayerIntegratedGradients
from handmade import plain, png, write_probe
from tiny_models import one_thread  # noqa: F401
from torch import nn

from dnd.config.evaluation import ImportanceSettings
from dnd.config.targets import BasisSettings
from dnd.evaluation import importance
from dnd.io import schemas
from dnd.target.network import Target
from dnd.target.tokens import Told

SIDE = 4
WEIGHTS = torch.tensor([[1.0, -2.0, 0.5, 0.0], [0.0, 3.0, -1.0, 0.0]])


class Linear(nn.Module):
    """Layer ``units`` has four 1x1 filters, ``aside`` is read by nobody, ``fc`` is linear in their means."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.units = nn.Conv2d(3, 4, 1)
        self.aside = nn.AvgPool2d(1)
        self.fc = nn.Linear(4, 2)
        with torch.no_grad():
            self.fc.weight.copy_(WEIGHTS)
            self.fc.bias.copy_(torch.tensor([5.0, -5.0]))

    def forward(self, x):
        maps = self.units(x)
        self.aside(maps)
        return self.fc(maps.mean((2, 3)))


class Deep(nn.Module):
    """A network whose layer is followed by a ReLU in place, bent layers and a connection around them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.more = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.Tanh(), nn.Conv2d(6, 6, 1), nn.Sigmoid())
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        x = self.relu(self.conv(x))
        return self.fc((x + self.more(x)).mean((2, 3)))


class Tokens(nn.Module):
    """Two attention heads of two channels each between tokens and classes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.num_heads = 2
        self.embed = nn.Conv2d(3, 4, 2, 2)
        self.proj = nn.Linear(4, 3)

    def forward(self, x):
        return self.proj(self.embed(x).flatten(2).transpose(1, 2)).mean(1)


def target(model, **settings):
    return Target(model.eval().requires_grad_(False), plain(SIDE), torch.device("cpu"), **settings)


INPUTS = torch.rand(5, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def test_in_a_linear_network_a_unit_adds_its_weight_times_its_activation():
    model = Linear()
    with torch.no_grad():
        means, logits = model.units(INPUTS).mean((2, 3)), model(INPUTS)
    found, fall = importance.attributions(target(model), "units", INPUTS)
    np.testing.assert_allclose(found, WEIGHTS[logits.argmax(1)] * means, atol=1e-5)
    np.testing.assert_allclose(fall, (WEIGHTS[logits.argmax(1)] * means).sum(1), atol=1e-5)


@pytest.mark.parametrize("layer", ["conv", "relu", "more.0", "more", "fc"])
def test_attributions_add_up_to_what_the_layer_adds_to_the_logit(layer):
    found, fall = importance.attributions(target(Deep()), layer, INPUTS, steps=64)
    np.testing.assert_allclose(found.sum(1), fall, atol=2e-3)
    assert found.abs().sum() > 0.01


def test_attributions_equal_captums_of_a_layer():
    model = Deep()
    model.relu = nn.ReLU()  # captum does not copy what a ReLU changes in its place
    chosen = model(INPUTS).argmax(1)
    theirs = LayerIntegratedGradients(model, model.more[0]).attribute(
        INPUTS, baselines=torch.zeros_like(INPUTS), target=chosen, n_steps=64
    )
    ours, _ = importance.attributions(target(Deep()), "more.0", INPUTS, steps=64)
    with torch.no_grad():
        real, zero = (model.more[0](model.relu(model.conv(one))) for one in (INPUTS, torch.zeros_like(INPUTS)))
    # captum starts from the layer's output for a black image, we from zeros: both lines by a plain sum of gradients
    for start, expected in ((zero, theirs.sum((2, 3))), (torch.zeros_like(real), ours)):
        np.testing.assert_allclose(_by_hand(model, start, real, chosen), expected.detach(), atol=2e-3)


def _by_hand(model, start, real, chosen):
    """Integrated gradients of the last part of Deep with respect to ``more.0``, as a mean over 400 midpoints."""
    skipped = model.relu(model.conv(INPUTS)).detach()
    total = torch.zeros_like(real)
    for i in range(400):
        at = (start + (i + 0.5) / 400 * (real - start)).requires_grad_()
        logits = model.fc((skipped + model.more[1:](at)).mean((2, 3)))
        total += torch.autograd.grad(logits.gather(1, chosen[:, None]).sum(), at)[0]
    return ((real - start) * total / 400).sum((2, 3)).detach()


def test_heads_share_the_logit_between_them():
    model = Tokens()
    network = target(model, basis=BasisSettings(kind="heads"), told=Told("NTC"))
    found, fall = importance.attributions(network, "proj", INPUTS)
    assert found.shape == (5, 2)
    np.testing.assert_allclose(found.sum(1), fall, atol=1e-5)
    with torch.no_grad():
        tokens = model.embed(INPUTS).flatten(2).mean(2)
        weights = model.proj.weight[model(INPUTS).argmax(1)]
    np.testing.assert_allclose(found[:, 0], (tokens * weights)[:, :2].sum(1), atol=1e-5)


@pytest.fixture
def shard(tmp_path):
    rng = np.random.default_rng(0)
    images = {f"{i}.png": png(rng.integers(0, 256, (SIDE, SIDE, 3))) for i in range(10)}
    return write_probe(tmp_path / "p.parquet", images)


def run(model, layer, shard, batch=4, images=6, **settings):
    found = importance.run(target(model, **settings), layer, [shard], ImportanceSettings(images=images), batch)
    assert found.schema.equals(schemas.IMPORTANCE)
    return found


def test_a_layers_table_has_each_units_mean_size_and_spread(shard):
    found = run(Linear(), "units", shard).to_pylist()
    assert [row["unit"] for row in found] == [0, 1, 2, 3]
    assert all(row["images"] == 6 and row["note"] is None for row in found)
    assert found[3]["absolute"] == 0 and found[1]["absolute"] > 0  # the last one has no weight
    assert all(row["absolute"] >= abs(row["attribution"]) for row in found)
    summed = importance.summary(np.array([[1.0, -2.0], [3.0, 2.0]]))
    assert [(one.attribution, one.absolute, one.std) for one in summed] == [(2, 2, 1), (0, 2, 2)]


def test_a_layers_table_does_not_depend_on_the_batch(shard):
    one, four = (run(Linear(), "units", shard, batch=size).to_pandas() for size in (1, 4))
    np.testing.assert_allclose(one["attribution"], four["attribution"], atol=1e-6)


def test_a_layer_that_nothing_reads_counts_nothing_and_says_so(shard, caplog):
    found = run(Linear(), "aside", shard).to_pylist()
    assert {(row["attribution"], row["absolute"], row["note"]) for row in found} == {(0, 0, importance.DANGLING)}
    assert importance.DANGLING in caplog.text


def test_units_without_a_definition_have_no_figures(shard, tmp_path):
    np.save(tmp_path / "rows.npy", np.eye(4, dtype=np.float32)[:2])
    basis = BasisSettings(kind="directions", path=tmp_path / "rows.npy")
    found = run(Linear(), "units", shard, basis=basis).to_pylist()
    assert [(row["attribution"], row["note"]) for row in found] == [(None, importance.NO_BASIS)] * 2
