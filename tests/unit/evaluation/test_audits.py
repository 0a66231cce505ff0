"""Audits on a network that classifies by the mean of its channels, so that every figure can be worked out by hand."""

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
import torch
from handmade import plain, png, write_probe
from tiny_models import one_thread  # noqa: F401
from torch import nn

from dnd.config.evaluation import AuditSettings
from dnd.config.targets import BasisSettings
from dnd.evaluation import audits
from dnd.evaluation.audits import AuditedUnit
from dnd.io import schemas, tables
from dnd.target.interventions import silenced, without_directions
from dnd.target.network import Target
from dnd.target.outputs import TargetError
from dnd.target.tokens import Told

SIDE = 8
COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}


class ByColour(nn.Module):
    """Layer ``colour`` has the units red, green, blue and two idle ones; the outputs are blue, green, red."""

    def __init__(self):
        super().__init__()
        self.colour = nn.Identity()
        self.relu = nn.ReLU(inplace=True)  # what follows a layer may change its output in its place

    def forward(self, x):
        units = self.relu(self.colour(torch.cat([x, torch.zeros_like(x[:, :2])], 1)))
        return units.mean((2, 3))[:, [2, 1, 0]] * 2.0


def target(**settings):
    return Target(ByColour().eval(), plain(SIDE), torch.device("cpu"), **settings)


@pytest.fixture
def probe(tmp_path):
    """Two images of each colour, the second half as bright."""
    images = {
        f"{name}-{i}.png": png(np.full((SIDE, SIDE, 3), colour, float) / (i + 1))
        for name, colour in COLOURS.items()
        for i in range(2)
    }
    path = write_probe(tmp_path / "probe.parquet", images)
    rows = tables.read(path, schemas.PROBE)
    labels = pa.array([name.split("-")[0] for name in rows["image_id"].to_pylist()], pa.string())
    tables.write(path, rows.set_column(rows.schema.get_field_index("label"), "label", labels), schemas.PROBE)
    return path


def described(*labels):
    return [AuditedUnit(i, label, None if label else "dead") for i, label in enumerate(labels)]


LABELS = described("Red things", "green leaves", "the blue sky", None, None)


def run(probe, network=None, batch=4, **settings):
    """Rows of an audit, of the units for red unless it says which."""
    settings = settings if "units" in settings else {"query": "red"} | settings
    found = audits.run(
        "a", AuditSettings(row="r", layer="colour", **settings), network or target(), LABELS, [probe], batch
    )
    assert found.schema.equals(schemas.AUDITS)
    return audits.rows_of(found)


def by_class(rows, control=None):
    return {row.class_: row for row in rows if row.control == control}


def test_a_query_finds_whole_words_in_any_case():
    assert audits.matches("a Red, striped star", "star RED")
    assert not audits.matches("red stars", "red star")
    assert not audits.matches("reddish star", "red")
    assert audits.matches("rings", "red star | rings")
    assert not audits.matches(None, "red")
    assert not audits.matches("abc", "a.*")  # nothing of a query is a pattern
    assert audits.matches("fishing, boats", "fishing")


def test_silencing_the_red_unit_costs_the_red_images_and_no_others(probe):
    found = by_class(run(probe))
    assert [found[name].units for name in COLOURS] == [[0]] * 3
    assert {name: (row.correct_before, row.correct_after) for name, row in found.items()} == {
        None: (6, 4),
        "red": (2, 0),
        "green": (2, 2),
        "blue": (2, 2),
    }
    red = found["red"]
    # logits 0, 0, 2 and 0, 0, 127/255 x 2 become 0, 0, 0
    bright, dim = 2.0, 2 * 127 / 255
    before = np.mean([np.log(2 + np.exp(logit)) - logit for logit in (bright, dim)])
    assert red.loss_before == pytest.approx(before, abs=1e-6)
    assert red.loss_after == pytest.approx(np.log(3), abs=1e-6)
    assert red.logit_change == pytest.approx(-(bright + dim) / 2, abs=1e-6)
    assert (red.accuracy_change, red.accuracy_low, red.accuracy_high) == (-1, -1, -1)
    assert red.logit_low == pytest.approx(-bright, abs=1e-6) and red.logit_high == pytest.approx(-dim, abs=1e-6)
    assert found["green"].logit_change == 0 and found["green"].loss_change == 0


def test_controls_are_other_units_that_do_something_the_same_in_every_run(probe):
    rows = run(probe, controls=3)
    chosen = {row.control: row.units for row in rows}
    assert chosen.keys() == {None, 0, 1, 2} and chosen[None] == [0]
    assert all(set(units) <= {1, 2} and len(units) == 1 for draw, units in chosen.items() if draw is not None)
    assert rows == run(probe, controls=3)
    assert all(by_class(rows, draw)["red"].correct_after == 2 for draw in range(3))


def test_controls_are_fewer_where_there_are_no_more():
    assert audits.controls(3, 5, {0, 1, 2}, 0) == [3, 4]
    assert {tuple(audits.controls(2, 50, {7}, draw)) for draw in range(5)} != {(0, 1)}


def test_units_by_number_are_silenced_together(probe):
    found = by_class(run(probe, units="1,0", controls=0))
    assert found[None].units == [0, 1] and found[None].correct_after == 2  # of equal logits the first wins
    assert {name: found[name].correct_after for name in COLOURS} == {"blue": 2, "green": 0, "red": 0}


