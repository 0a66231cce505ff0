"""Which files of a model are loaded; downloads are tested with prefetching."""

from fnmatch import fnmatch
from pathlib import Path

import pytest

from dnd.backends import hub


def wanted(layout, name):
    patterns = (*layout.weights, *layout.others)
    return any(fnmatch(name, one) for one in patterns) and not any(fnmatch(name, one) for one in layout.unwanted)


@pytest.mark.parametrize(
    ("layout", "name", "expected"),
    [
        (hub.MODEL, "model.safetensors", True),
        (hub.MODEL, "model-00001-of-00002.safetensors", True),
        (hub.MODEL, "model.fp16.safetensors", False),
        (hub.MODEL, "consolidated.safetensors", False),
        (hub.MODEL, "pytorch_model.bin", False),
        (hub.MODEL, "onnx/config.json", False),
        (hub.MODEL, "tokenizer.model", True),
        (hub.MODEL, "modeling_own.py", False),
        (hub.MODEL.with_code(True), "modeling_own.py", True),
        (hub.MODEL.with_code(False), "modeling_own.py", False),
        (hub.PIPELINE, "unet/diffusion_pytorch_model.safetensors", True),
        (hub.PIPELINE, "unet/diffusion_pytorch_model.fp16.safetensors", False),
        (hub.PIPELINE, "sd_xl_base_1.0.safetensors", False),
        (hub.PIPELINE, "safety_checker/model.safetensors", False),
        (hub.PIPELINE.of_variant("fp16"), "unet/diffusion_pytorch_model.fp16.safetensors", True),
        (hub.PIPELINE.of_variant("fp16"), "unet/diffusion_pytorch_model.safetensors", False),
        (hub.PIPELINE.of_variant("fp16"), "text_encoder/model.fp16-00001-of-00002.safetensors", True),
        (hub.PIPELINE.of_variant("fp16"), "unet/diffusion_pytorch_model.non_ema.safetensors", False),
        (hub.PIPELINE.of_variant(None), "unet/diffusion_pytorch_model.safetensors", True),
    ],
)
def test_what_is_loaded_of_a_repository(layout, name, expected):
    assert wanted(layout, name) is expected


def test_a_folder_is_a_model_known_by_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "_places", {})
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    assert hub.folder(str(tmp_path)) == str(tmp_path)
    hub.remember("owner/model", Path("/cache/snapshots/0123abc"))
    assert hub.resolved() == {str(tmp_path): hub.store.revision(str(tmp_path)), "owner/model": "0123abc"}


@pytest.mark.parametrize(
    ("files", "sees"),
    [
        ({"preprocessor_config.json": "{}"}, True),
        ({"processor_config.json": "{}"}, True),
        ({"config.json": '{"pretrained_cfg": {}}'}, True),
        ({"config.json": "{}"}, False),
        ({"config.json": "[]"}, False),
        ({"config.json": "{"}, False),
        ({}, False),
    ],
)
def test_a_model_that_sees_images_says_how_they_are_prepared(tmp_path, files, sees):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert hub.sees_images(tmp_path) is sees


def test_a_model_that_is_absent_is_told_in_one_line():
    told = str(hub.absent("owner/model", "/cache", OSError("no route\nto the hub")))
    assert told == (
        "model owner/model is not in the cache /cache: run `snakemake prefetch` on a machine with internet "
        "(OSError: no route)"
    )
