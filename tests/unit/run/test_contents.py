"""What files and names in a configuration hold is told before any job, by key, file and what is wrong."""

import json
import struct
from pathlib import Path

import pytest
from spoilt import FILE, changed, problem, write_good

from dnd.run import contents

ROOT = Path(__file__).parents[3]
ANSWER = {"unit": 0, "kind": "single", "words": [["red"]], "label": "red"}


@pytest.fixture
def good(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_good(tmp_path)


def write(name, content):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(content) if isinstance(content, bytes) else Path(name).write_text(content)
    return name


def told(values, key):
    """What is said of a key, of which nothing else is said."""
    found = problem(values)
    assert len(found.splitlines()) == 1, found
    assert found.startswith(f"{FILE}: {key}: "), found
    return found.removeprefix(f"{FILE}: {key}: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("units", "answers.json, line 1: no JSON"),
        (b"\x89PNG\r\n\x1a\n\0\0", "answers.json, line 1: no UTF-8 text"),
        ('{"fc": [], "fc": []}', "answers.json: key 'fc' is given twice"),
        (json.dumps({"fc": [ANSWER | {"unit": True}]}), "answers.json: layer fc, entry 0: expected unit"),
        (json.dumps({"fc": [ANSWER | {"unit": -1}]}), "answers.json: layer fc, entry 0: expected unit"),
        (json.dumps({"fc": [ANSWER, ANSWER | {"unit": 1, "words": [[["red"]]]}]}), "answers.json: layer fc, entry 1"),
        (json.dumps({"fc": [ANSWER | {"words": "red"}]}), "answers.json: layer fc, entry 0: expected"),
        (
            json.dumps({"fc": [ANSWER | {"words": [["mauve"]]}]}),
            "answers.json: layer fc, unit 0: the world has no",
        ),
        (json.dumps({"fc": ["red"]}), "answers.json: layer fc, entry 0: expected"),
    ],
)
def test_known_answers_that_are_none(good, content, message):
    values = changed(good, "models.net.known_answers", write("answers.json", content))
    assert told(values, "models.net.known_answers").startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"size": 64, "std": [1, 1, 0]}', "pre.json: top level: `std` must be above zero"),
        ('{"size": 64, "mean": [0, NaN, 0]}', "pre.json: no JSON: NaN is no number of JSON"),
        ('{"size": "64"}', "pre.json: size: Input should be a valid integer or a valid array, not '64'"),
        ('{"size": 64, "fill": [0, 300, 0]}', "pre.json: fill.1: Input should be less than or equal to 255, not 300"),
        ("[64]", "pre.json: top level: Input should be a valid dictionary, not [64]"),
        ("", "pre.json, line 1: no JSON"),
    ],
)
def test_preprocessing_that_is_none(good, content, message):
    values = changed(good, "models.net.preprocess", write("pre.json", content))
    assert told(values, "models.net.preprocess").startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xd8\xff\xe0", "p.yaml, line 1: no UTF-8 text"),
        ("- {role: user, content: '{{ captions'}", "p.yaml: unexpected end of template"),
        ("- {role: user, content: '{{ captions / 0 }}'}", "p.yaml: unsupported operand type"),
        ("- {role: user, content: '{% for a in range(1000000000) %}{% endfor %}{{ captions }}'}", "p.yaml: Range too"),
        ("- {role: user, content: hello}", "p.yaml: no message shows the `captions`"),
        ("- &a [*a]", "p.yaml, line 1: an alias"),
        ('{"role": "user"}', "p.yaml: expected a list of messages"),
    ],
)
@pytest.mark.parametrize("key", ["prompt", "simplify", "again", "prompts"])
def test_prompt_that_is_none(good, key, content, message):
    path = write("p.yaml", content)
    values = changed(good, "recipes.dnd.concepts", {key: [path] if key == "prompts" else path})
    spelt = "recipes.dnd.concepts." + ("prompts.0" if key == "prompts" else key)
    assert told(values, spelt).startswith(message)


def test_prompt_is_read_as_what_it_is_used_for(good):
    images = write("images.yaml", "- {role: user, content: '{% for one in images %}{{ one }}{% endfor %}'}")
    line = {"method": "line", "generator": {"model": "owner/model"}}
    history = write("history.yaml", "- {role: user, content: '{{ history }}'}")
    contents.load(changed(good, "recipes.dnd.concepts", {"show_images": True, "prompt": images}), FILE)
    contents.load(changed(good, "recipes.line", line | {"prompt": history}), FILE)
    assert "'images' is undefined" in told(
        changed(good, "recipes.dnd.concepts", {"prompt": images}), "recipes.dnd.concepts.prompt"
    )
    assert "'images' is undefined" in told(
        changed(good, "recipes.line", line | {"prompt": images}), "recipes.line.prompt"
    )


@pytest.mark.parametrize("key", ["captions", "embedder", "generator"])
def test_models_that_are_none(good, key):
    where = f"recipes.dnd.{key}.model"
    write("a.bin", "x")
    Path("empty").mkdir()
    index = "model_index.json" if key == "generator" else "config.json"
    assert told(changed(good, where, "a.bin"), where) == "a.bin is a file, expected the folder or the hub id of a model"
    assert told(changed(good, where, "empty"), where) == f"empty has no {index}: it is no folder of such a model"
    assert told(changed(good, where, "my model"), where) == (
        "'my model' is neither a folder nor a hub id such as owner/name"
    )
    write(f"half/{index}", "{")
    assert told(changed(good, where, "half"), where).startswith(f"half/{index}, line 1: no JSON")
    write(f"half/{index}", "{}")
    if key == "embedder":
        assert "half has no preprocessor_config.json: it sees no images" in problem(changed(good, where, "half"))
        write("half/preprocessor_config.json", "{}")
    assert told(changed(good, where, "half"), where).startswith("half has no weights (")


