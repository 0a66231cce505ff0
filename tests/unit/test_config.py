"""The configuration: each mistake is one clear line that names the file and the key, and what is right."""

import re
from pathlib import Path

import pytest
from spoilt import FILE, changed, problem, write_good

from dnd import config


@pytest.fixture
def good(tmp_path, monkeypatch):
    """Values of config.yaml that are right, in a folder with the files that they name."""
    monkeypatch.chdir(tmp_path)
    return write_good(tmp_path)


def test_good_values_load_with_their_defaults(good):
    loaded = config.load(good, FILE)
    recipe = loaded.recipes["dnd"]
    assert (recipe.pooling, recipe.exemplars.keep, recipe.generator.steps) == ("mean", 10, 20)
    assert loaded.probes["photos"].path == Path("images")


def test_the_repositorys_own_configuration_is_good(monkeypatch):
    yaml = pytest.importorskip("yaml")
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    loaded = config.Config.model_validate(yaml.safe_load((root / FILE).read_text()))
    assert loaded.run == "demo"


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("colour", 1, "colour: unknown key"),
        ("models.net.wieghts", "x", "models.net.wieghts: unknown key"),
        ("recipes.dnd.generator.step", 5, "recipes.dnd.generator.step: unknown key"),
        ("llm", ..., "llm: is missing"),
        ("recipes.dnd.captions.model", ..., "recipes.dnd.captions.model: is missing"),
        ("models.net.source", "keras", "models.net.source: .*'transformers' or 'python'.*'keras'"),
        ("recipes.dnd.generator.steps", "many", "recipes.dnd.generator.steps: .*integer.*'many'"),
        ("recipes.dnd.generator.steps", 0, "recipes.dnd.generator.steps: .*greater.*1, not 0"),
        ("recipes.dnd.exemplars.max_overlap", 1.5, "max_overlap: .*less than or equal to 1, not 1.5"),
        ("recipes.dnd.pooling", "median", "recipes.dnd.pooling: .*'max' or 'cls'"),
        ("recipes.dnd.generator.prompt", "a photo", r"generator.prompt: .*must hold \{concept\} once"),
        ("recipes.dnd.generator.prompt", "{concept} {x}", r"generator.prompt: .*no other braces"),
        ("probes.photos.path", None, "probes.photos: .*source folder needs `path`"),
        ("probes.photos.split", "test", "probes.photos: .*source folder takes no `split`"),
        ("probes.photos.label", "class", "probes.photos: .*`label` of source folder is `folder` or empty"),
        ("probes.photos.limit", 0, "probes.photos.limit: .*greater than or equal to 1, not 0"),
        (
            "probes.photos.path",
            "config/sweep.tsv",
            "probes.photos.path: config/sweep.tsv is no folder, as folder needs",
        ),
        ("probes.photos", {"source": "union", "members": ["a"]}, "probes.photos: .*two or more `members`, each once"),
        ("probes.both", {"source": "union", "members": ["photos", "b"]}, "probes.both.members: 'b' is no other probe"),
        ("probes.photos", {"source": "manifest", "path": "images"}, "probes.photos: .*manifest is a .csv or .tsv file"),
        ("probes.photos", {"source": "huggingface"}, "probes.photos: .*needs either `path` or `dataset`"),
        (
            "probes.photos",
            {"source": "huggingface", "path": "images", "revision": "v1"},
            "probes.photos: .*`revision` is that of a `dataset` of the hub",
        ),
        ("run", "../demo", "run: .*pattern"),
        ("run", "store", "run: 'store' is the folder of the item store"),
        ("models", {}, "models: .*at least 1"),
        ("models", [], "models: .*dictionary"),
        ("sweep", "config/none.tsv", "sweep: config/none.tsv does not exist"),
        ("probes.photos.path", "pictures", "probes.photos.path: pictures does not exist"),
        ("models.net.known_answers", "units.json", "models.net.known_answers: units.json does not exist"),
        ("models.net.preprocess", "pre.json", "models.net.preprocess: pre.json does not exist"),
        ("recipes.dnd.captions.model", "./blip", r"recipes.dnd.captions.model: blip does not exist"),
        ("recipes.dnd.embedder.model", "a/b/c", "recipes.dnd.embedder.model: a/b/c does not exist"),
        ("recipes.dnd.concepts.prompt", "no.yaml", "recipes.dnd.concepts.prompt: no.yaml does not exist"),
        ("llm.model", "/models/llm", "llm.model: /models/llm does not exist"),
        ("models.my net", {"source": "python", "factory": "a:b"}, "models.my net: a name is letters"),
    ],
)
def test_a_mistake_is_one_line_with_file_and_key(good, place, value, message):
    found = problem(changed(good, place, value))
    assert len(found.splitlines()) == 1
    assert re.match(rf"{re.escape(FILE)}: .*{message}", found), found


def test_every_mistake_is_told_at_once(good):
    values = changed(changed(good, "colour", 1), "recipes.dnd.generator.steps", 0)
    assert len(problem(values).splitlines()) == 2


@pytest.mark.parametrize(
    "text",
    [
        "__use_yte__: true\nrun: ?open('it ran', 'w').name\n",
        '{"\\x5f_use_yte__": yes, run: x}',
        "run: x\nllm: !!python/tuple [1]\n__use_yte__: false\n",
        "? __use_yte__\n: 1\n",
    ],
)
def test_a_configuration_that_snakemake_would_run_is_refused(tmp_path, text):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(config.ConfigError, match=r"mine.yaml: __use_yte__: expected plain values; Snakemake runs such"):
        config.refuse_code(tmp_path / "mine.yaml")


@pytest.mark.parametrize("text", ["# __use_yte__: true\nrun: x\n", "llm: {__use_yte__: 1}\n", "- a\n", "a: [", ""])
def test_a_configuration_that_snakemake_would_not_run_is_left_to_other_checks(tmp_path, text):
    (tmp_path / "mine.yaml").write_text(text)
    config.refuse_code(tmp_path / "mine.yaml")
    config.refuse_code(tmp_path / "no.yaml")


def test_a_hub_model_and_an_external_servers_model_need_no_folder(good):
    values = changed(good, "llm", {"model": "/models/llm", "base_url": "http://localhost:1/v1"})
    assert config.load(values, FILE).llm.model == "/models/llm"
