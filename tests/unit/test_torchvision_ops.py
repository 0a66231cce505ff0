"""What is imported, and what is not, when torchvision is; each time in a process of its own."""

import subprocess
import sys

import pytest


def told(code):
    """What a fresh process says."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_torchvision_comes_without_torch_s_compiler():
    code = "import sys, dnd.torchvision_ops; print('torchvision' in sys.modules, 'torch._dynamo' in sys.modules)"
    assert told(code) == "True False"


def test_the_function_for_which_torchvision_wants_it_still_answers():
    code = """
import sys, dnd.torchvision_ops, torchvision
print(sys.modules["torchvision.ops.roi_align"].is_compile_supported("cpu"))
from torch._dynamo.utils import is_compile_supported
print(is_compile_supported("cpu"))
"""
    ours, torch_s = told(code).splitlines()
    assert ours == torch_s


@pytest.mark.parametrize("first", ["torch._dynamo.utils", "dnd.torchvision_ops, torch._dynamo"])
def test_what_is_compiled_runs_as_ever(first):
    code = f"""
import {first}, dnd.torchvision_ops, torch, torchvision
network = torchvision.models.resnet18().eval()
image = torch.zeros(1, 3, 32, 32)
print(torch.equal(torch.compile(network, backend="eager")(image), network(image)))
"""
    assert told(code) == "True"
