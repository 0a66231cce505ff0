"""Models come from a hub into the cache, only what is loaded of them, and load from there without the hub."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import fake_hub
import numpy as np
import pytest
from PIL import Image

from dnd import config, prefetch
from dnd.backends.embedder import ClipEmbedder
from dnd.settings import EmbedderSettings
from dnd.sweep import SweepRow

MODELS = Path(__file__).parents[2] / "resources" / "shapeworld"
USELESS = {
    "model": ["pytorch_model.bin", "tf_model.h5", "onnx/model.safetensors", "consolidated.safetensors", "README.md"],
    "pipeline": [
        *("v1.safetensors", "v1.ckpt", "unet/x.bin", "safety_checker/model.safetensors"),
        *("unet/diffusion_pytorch_model.fp16.safetensors", "unet/diffusion_pytorch_model.non_ema.safetensors"),
    ],
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """The embedded embedder and generator on a hub, among files that nothing loads, and what has no safetensors."""
    folder = tmp_path_factory.mktemp("hub")
    for name, kind in (("embedder", "model"), ("generator", "pipeline")):
        for file in [path for path in (MODELS / name).rglob("*") if path.is_file()]:
            place = folder / name / file.relative_to(MODELS / name)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(file)
        for file in USELESS[kind]:
            (folder / name / file).parent.mkdir(exist_ok=True)
            (folder / name / file).write_text("useless")
    (folder / "pickled").mkdir()
    (folder / "pickled/config.json").write_text("{}")
    (folder / "pickled/pytorch_model.bin").write_text("pickle")
    names = ("embedder", "generator", "pickled")
    with fake_hub.serve({f"shapeworld/{name}": folder / name for name in names}) as found:
        yield found


def python(code, home, **environment):
    """Run code in a process of its own, since the hub's client reads the environment when it is imported."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    variables = (
        ours | {"HF_HOME": str(home), "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1"} | environment
    )
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=variables, capture_output=True, text=True, timeout=300
    )
    return done.returncode, done.stdout, done.stderr


RUN = """
    from dnd import prefetch
    from dnd import hub
    models = [
        prefetch._hub("captioner", "shapeworld/nothing", None),
        prefetch._hub("embedder", "shapeworld/embedder", None),
        prefetch._hub("generator", "shapeworld/generator", None, hub.PIPELINE),
        prefetch._hub("llm", "shapeworld/pickled", None),
    ]
    for failure in prefetch.run(models, print):
        print("failed:", failure)
    print(*prefetch.exports(), sep="\\n")
"""


