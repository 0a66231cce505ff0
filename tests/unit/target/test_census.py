"""What the modules of a network make of pictures of which one place is changed."""

import pytest
import torch
from handmade import plain
from torch import nn

from dnd.target import census

SIDE = 32


class Network(nn.Module):
    """Maps of 8 x 8, their 64 tokens behind a class token, and what holds between these."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.maps = nn.Conv2d(3, 5, 4, 4)
        self.tokens, self.between = nn.Identity(), nn.Identity()

    def forward(self, x):
        tokens = self.maps(x).flatten(2).transpose(1, 2)
        tokens = self.tokens(torch.cat([torch.zeros(len(x), 1, 5), tokens], 1))
        return self.between((tokens @ tokens.transpose(1, 2))[:, None].softmax(3))


@pytest.fixture(scope="module")
def taken():
    network = Network().eval()
    return census.taken(network, network, plain(SIDE).image, (SIDE, SIDE))


def test_outputs_with_tokens_are_seen_with_what_changed(taken):
    seen = taken.last("tokens", (65, 5))
    assert (seen.layer, seen.axis, seen.sizes) == ("tokens", 0, (65, 5))
    of_tokens, of_channels = seen.changes
    assert of_tokens.shape == (5, 65) and of_channels.shape == (5, 5)
    assert (of_tokens[:, 0] == 0).all() and (of_tokens[0, 1:] > 0).all()
    assert taken.first("", 65) == taken.first("tokens", 65) == seen
    assert taken.first("maps", 65) is None
    assert (taken.changing(65) == of_tokens).all()


def test_maps_and_what_holds_between_tokens(taken):
    assert (8, 8) in taken.grids
    assert taken.is_between_tokens((65, 65))
    assert not taken.is_between_tokens((8, 8))
    assert not taken.is_between_tokens((64, 65))
    assert (65, 65) not in taken.known_grids()
    assert {(32, 32), (8, 8), (4, 4)} <= taken.known_grids()


def test_grids_in_the_proportions_of_the_input():
    assert census.of_proportions(64, (32, 32)) == (8, 8)
    assert census.of_proportions(32, (32, 64)) == (4, 8)
    assert census.of_proportions(63, (32, 32)) is None
    assert census.of_proportions(0, (32, 32)) is None


def test_orders_that_a_network_knows():
    known = census.Census((32, 32), orders=[torch.tensor([1, 0])])
    assert known.order_of(2).tolist() == [1, 0]
    assert known.order_of(3) is None


@pytest.mark.parametrize(
    ("shape", "asked"), [((6, 9, 5), True), ((6, 5, 8, 8), False), ((6, 4, 9, 9), True), ((6, 5), False)]
)
def test_outputs_in_question(shape, asked):
    assert census.in_question(torch.zeros(shape), (32, 32)) == asked
