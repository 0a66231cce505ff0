"""Models and datasets come from a hub into the cache, only what is loaded of them, and load from there without it."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import fake_hub
import hub_models
import numpy as np
import pytest
import yaml
from hub_models import LARGE, MODELS
from PIL import Image
from safetensors.torch import save_file

from dnd.backends.embedder import TransformersEmbedder
from dnd.config import load
from dnd.config.backends import EmbedderSettings
from dnd.config.sweep import SweepRow
from dnd.io import store
from dnd.run import prefetch


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """The embedded embedder and generator on a hub, among files that nothing loads, and others that are mere shells."""
    models = hub_models.write(tmp_path_factory.mktemp("hub"))
    with fake_hub.serve(models) as found:
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
    from dnd.run import prefetch
    from dnd.backends import hub
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
    first = hub.downloaded[: len(expected) + 1]
    assert set(first) == expected | {"shapeworld/pickled/config.json"}
    assert hub.downloaded.count("shapeworld/pickled/config.json") == 1


@pytest.mark.parametrize(
    ("model", "layout", "expected"),
    [
        ("large", "hub.MODEL", LARGE["model"]),
        ("large", "hub.MODEL.with_code(True)", [*LARGE["model"], "modeling_own.py"]),
        ("large", "hub.MODEL.with_code(False)", LARGE["model"]),
        ("variants", "hub.PIPELINE.of_variant('fp16')", ["model_index.json", *LARGE["pipeline"]]),
    ],
)
def test_shards_variants_vocabularies_and_trusted_code_are_downloaded(hub, tmp_path, model, layout, expected):
    before = len(hub.downloaded)
    code = f"from dnd.backends import hub; print(hub.folder('shapeworld/{model}', None, {layout}))"
    status, said, problem = python(code, tmp_path, HF_ENDPOINT=hub.url)
    assert status == 0, problem
    assert sorted(hub.downloaded[before:]) == sorted(f"shapeworld/{model}/{name}" for name in expected)
    offline = python(code, tmp_path, HF_HUB_OFFLINE="1")
    assert offline[:2] == (0, said), offline[2]


def test_a_variant_that_is_not_there_says_so_before_anything_large_is_downloaded(hub, tmp_path):
    before = len(hub.downloaded)
    code = "from dnd.backends import hub; hub.folder('shapeworld/variants', None, hub.PIPELINE.of_variant('bf16'))"
    status, _, problem = python(code, tmp_path, HF_ENDPOINT=hub.url)
    assert status == 1
    assert problem.splitlines()[-1] == (
        "dnd.backends.hub.ModelError: model shapeworld/variants: no bf16 safetensors weights; another revision or "
        "variant may have them"
    )
    assert not [name for name in hub.downloaded[before:] if name.endswith(".safetensors")]


def test_what_a_model_was_is_known_afterwards(hub, cache):
    code = f"""
        from dnd.backends import hub
        hub.folder("shapeworld/embedder")
        hub.folder("shapeworld/embedder", "main")
        hub.folder({str(MODELS / "captioner")!r})
        print(hub.resolved())
    """
    status, said, problem = python(code, cache[0], HF_HUB_OFFLINE="1")
    assert status == 0, problem
    captioner = str(MODELS / "captioner")
    assert said.strip() == str(
        {
            "shapeworld/embedder": fake_hub.COMMIT,
            "shapeworld/embedder@main": fake_hub.COMMIT,
            captioner: store.revision(captioner),
        }
    )


FETCH = """
    from dnd.run import prefetch
    from dnd.config.targets import ProbeSettings, TargetSettings
    for failure in prefetch.run([{wanted}], print):
        print("failed:", failure)