def test_a_query_without_matches_silences_nothing_and_says_so(probe, caplog):
    assert run(probe, query="purple") == []
    assert "no label matches 'purple'" in caplog.text


def test_results_do_not_depend_on_the_batch(probe):
    one, four = (run(probe, batch=size) for size in (1, 4))
    assert one == four


def test_without_labels_the_networks_own_answers_are_the_truth(tmp_path):
    path = write_probe(tmp_path / "p.parquet", {"a.png": png(np.full((SIDE, SIDE, 3), COLOURS["red"]))})
    with pytest.raises(ValueError, match=r"audits\.a: no image of the probe has a label: set the probe's `label`"):
        run(path)
    found = by_class(run(path, truth="predicted"))
    assert found["2"].correct_before == 1 and found["2"].correct_after == 0


def test_labels_become_outputs_by_name_by_number_or_by_order():
    assert audits.class_numbers(["b", "a"], 2, None) == {"a": 0, "b": 1}
    assert audits.class_numbers(["b"], 2, ["b", "a"]) == {"b": 0}
    assert audits.class_numbers(["3", "10"], 11, None) == {"3": 3, "10": 10}
    for labels, outputs, names, problem in (
        (["a", "b"], 3, None, "2 labels and the network 3 outputs: set `classes`"),
        (["c"], 2, ["a", "b"], "label 'c' of the probe is none of the classes"),
        (["7"], 5, None, "label 7 of the probe is none of the network's 5 outputs"),
        (["a"], 3, ["a", "b"], "2 names of classes for 3 outputs"),
    ):
        with pytest.raises(ValueError, match=problem):
            audits.class_numbers(labels, outputs, names)


def test_names_of_classes_are_read_from_a_file(probe, tmp_path):
    (tmp_path / "classes.txt").write_text("\ufeffred\ngreen\nblue\n", encoding="utf-8")  # not the network's order
    found = by_class(run(probe, classes=tmp_path / "classes.txt"))
    assert found["red"].correct_before == 0 and found["green"].correct_before == 2


def test_fields_are_the_columns_of_the_table():
    assert [field.rstrip("_") for field in audits.Audit._fields] == schemas.AUDITS.names


def test_losses_are_cross_entropies():
    logits = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    truth = np.array([0, 3, 1, 1, 2])
    logarithms = scipy.special.log_softmax(logits.astype(float), axis=1)
    np.testing.assert_allclose(audits.outcomes(logits, truth)[:, 1], -logarithms[np.arange(5), truth], atol=1e-9)


@pytest.mark.parametrize("layout", ["NHWC", "NTC", "TNC"])
def test_units_are_found_on_whichever_axis_they_are(layout):
    shape = {"NHWC": (2, 4, 4, 3), "NTC": (2, 17, 3), "TNC": (17, 2, 3)}[layout]
    network = Target(nn.Sequential(nn.Identity()), plain(SIDE), torch.device("cpu"), Told(layout))
    values = torch.rand(shape)
    with silenced(network, "0", [1], 2):
        seen = network.model(values)
    assert (seen[..., 1] == 0).all() and torch.equal(seen[..., [0, 2]], values[..., [0, 2]])
    assert torch.equal(network.model(values), values)  # and afterwards all is as it was


def test_directions_are_taken_out_of_the_channels(tmp_path):
    rows = np.array([[1.0, 1.0, 0, 0, 0], [1.0, 0, 0, 0, 0]], np.float32)
    np.save(tmp_path / "directions.npy", rows)
    network = target(basis=BasisSettings(kind="directions", path=tmp_path / "directions.npy"))
    inputs = torch.rand(2, 3, SIDE, SIDE)
    with silenced(network, "colour", [0], 2):
        logits = network.model(inputs)
    # red + green taken out leaves half the difference of red and green, by hand
    red = (inputs[:, 0] - inputs[:, 1]).div(2).relu().mean((1, 2)) * 2
    assert logits[:, 0] == pytest.approx(2 * inputs[:, 2].mean((1, 2))) and logits[:, 2] == pytest.approx(red)
    values = torch.rand(7, 5)
    changed = without_directions(values, torch.from_numpy(rows), torch.full((5,), 0.1))
    np.testing.assert_allclose((changed - 0.1) @ torch.from_numpy(rows).T, 0, atol=1e-6)


def test_heads_hand_nothing_on(tmp_path):
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.num_heads = 2
            self.proj = nn.Linear(4, 4, bias=False)

        def forward(self, x):
            return self.proj(x)

    torch.manual_seed(0)
    network = Target(Attention(), plain(SIDE), torch.device("cpu"), basis=BasisSettings(kind="heads"))
    values = torch.rand(3, 4)
    with silenced(network, "proj", [1], 3):
        seen = network.model(values)
    np.testing.assert_allclose(seen.detach(), (values[:, :2] @ network.model.proj.weight[:, :2].T).detach(), atol=1e-6)


def test_what_cannot_be_silenced_is_named(probe, tmp_path):
    with pytest.raises(TargetError, match="layer 'colour' has no unit 5: its units are 0 to 4"):
        run(probe, units="5", controls=0)
    sae = {"W_enc": np.eye(5, dtype=np.float32), "b_enc": np.zeros(5, np.float32)}
    from safetensors.numpy import save_file

    save_file(sae, tmp_path / "sae.safetensors")
    network = target(basis=BasisSettings(kind="sae", path=tmp_path / "sae.safetensors"))
    with pytest.raises(TargetError, match="latent of a sparse autoencoder"):
        run(probe, network=network)
