"""The configuration: each mistake is one clear line that names the file and the key, and what is right."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spoilt import FILE, changed, problem, write_good

from dnd.config import load

PROMPT = "config/prompts/concept.yaml"


@pytest.fixture
def good(tmp_path, monkeypatch):
    """Values of config.yaml that are right, in a folder with the files that they name."""
    monkeypatch.chdir(tmp_path)
    return write_good(tmp_path)


def test_good_values_load_with_their_defaults(good):
    loaded = load.load(good, FILE)
    recipe = loaded.recipes["dnd"]
    assert (recipe.pooling, recipe.exemplars.keep, recipe.generator.steps) == ("mean", 16, 20)
    assert loaded.probes["photos"].path == Path("images")


def test_the_repositorys_own_configuration_is_good(monkeypatch):
    yaml = pytest.importorskip("yaml")
    root = Path(__file__).parents[3]
    monkeypatch.chdir(root)
    loaded = load.Config.model_validate(yaml.safe_load((root / FILE).read_text()))
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
        ("probes.photos", {"source": "manifest", "path": PROMPT}, "probes.photos: .*manifest is a .csv or .tsv file"),
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
        ("recipes.dnd.exemplars", {"images": True}, "exemplars.images: .*valid integer, not True"),
        ("recipes.dnd.controls", "1600", "recipes.dnd.controls: .*valid integer, not '1600'"),
        ("recipes.dnd.controls", 1600.5, "recipes.dnd.controls: .*valid integer, not 1600.5"),
        ("recipes.dnd.captions.trust_remote_code", "yes", "trust_remote_code: .*valid boolean, not 'yes'"),
        ("recipes.dnd.generator.guidance", True, "guidance: .*valid number, not True"),
        ("recipes.dnd.generator.guidance", float("nan"), "guidance: must be a finite number, not nan"),
        ("recipes.dnd.scores", {"auc": float("inf")}, "scores.auc: must be a finite number, not inf"),
        ("models.net.arguments", {"width": [1, float("-inf")]}, "arguments.width.1: must be a finite number, not -inf"),
        ("recipes.dnd.generator.size", 10**9, "generator.size: .*less than or equal to 65535, not 1000000000"),
        ("recipes.dnd.generator.images", 10**9, "generator.images: must not exceed 10,000,000, not 1000000000"),
        ("probes.photos.limit", 20_000_000, "probes.photos.limit: must not exceed 10,000,000"),
        ("probes.photos.shards", 100_000, "probes.photos.shards: .*less than or equal to 99999"),
        ("probes.photos.seed", 10**30, "probes.photos.seed: must be a number of 64 bits, not one of 100 bits"),
        ("models.net.arguments", {"n": 9**4400}, "arguments.n: must be a number of 64 bits"),
        ("probes.photos.part", "\u0661/\u0662", "probes.photos.part: .*pattern"),
        (
            "models.net.preprocess",
            {"size": 224, "std": [0.2, 0.0, 0.2]},
            "preprocess: `std` must be above zero, not 0.0",
        ),
        ("models.net.preprocess", {"size": 10**9}, "models.net.preprocess.size: .*65535"),
        ("models.net.preprocess", {"size": [8, "8"]}, "models.net.preprocess.size.1: .*valid integer, not '8'"),
        ("recipes.dnd.captions.model", "", "recipes.dnd.captions.model: must not be empty"),
        ("recipes.dnd.embedder.model", "  ", "recipes.dnd.embedder.model: must not be empty"),
        ("recipes.dnd.generator.prompt", "{concept} }", r"generator.prompt: .*no other braces"),
        ("store", "results/demo/store", "store: results/demo/store lies in the results folder of the run"),
        ("store", "results/./demo/a/../b", "store: .* lies in the results folder of the run"),
        ("store", "config/sweep.tsv", "store: config/sweep.tsv is a file, expected a folder"),
        ("run", "n" * 300, "run: .*pattern"),
        ("probes." + "p" * 300, {"source": "folder", "path": "images"}, "a name is letters, .* 64 at most"),
        ("recipes.dnd.concepts.prompt", "images", "recipes.dnd.concepts.prompt: images is no file"),
        ("recipes.dnd.concepts.prompt", "a" * 300, "recipes.dnd.concepts.prompt: a* does not exist"),
        ("models.net.weights", "images.pt", "models.net.weights: images.pt does not exist"),
        ("sweep", "images", "sweep: images is no file"),
        ("models.net.arguments", {"day": __import__("datetime").date(2024, 1, 2)}, "day: must be text, .* not a date"),
        ("models.net.arguments", {3: 4}, "arguments.3: a key must be text, in quotes, not 3"),
        ("models.net.factory", "res\0net", "factory: must be text, without zero bytes"),
        ("models.net.factory", "res\ud800net", "factory: must be text, without zero bytes and half characters"),
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
    with pytest.raises(load.ConfigError, match=r"mine.yaml: __use_yte__: expected plain values; Snakemake runs such"):
        load.refuse_code(tmp_path / "mine.yaml")


@pytest.mark.parametrize("text", ["# __use_yte__: true\nrun: x\n", "llm: {__use_yte__: 1}\n", "- a\n", "a: [", ""])
def test_a_configuration_that_snakemake_would_not_run_is_left_to_other_checks(tmp_path, text):
    (tmp_path / "mine.yaml").write_text(text)
    load.refuse_code(tmp_path / "mine.yaml")
    load.refuse_code(tmp_path / "no.yaml")


def test_a_mistake_hides_no_other(good):
    """Not even one of the same section, of what two keys say together, or of a file."""
    Path("broken.json").write_text("{")
    for place, value in {
        "run": "../up",
        "llm": ...,
        "models.net.known_answers": "broken.json",
        "models.net.preprocess": {"size": 64, "mean": [0.5, "half", 0.5]},
        "probes.photos.path": "pictures",
        "probes.two": {"source": "huggingface"},
        "recipes.dnd.captions.model": "",
        "recipes.dnd.concepts": {"known_answers": True, "show_images": True},
        "recipes.dnd.generator.steps": -1,
        "recipes.dnd.generator.prompt": "{",
        "recipes.dnd.scores": {"join": 2, "verdict": "none.json"},
    }.items():
        good = changed(good, place, value)
    told = problem(good).splitlines()
    assert all(line.startswith(f"{FILE}: ") for line in told)
    assert sorted(line.split(": ")[1] for line in told) == [
        "llm",
        "models.net.known_answers",
        "models.net.preprocess.mean.1",
        "probes.photos.path",
        "probes.two",
        "recipes.dnd.captions.model",
        "recipes.dnd.concepts",
        "recipes.dnd.generator.prompt",
        "recipes.dnd.generator.steps",
        "recipes.dnd.scores.verdict",
        "run",
    ]


def test_what_is_left_of_a_section_is_not_blamed_for_what_was_taken_out(good):
    """A path of another type is one mistake: not also a folder's lack of a path."""
    assert len(problem(changed(good, "probes.photos.path", 3)).splitlines()) == 1
    assert len(problem(changed(good, "recipes.dnd.embedder", {"model": 3})).splitlines()) == 1