"""


def test_targets_of_timm_and_transformers_are_fetched(hub, tmp_path):
    import timm

    (tmp_path / "weights").mkdir()
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "weights/model.safetensors")
    hub.repositories["timm/test_resnet.r160_in1k"] = tmp_path / "weights"
    wanted = """
        prefetch._target(TargetSettings(source="timm", factory="test_resnet", weights="pretrained")),
        prefetch._target(TargetSettings(source="transformers", factory="shapeworld/embedder")),
    """
    before = len(hub.downloaded)
    status, said, problem = python(
        FETCH.format(wanted=" ".join(wanted.split())), tmp_path / "home", HF_ENDPOINT=hub.url
    )
    assert (status, "failed" in said) == (0, False), said + problem
    assert {"timm/test_resnet.r160_in1k/model.safetensors", "shapeworld/embedder/model.safetensors"} <= set(
        hub.downloaded[before:]
    )
    size = (tmp_path / "weights/model.safetensors").stat().st_size
    assert f"{size / 1e6:10.1f} MB  target     test_resnet with pretrained  {tmp_path}/home/hub" in said
    again = "from dnd.target import sources; from dnd.config.targets import TargetSettings; "
    again += "sources.load(TargetSettings(source='timm', factory='test_resnet', weights='pretrained'))"
    status, _, problem = python(again, tmp_path / "home", HF_HUB_OFFLINE="1")
    assert status == 0, problem


def test_datasets_of_the_hub_are_fetched(hub, tmp_path):
    settings = "source='huggingface', dataset='shapeworld/photos', split='validation'"
    wanted = f"prefetch._dataset(ProbeSettings({settings}))"
    status, said, problem = python(FETCH.format(wanted=wanted), tmp_path, HF_ENDPOINT=hub.url)
    assert (status, "failed" in said) == (0, False), said + problem
    assert f"MB  probe      shapeworld/photos validation  {tmp_path}/datasets/shapeworld___photos" in said
    code = "import datasets; print(len(datasets.load_dataset('shapeworld/photos', split='validation')))"
    status, said, problem = python(code, tmp_path, HF_HUB_OFFLINE="1")
    assert (status, said.strip()) == (0, "3"), problem


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
        from dnd.backends.embedder import TransformersEmbedder
        from dnd.config.backends import EmbedderSettings
        image = Image.fromarray(np.arange(64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8))
        embedder = TransformersEmbedder(EmbedderSettings(model="shapeworld/embedder"))
        np.save({str(tmp_path / "there.npy")!r}, embedder.embed([image]))
    """
    status, _, problem = python(code, cache[0], HF_HUB_OFFLINE="1")
    assert status == 0, problem
    image = Image.fromarray(np.arange(64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8))
    here = TransformersEmbedder(EmbedderSettings(model=str(MODELS / "embedder"))).embed([image])
    assert np.allclose(np.load(tmp_path / "there.npy"), here, atol=1e-6)


def test_the_pipeline_loads_from_the_cache_without_the_hub(cache):
    code = """
        from dnd.backends.generator import DiffusersGenerator
        from dnd.config.backends import GeneratorSettings
        model = DiffusersGenerator(GeneratorSettings(model="shapeworld/generator"))
        print(type(model.pipeline.unet).__name__)
    """
    status, said, problem = python(code, cache[0], HF_HUB_OFFLINE="1")
    assert (status, said.split()[-1:]) == (0, ["UNet2DConditionModel"]), problem


