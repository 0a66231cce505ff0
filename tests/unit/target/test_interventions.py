"""Change what a layer hands on while the network runs: silence units, or put other values in their place."""

import torch
from tiny_models import one_thread  # noqa: F401

from dnd.target.interventions import with_tensor


def test_outputs_of_several_tensors_keep_their_other_parts():
    other = torch.ones(1)
    assert with_tensor((torch.zeros(2), other), torch.ones(2))[1] is other
    assert with_tensor({"a": torch.zeros(2), "b": other}, torch.ones(2))["a"].sum() == 2