@pytest.fixture(scope="module")
def cache(hub, tmp_path_factory):
    """A cache after a prefetch, and what the prefetch said; the shell has said that jobs are offline."""
    home = tmp_path_factory.mktemp("home")
    status, said, problem = python(RUN, home, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
    assert status == 0, problem
    return home, said.splitlines()


def test_only_what_is_loaded_is_downloaded(hub, cache):
    expected = {
        f"shapeworld/{name}/{path.relative_to(MODELS / name).as_posix()}"
        for name in ("embedder", "generator")
        for path in (MODELS / name).rglob("*")
        if path.is_file()
    }
    assert set(hub.downloaded) == expected | {"shapeworld/pickled/config.json"}
    assert len(hub.downloaded) == len(set(hub.downloaded))


def test_each_failure_is_one_line_and_the_others_are_fetched(cache):
    failed = [line for line in cache[1] if line.startswith("failed:")]
    assert len(failed) == 2
    assert failed[0].startswith("failed: captioner: model shapeworld/nothing: neither a folder nor on the hub")
    assert failed[1].startswith("failed: llm: model shapeworld/pickled: no safetensors weights")


def test_what_is_where_and_how_large_is_told(cache):
    home, said = cache
    size = sum(path.stat().st_size for path in (MODELS / "embedder").iterdir())
    (line,) = [line for line in said if "MB  embedder" in line]
    assert line.split()[:2] == [f"{size / 1e6:.1f}", "MB"]
    assert Path(line.split()[-1]).is_relative_to(home)
    assert f"export HF_HOME={home}" in said and "export HF_HUB_OFFLINE=1" in said


def test_the_embedder_loads_from_the_cache_without_the_hub(cache, tmp_path):
    code = f"""
        import numpy as np
        from PIL import Image
        from dnd.backends.embedder import ClipEmbedder
        from dnd.settings import EmbedderSettings
        image = Image.fromarray(np.arange(64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8))
        embedder = ClipEmbedder(EmbedderSettings(model="shapeworld/embedder"))
        np.save({str(tmp_path / "there.npy")!r}, embedder.embed([image]))
    """
    status, _, problem = python(code, cache[0], HF_HUB_OFFLINE="1")
    assert status == 0, problem
    image = Image.fromarray(np.arange(64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8))
    here = ClipEmbedder(EmbedderSettings(model=str(MODELS / "embedder"))).embed([image])
    assert np.allclose(np.load(tmp_path / "there.npy"), here, atol=1e-6)


def test_the_pipeline_loads_from_the_cache_without_the_hub(cache):
    code = """
        from dnd.backends.generator import StableDiffusionGenerator
        from dnd.settings import GeneratorSettings
        model = StableDiffusionGenerator(GeneratorSettings(model="shapeworld/generator"))
        print(type(model.pipeline.unet).__name__)
    """
    status, said, problem = python(code, cache[0], HF_HUB_OFFLINE="1")
    assert (status, said.split()[-1:]) == (0, ["UNet2DConditionModel"]), problem


@pytest.mark.parametrize("reach", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_a_job_that_lacks_a_model_says_what_to_do(cache, reach):
    code = """
        from dnd.backends.captioner import BlipCaptioner
        from dnd.settings import CaptionSettings
        BlipCaptioner(CaptionSettings(model="shapeworld/captioner"))
    """
    status, _, problem = python(code, cache[0], **reach)
    assert status == 1
    assert (
        f"ModelError: model shapeworld/captioner is not in the cache {cache[0] / 'hub'}: "
        "run `snakemake prefetch` on a machine with internet" in problem.splitlines()[-1]
    )


def test_a_cache_without_the_weights_says_what_to_do(tmp_path):
    """As another program leaves it that reads the configuration or the tokenizer only."""
    model = tmp_path / "hub/models--shapeworld--embedder"
    for name, text in {"refs/main": fake_hub.COMMIT, f"snapshots/{fake_hub.COMMIT}/config.json": "{}"}.items():
        (model / name).parent.mkdir(parents=True)
        (model / name).write_text(text)
    code = "from dnd import hub; hub.folder('shapeworld/embedder')"
    status, _, problem = python(code, tmp_path, HF_HUB_OFFLINE="1")
    assert status == 1
    assert "model shapeworld/embedder is not in the cache" in problem.splitlines()[-1]
    assert "run `snakemake prefetch`" in problem.splitlines()[-1]


def test_lines_for_the_shell_survive_blanks(tmp_path):
    home = tmp_path / "my caches"
    _, said, _ = python("from dnd import prefetch; print(*prefetch.exports(), sep='\\n')", home)
    shell = ["sh", "-c", said + 'printf %s "$HF_HOME"']
    assert subprocess.run(shell, capture_output=True, text=True).stdout == str(home)


def test_a_gated_model_says_what_to_do(hub, tmp_path):
    hub.gated.add("shapeworld/embedder")
    try:
        code = "from dnd import hub; hub.folder('shapeworld/embedder')"
        status, _, problem = python(code, tmp_path, HF_ENDPOINT=hub.url)
    finally:
        hub.gated.clear()
    assert status == 1
    assert "model shapeworld/embedder: accept its terms on the hub" in problem.splitlines()[-1]


def test_published_weights_without_internet_say_what_to_do(tmp_path):
    code = """
        import urllib.error, urllib.request
        def unreachable(*_, **__):
            raise urllib.error.URLError("no route")
        import dnd.torchvision_ops, torch
        torch.hub.urlopen = unreachable
        from dnd import targets
        from dnd.settings import TargetSettings
        targets.load(TargetSettings(source="torchvision", factory="resnet18", weights="IMAGENET1K_V1"))
    """
    status, _, problem = python(code, tmp_path, TORCH_HOME=str(tmp_path / "torch"))
    assert status == 1
    assert problem.splitlines()[-1] == (
        f"dnd.hub.ModelError: model resnet18 with IMAGENET1K_V1 is not in the cache {tmp_path / 'torch/hub'}: "
        "run `snakemake prefetch` on a machine with internet (URLError: <urlopen error no route>)"
    )


def test_each_model_of_the_sweep_is_wanted_once():
    part = {
        "captions": {"model": "a/captioner"},
        "generator": {"model": "a/generator"},
        "embedder": {"model": "a/clip"},
    }
    values = {
        "run": "x",
        "sweep": str(MODELS.parents[1] / "config/sweep.tsv"),
        "models": {
            "own": {"source": "python", "factory": "a:b"},
            "published": {"source": "torchvision", "factory": "resnet18", "weights": "IMAGENET1K_V1"},
            "unused": {"source": "torchvision", "factory": "resnet50", "weights": "IMAGENET1K_V2"},
        },
        "probes": {"p": {"source": "shapeworld"}},
        "recipes": {
            "one": part,
            "two": part | {"captions": {"model": "a/captioner", "revision": "v2"}},
            "unused": part | {"embedder": {"model": "a/other"}},
        },
        "llm": {"model": "a/chat"},
    }
    rows = [
        SweepRow("", "n", model, ("l",), "p", recipe, None)
        for model, recipe in (("own", "one"), ("published", "one"), ("own", "two"))
    ]

    def names(values):
        return [(one.use, one.name) for one in prefetch.wanted(config.load(values), rows)]

    expected = [
        ("target", "resnet18 with IMAGENET1K_V1"),
        ("captioner", "a/captioner"),
        ("generator", "a/generator"),
        ("embedder", "a/clip"),
        ("captioner", "a/captioner@v2"),
    ]
    assert names(values) == [*expected, ("llm", "a/chat")]
    assert names(values | {"llm": {"model": "a/chat", "base_url": "http://127.0.0.1:9"}}) == expected