@pytest.mark.parametrize("reach", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_a_job_that_lacks_a_model_says_what_to_do(cache, reach):
    code = """
        from dnd.backends.captioner import TransformersCaptioner
        from dnd.config.backends import CaptionSettings
        TransformersCaptioner(CaptionSettings(model="shapeworld/captioner"))
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
    code = "from dnd.backends import hub; hub.folder('shapeworld/embedder')"
    status, _, problem = python(code, tmp_path, HF_HUB_OFFLINE="1")
    assert status == 1
    assert "model shapeworld/embedder is not in the cache" in problem.splitlines()[-1]
    assert "run `snakemake prefetch`" in problem.splitlines()[-1]


def test_lines_for_the_shell_survive_blanks(tmp_path):
    home = tmp_path / "my caches"
    _, said, _ = python("from dnd.run import prefetch; print(*prefetch.exports(), sep='\\n')", home)
    shell = ["sh", "-c", said + 'printf %s "$HF_HOME"']
    assert subprocess.run(shell, capture_output=True, text=True).stdout == str(home)


def test_a_gated_model_says_what_to_do(hub, tmp_path):
    hub.gated.add("shapeworld/embedder")
    try:
        code = "from dnd.backends import hub; hub.folder('shapeworld/embedder')"
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
        import torch
        torch.hub.urlopen = unreachable
        from dnd.target import sources
        from dnd.config.targets import TargetSettings
        sources.load(TargetSettings(source="torchvision", factory="resnet18", weights="IMAGENET1K_V1"))
    """
    status, _, problem = python(code, tmp_path, TORCH_HOME=str(tmp_path / "torch"))
    assert status == 1
    assert problem.splitlines()[-1] == (
        f"dnd.backends.hub.ModelError: model resnet18 with IMAGENET1K_V1 is not in the cache {tmp_path / 'torch/hub'}: "
        "run `snakemake prefetch` on a machine with internet (URLError: <urlopen error no route>)"
    )


def test_a_server_is_told_without_its_password():
    values = yaml.safe_load((MODELS.parents[1] / "config/config.yaml").read_text())
    values["llm"]["base_url"] = "http://me:s3cret@127.0.0.1:9/v1"
    said = []
    (failure,) = prefetch.asked(load.load(values), [], said.append)
    assert said == [f"llm: {values['llm']['model']} at http://(left out)@127.0.0.1:9/v1"]
    assert failure.startswith("llm.base_url http://(left out)@127.0.0.1:9/v1 cannot be reached")


def test_each_model_of_the_sweep_is_wanted_once():
    part = {
        "captions": {"model": "a/captioner"},
        "generator": {"model": "a/generator"},
        "embedder": {"model": "a/clip", "trust_remote_code": True},
    }
    values = {
        "run": "x",
        "sweep": str(MODELS.parents[1] / "config/sweep.tsv"),
        "models": {
            "own": {"source": "python", "factory": "a:b"},
            "published": {"source": "torchvision", "factory": "resnet18", "weights": "IMAGENET1K_V1"},
            "random": {"source": "timm", "factory": "resnet18"},
            "filed": {"source": "timm", "factory": "resnet18", "weights": str(MODELS / "embedder/model.safetensors")},
            "timm": {"source": "timm", "factory": "resnet18.a1_in1k", "weights": "pretrained"},
            "vit": {"source": "transformers", "factory": "a/vit", "revision": "v1"},
            "unused": {"source": "torchvision", "factory": "resnet50", "weights": "IMAGENET1K_V2"},
        },
        "probes": {
            "p": {"source": "shapeworld"},
            "photos": {"source": "huggingface", "dataset": "a/photos", "split": "test", "revision": "v3"},
            "both": {"source": "union", "members": ["p", "photos"]},
            "unused": {"source": "huggingface", "dataset": "a/other"},
        },
        "recipes": {
            "one": part,
            "two": part | {"captions": {"model": "a/captioner", "revision": "v2"}},
            "seer": part
            | {"captions": {"model": "seer", "base_url": "http://127.0.0.1:9"}}
            | {"generator": {"model": "a/generator", "variant": "fp16"}},
            "unused": part | {"embedder": {"model": "a/other"}},
        },
        "llm": {"model": "a/chat"},
    }
    rows = [
        SweepRow("", "n", model, ("l",), probe, recipe, None)
        for model, probe, recipe in (
            *(("own", "p", "one"), ("published", "p", "one"), ("own", "both", "two"), ("random", "photos", "seer")),
            *(("filed", "p", "one"), ("timm", "p", "one"), ("vit", "p", "one")),
        )
    ]

    def names(values):
        return [(one.use, one.name) for one in prefetch.wanted(load.load(values), rows)]

    expected = [
        ("target", "resnet18 with IMAGENET1K_V1"),
        ("target", "resnet18.a1_in1k with pretrained"),
        ("target", "a/vit@v1"),
        ("captioner", "a/captioner"),
        ("generator", "a/generator"),
        ("embedder", "a/clip (with its code)"),
        ("probe", "a/photos@v3 test"),
        ("captioner", "a/captioner@v2"),
        ("generator", "a/generator (fp16)"),
    ]
    assert names(values) == [*expected, ("llm", "a/chat")]
    assert names(values | {"llm": {"model": "a/chat", "base_url": "http://127.0.0.1:9"}}) == expected
