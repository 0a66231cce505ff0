"""torchvision as set-up leaves it: without torch's compiler, beside a CPU build of torch with operators in Python."""

import subprocess
import sys

import pytest
import torch
import torchvision


def told(code):
    """What a fresh process says."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_torchvision_comes_without_torch_s_compiler():
    code = "import sys, torchvision; print('torch._dynamo' in sys.modules)"
    assert told(code) == "False"


def test_the_function_for_which_torchvision_wants_it_still_answers():
    code = """
import sys, torchvision
print(sys.modules["torchvision.ops.roi_align"].is_compile_supported("cpu"))
from torch._dynamo.utils import is_compile_supported
print(is_compile_supported("cpu"))
"""
    mended, torch_s = told(code).splitlines()
    assert mended == torch_s


def test_what_is_compiled_runs_as_ever():
    code = """
import torch, torchvision
network = torchvision.models.resnet18().eval()
image = torch.zeros(1, 3, 32, 32)
print(torch.equal(torch.compile(network, backend="eager")(image), network(image)))
"""
    assert told(code) == "True"


def test_one_whose_operators_are_not_there_is_told_where_a_network_needs_it(tmp_path):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision/__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from dnd.target import sources
from dnd.config.targets import TargetSettings
for source, factory in (("torchvision", "resnet18"), ("python", "torchvision.models:resnet18")):
    try:
        sources.load(TargetSettings(source=source, factory=factory))
    except sources.TargetError as error:
        print(error)
"""
    alone, factory = told(code).splitlines()
    wrong = (
        f"in {tmp_path}/torchvision/__init__.py, line 1, <module>: RuntimeError: operator torchvision::nms does not "
    )
    assert alone == f"resnet18: {wrong}exist"
    assert factory == f"factory 'torchvision.models:resnet18': {wrong}exist"


def suppressed(boxes, scores, threshold):
    """Boxes that stay, by the definition: in falling order of scores, each against all better ones that stay."""
    stay = []
    for index in sorted(range(len(boxes)), key=lambda index: -scores[index]):
        (x0, y0, x1, y1), area = boxes[index], (boxes[index][2] - boxes[index][0]) * (boxes[index][3] - boxes[index][1])
        for better in stay:
            a0, b0, a1, b1 = boxes[better]
            common = max(0, min(x1, a1) - max(x0, a0)) * max(0, min(y1, b1) - max(y0, b0))
            if common / (area + (a1 - a0) * (b1 - b0) - common) > threshold:
                break
        else:
            stay.append(index)
    return stay


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.7])
@pytest.mark.parametrize("seed", range(3))
def test_boxes_are_suppressed_as_the_definition_says(seed, threshold):
    random = torch.Generator().manual_seed(seed)
    corners = torch.rand(60, 2, generator=random) * 20
    boxes = torch.cat([corners, corners + 1 + torch.rand(60, 2, generator=random) * 10], 1).double()
    scores = torch.rand(60, generator=random).double()
    kept = torchvision.ops.nms(boxes, scores, threshold)
    assert kept.dtype == torch.int64
    assert kept.tolist() == suppressed(boxes.tolist(), scores.tolist(), threshold)


def test_no_boxes_stay_none():
    assert torchvision.ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []


def test_regions_are_averaged_by_bilinear_interpolation():
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)  # x itself
    pooled = torchvision.ops.roi_align(ramp, torch.tensor([[0.0, 2, 2, 6, 6]]), (2, 2), sampling_ratio=2, aligned=True)
    assert torch.allclose(pooled, torch.tensor([2.5, 4.5]).expand(1, 1, 2, 2))


def test_a_detection_network_runs():
    torch.manual_seed(0)
    network = torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None)
    with torch.no_grad():
        (found,) = network.eval()([torch.rand(3, 64, 64)])
    assert len(found["boxes"]) == len(found["scores"])
