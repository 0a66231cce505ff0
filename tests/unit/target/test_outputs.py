"""Outputs of every form end as positions x channels; what cannot be told apart is refused."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from dnd.target.outputs import Form, TargetError, Tokens, arranged, tensor_of
from dnd.target.units import Reading

SQUARE, WIDE = (64, 64), (32, 64)
PLAIN = nn.Identity()


def form(layout="auto", tokens=None, size=SQUARE):
    return Form(layout, size, tokens)


def numbered(*shape):
    return torch.arange(torch.tensor(shape).prod()).reshape(shape).float()


@dataclass
class Result:
    loss: torch.Tensor | None
    logits: torch.Tensor


@pytest.mark.parametrize(
    "output",
    [
        numbered(2, 3),
        (numbered(2, 3), torch.ones(2)),
        [None, numbered(2, 3)],
        {"loss": None, "logits": numbered(2, 3), "other": torch.ones(1)},
        Result(None, numbered(2, 3)),
    ],
)
def test_first_tensor_of_whatever_a_module_returns(output):
    assert torch.equal(tensor_of(output), numbered(2, 3))


def test_no_tensor():
    assert tensor_of("text") is None
    with pytest.raises(TargetError, match=r"returns str without a tensor"):
        arranged("text", PLAIN, 1, form())


def test_channels_first():
    output = numbered(2, 5, 4, 4)
    found = arranged(output, PLAIN, 2, form())
    assert found.grid == (4, 4)
    assert found.cls is None
    # position 6 is row 1, column 2
    assert found.positions[1, 6].tolist() == output[1, :, 1, 2].tolist()


def test_channels_last():
    output = numbered(2, 4, 4, 5)
    found = arranged(output, PLAIN, 2, form())
    assert found.grid == (4, 4)
    assert found.positions[1, 6].tolist() == output[1, 1, 2].tolist()


def test_proportions_of_the_input_tell_the_axes_apart():
    assert arranged(numbered(1, 3, 2, 4), PLAIN, 1, form(size=WIDE)).grid == (2, 4)
    assert arranged(numbered(1, 4, 8, 5), PLAIN, 1, form(size=WIDE)).grid == (4, 8)
    assert arranged(numbered(1, 9, 3, 7), PLAIN, 1, form(size=WIDE)).grid == (3, 7)  # rounded by one position


@pytest.mark.parametrize(
    ("module", "grid", "position"),
    [
        (nn.Conv2d(3, 4, 1), (4, 4), [0, 16, 32, 48]),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), (4, 4), [0, 16, 32, 48]),
        (nn.LayerNorm(4), (4, 4), [0, 1, 2, 3]),
        (nn.Linear(4, 4), (4, 4), [0, 1, 2, 3]),
    ],
)
def test_cubes_are_read_as_the_module_works(module, grid, position):
    found = arranged(numbered(1, 4, 4, 4), module, 1, form())
    assert found.grid == grid
    assert found.positions[0, 0].tolist() == position


def test_other_cubes_are_refused_until_told():
    with pytest.raises(TargetError, match=r"4x4x4, which may be NCHW or NHWC: set models.NAME.layout"):
        arranged(numbered(1, 4, 4, 4), PLAIN, 1, form())
    assert arranged(numbered(1, 4, 4, 4), PLAIN, 1, form("NHWC")).positions[0, 0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("prefix", "suffix", "grid"),
    [
        (1, 0, (14, 14)),  # ViT-B/16
        (2, 0, (14, 14)),  # DeiT with a distillation token
        (5, 0, (16, 16)),  # DINOv2 with registers, patches of 14
        (0, 0, (14, 14)),  # SigLIP
        (1, 100, (16, 8)),  # YOLOS, of a pedestrian network
    ],
)
def test_tokens_become_a_grid_without_those_before_and_behind(prefix, suffix, grid):
    places = grid[0] * grid[1]
    output = numbered(1, prefix + places + suffix, 2)
    found = arranged(output, PLAIN, 1, form("NTC", Tokens(prefix, suffix, grid)))
    assert found.grid == grid
    assert torch.equal(found.positions[0], output[0, prefix : prefix + places])
    assert (found.cls is None) == (prefix == 0)
    if prefix:
        assert torch.equal(found.cls, output[:, 0])


def test_tokens_before_images():
    output = numbered(5, 2, 3)
    found = arranged(output, PLAIN, 2, form("TNC", Tokens(1, 0, (2, 2))))
    assert torch.equal(found.positions[1], output[1:, 1])
    assert torch.equal(found.cls, output[0])


def test_tokens_behind_units():
    output = numbered(2, 3, 5)
    found = arranged(output, PLAIN, 2, form("NCT", Tokens(1, 0, (2, 2))))
    assert torch.equal(found.positions[1], output[1, :, 1:].T)


def test_tokens_in_another_order_are_put_back_in_rows():
    output = numbered(1, 5, 2)
    found = arranged(output, PLAIN, 1, form("NTC", Tokens(1, 0, (2, 2), torch.tensor([2, 0, 3, 1]))))
    assert torch.equal(found.positions[0], output[0, [3, 1, 4, 2]])


def test_a_single_token_has_no_positions():
    found = arranged(numbered(2, 1, 3), PLAIN, 2, form("NTC", Tokens(0, 0, None)))
    assert found.grid is None
    assert pooled(found, "cls").tolist() == numbered(2, 1, 3)[:, 0].tolist()


def test_frames_of_a_video_are_averaged_where_the_settings_say_so():
    output = numbered(2, 5, 3, 4, 8)  # images, units, frames, height, width
    found = arranged(output, PLAIN, 2, form("NCDHW", size=WIDE))
    assert found.grid == (4, 8)
    # position 10 is row 1, column 2
    assert found.positions[1, 10].tolist() == [output[1, unit, :, 1, 2].sum().item() / 3 for unit in range(5)]


def test_slices_of_a_volume_are_averaged_where_the_settings_say_so():
    output = numbered(2, 7, 4, 4, 3).half() / 512  # images, slices, height, width, units
    found = arranged(output, PLAIN, 2, form("NDHWC"))
    assert found.grid == (4, 4)
    expected = [sum(output[0, piece, 2, 3, unit].item() for piece in range(7)) / 7 for unit in range(3)]
    assert found.positions[0, 11].tolist() == pytest.approx(expected)  # not rounded to half precision


@pytest.mark.parametrize("shape", [(2, 5, 3, 8, 8), (2, 3, 8, 8, 5)])
def test_frames_are_not_guessed(shape):
    with pytest.raises(TargetError, match=r"of frames or slices set models.NAME.layout to NCDHW or NDHWC"):
        arranged(numbered(*shape), PLAIN, 2, form())
    with pytest.raises(TargetError, match=r"returns 2x5x4x4 for 2 image.s., which is not NCDHW"):
        arranged(numbered(2, 5, 4, 4), PLAIN, 2, form("NCDHW"))


@pytest.mark.parametrize("shape", [(4, 16, 8, 8, 8), (4, 3, 5), (7,)])
def test_outputs_without_an_axis_of_images_or_units(shape):
    with pytest.raises(TargetError, match=r"expected images x units"):
        arranged(numbered(*shape), PLAIN, 2, form())


def test_layout_that_the_output_does_not_have():
    with pytest.raises(TargetError, match=r"returns 2x3x4x4 for 2 image.s., which is not NTC"):
        arranged(numbered(2, 3, 4, 4), PLAIN, 2, form("NTC"))


def pooled(output, pooling):
    return Reading(output, None, 1).pooled(pooling)


def test_pooling():
    found = arranged(torch.tensor([[[[1.0, 3.0], [0.0, 0.0]]]]), nn.Conv2d(1, 1, 1), 1, form())
    assert pooled(found, "mean").tolist() == [[1.0]]
    assert pooled(found, "max").tolist() == [[3.0]]
    assert pooled(arranged(torch.tensor([[5.0, 6.0]]), PLAIN, 1, form()), "max").tolist() == [[5.0, 6.0]]


def test_class_token_is_neither_averaged_nor_largest():
    tokens = torch.tensor([[[9.0], [1.0], [2.0], [3.0], [2.0]]])
    found = arranged(tokens, PLAIN, 1, form("NTC", Tokens(1, 0, (2, 2))))
    assert pooled(found, "cls").tolist() == [[9.0]]
    assert pooled(found, "mean").tolist() == [[2.0]]
    assert pooled(found, "max").tolist() == [[3.0]]


def test_class_token_that_is_not_there():
    with pytest.raises(TargetError, match=r"has no class token"):
        pooled(arranged(numbered(1, 5, 4, 4), PLAIN, 1, form()), "cls")
