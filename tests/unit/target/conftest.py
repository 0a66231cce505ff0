"""A module of the user's that builds networks, with a neighbour that it imports."""

import pytest

FACTORY = """
import torch
from neighbour import CHANNELS

def build(width):
    return torch.nn.Sequential(torch.nn.Conv2d(CHANNELS, width, 1))

def wrong():
    return "no network"

def compiled(how):
    torch.manual_seed(0)
    block = torch.nn.Sequential(torch.nn.Conv2d(CHANNELS, 4, 1), torch.nn.ReLU())
    network = torch.nn.Sequential(block, torch.nn.Conv2d(4, 2, 1))
    if how == "whole":
        network = torch.compile(network, backend="eager")
    elif how == "part":
        network[0] = torch.compile(block, backend="eager")
    elif how == "in place":
        network.compile(backend="eager")
    elif how == "forward":
        network.forward = torch.compile(network.forward, backend="eager")
    with torch.no_grad():  # code is compiled when it is first run
        network(torch.rand(1, CHANNELS, 4, 4))
    return network

class Network(torch.nn.Conv2d):
    @classmethod
    def of_width(cls, width):
        return cls(CHANNELS, width, 1)
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "mine.py").write_text(FACTORY)
    (tmp_path / "neighbour.py").write_text("CHANNELS = 3")
    return tmp_path / "mine.py"