def test_language_models_that_are_none(good):
    Path("empty").mkdir()
    write("mine.gguf", "x")
    assert told(changed(good, "llm.model", "empty"), "llm.model").startswith("empty has no config.json or params.json")
    assert told(changed(good, "llm.model", "config/sweep.tsv"), "llm.model").startswith("config/sweep.tsv is a file")
    contents.load(changed(good, "llm.model", "mine.gguf"), FILE)
    contents.load(changed(good, "llm", {"model": "any name at all", "base_url": "http://localhost:1/v1"}), FILE)
    assert told(changed(good, "llm.python", "no/python"), "llm.python") == "no/python is no interpreter"


def test_networks_that_are_none(good):
    assert "no model 'resnet81'" in told(changed(good, "models.net.factory", "resnet81"), "models.net.factory")
    assert "no weights 'V9'" in told(changed(good, "models.net.weights", "V9"), "models.net.weights")
    timm = changed(good, "models.net", {"source": "timm", "factory": "resnet18.a1_in1k", "weights": "pretrained"})
    contents.load(timm, FILE)
    contents.load(changed(timm, "models.net.factory", "timm/resnet18.a1_in1k"), FILE)
    contents.load(changed(timm, "models.net.factory", "hf-hub:owner/anything"), FILE)
    assert "expected `pretrained` or a file" in told(changed(timm, "models.net.weights", "best"), "models.net.weights")
    hub = changed(good, "models.net", {"source": "transformers", "factory": "images"})
    assert told(hub, "models.net.factory") == "images has no config.json: it is no folder of such a model"
    write("mine.py", "def build(): pass")
    own = changed(good, "models.net", {"source": "python", "factory": "mine.py:biuld"})
    assert told(own, "models.net.factory") == "mine.py defines no 'biuld'"
    assert "neither package.module:function" in told(
        changed(own, "models.net.factory", "mine.py"), "models.net.factory"
    )
    write("mine.py", "def build(:")
    assert told(own, "models.net.factory").startswith("mine.py, line 1: no Python: ")


HEAD = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
WHOLE = struct.pack("<Q", len(HEAD)) + HEAD + bytes(8)


@pytest.mark.parametrize("key", ["weights", "basis"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "w.safetensors is empty"),
        (b"not weights at all", "w.safetensors is no file of safetensors"),
        (WHOLE[:30], "w.safetensors is no file of safetensors"),
        (WHOLE[:-3], "w.safetensors is no file of safetensors, or a part of one: "),
    ],
)
def test_weights_that_are_none(good, key, content, message):
    write("w.safetensors", content)
    value = "w.safetensors" if key == "weights" else {"kind": "directions", "path": "w.safetensors"}
    values = changed(good, f"models.net.{key}", value)
    assert told(values, "models.net." + ("weights" if key == "weights" else "basis.path")).startswith(message)
    write("w.safetensors", WHOLE)
    contents.load(values, FILE)


def test_schedulers_and_arguments_of_pipelines(good):
    assert "no scheduler 'Eular'" in told(
        changed(good, "recipes.dnd.generator.scheduler", "Eular"), "recipes.dnd.generator.scheduler"
    )
    own = changed(good, "recipes.dnd.generator.model", str(ROOT / "resources/shapeworld/generator"))
    contents.load(changed(own, "recipes.dnd.generator.arguments", {"negative_prompt": "grass"}), FILE)
    key = "recipes.dnd.generator.arguments.negative_promt"
    assert told(changed(own, "recipes.dnd.generator.arguments", {"negative_promt": "grass"}), key).startswith(
        "StableDiffusionPipeline takes no such argument; the closest names are negative_prompt, "
    )
    assert "it is set by `size`" in told(
        changed(own, "recipes.dnd.generator.arguments", {"height": 64}), "recipes.dnd.generator.arguments.height"
    )


def test_other_files_that_are_none(good):
    write("binary", bytes(range(256)))
    embedder = {"model": "owner/embedder"}
    for key, section, value in (
        ("evaluation.concepts", "evaluation", {"concepts": "binary"}),
        ("models.net.class_names.fc", "models.net.class_names", {"fc": "binary"}),
        ("audits.one.classes", "audits", {"one": {"row": "a", "layer": "b", "units": "0", "classes": "binary"}}),
        ("recipes.w.concepts", "recipes.w", {"method": "clip-dissect", "concepts": "binary", "embedder": embedder}),
        ("recipes.f.labels", "recipes.f", {"method": "foreign", "labels": "binary"}),
        (
            "probes.photos.annotations.parents",
            "probes.photos",
            good["probes"]["photos"] | {"label": "folder", "annotations": {"source": "labels", "parents": "binary"}},
        ),
    ):
        assert "binary" in told(changed(good, section, value), key)
    broden = good["probes"]["photos"] | {"annotations": {"source": "broden", "path": "images"}}
    assert "images/label.csv: no table of text" in told(
        changed(good, "probes.photos", broden), "probes.photos.annotations.path"
    )
    broden["annotations"]["path"] = "nowhere"
    assert told(changed(good, "probes.photos", broden), "probes.photos.annotations.path") == "nowhere does not exist"