def test_a_number_with_an_exponent_and_no_point_is_a_number(good):
    """YAML 1.1 takes `1e-3` for text."""
    loaded = load.load(changed(good, "recipes.dnd.generator.guidance", "1e-3"), FILE)
    assert loaded.recipes["dnd"].generator.guidance == 0.001
    loaded = load.load(changed(good, "models.net.preprocess", {"size": 8, "mean": [0, "5e-1", 0]}), FILE)
    assert loaded.models["net"].preprocess.mean == (0.0, 0.5, 0.0)


def test_values_that_hold_themselves_or_multiply(good):
    itself = {}
    itself["again"] = [itself]
    assert "arguments.again.0: holds itself" in problem(
        changed(good, "models.net.arguments", {"again": [itself]})
        | {"models": {"net": good["models"]["net"] | {"arguments": itself}}}
    )
    many = ["x"] * 10
    for _ in range(9):
        many = [many] * 10
    good["models"]["net"]["arguments"] = {"many": many}
    assert problem(good) == f"{FILE}: models: holds more than 1,000,000 values"
    deep = []
    for _ in range(2000):
        deep = [deep]
    good["models"]["net"]["arguments"] = {"deep": deep}
    assert "lies more than 100 levels deep" in problem(good)


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["config", "images", "results"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text() | st.integers(), inner, max_size=2),
    max_leaves=4,
)


def _places(values, above=()):
    for key, value in values.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from _places(value, (*above, key))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(random=st.randoms(use_true_random=False), junk=st.lists(JUNK, min_size=1, max_size=3))
def test_no_value_ends_in_a_traceback(good, random, junk):
    for one in junk:
        place = random.choice(
            [key for key in _places(good) if all(isinstance(part, str) and "." not in part for part in key)]
        )
        good = changed(good, ".".join(place), one)
        if not isinstance(good.get("models"), dict):
            break
    try:
        load.load(good, FILE)
    except load.ConfigError as error:
        assert str(error).startswith(FILE)


def test_a_hub_model_and_an_external_servers_model_need_no_folder(good):
    values = changed(good, "llm", {"model": "/models/llm", "base_url": "http://localhost:1/v1"})
    assert load.load(values, FILE).llm.model == "/models/llm"
