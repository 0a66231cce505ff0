"""Files that come with the library, from a folder that holds none of them."""

from pathlib import Path

import pytest
import yaml

from dnd.candidates.prompts import read_prompt
from dnd.config import load, shipped
from dnd.config.rivals import LineRecipe
from dnd.config.stages import ConceptSettings

ROOT = Path(__file__).parents[3]
PROMPT = "config/prompts/concept.yaml"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_shipped_file_is_found_from_anywhere(elsewhere):
    assert shipped.path(PROMPT) == ROOT / PROMPT
    assert shipped.path("resources/shapeworld/embedder").is_dir()


def test_a_file_of_the_user_s_own_goes_first(elsewhere):
    (elsewhere / "config/prompts").mkdir(parents=True)
    (elsewhere / PROMPT).write_text("mine")
    assert shipped.path(PROMPT) == Path(PROMPT)


@pytest.mark.parametrize("name", ["config/none.yaml", "README.md", "owner/model", "", "/config/prompts/concept.yaml"])
def test_any_other_path_stays_as_it_is(elsewhere, name):
    assert shipped.path(name) == Path(name)


def test_values_are_looked_through_at_any_depth(elsewhere):
    values = {"a": [{"b": PROMPT, "c": "config/none.yaml"}, 3], "d": None, "e": "resources of a kind"}
    assert shipped.resolved(values) == {
        "a": [{"b": str(ROOT / PROMPT), "c": "config/none.yaml"}, 3],
        "d": None,
        "e": "resources of a kind",
    }


def test_default_prompts_are_read_in_any_folder_and_named_alike_in_all(elsewhere):
    prompts = [
        ConceptSettings().prompt,
        ConceptSettings(show_images=True).prompt,
        LineRecipe.model_validate({"method": "line", "generator": {"model": "a/b"}}).prompt,
    ]
    assert [path.name for path in prompts] == ["concept.yaml", "concept-images.yaml", "line.yaml"]
    assert all(path.parent == Path("config/prompts") for path in prompts)  # what stages' parameters say
    shown = ["captions", "images", "history"]
    assert all(read_prompt(path, shows) for path, shows in zip(prompts, shown, strict=True))


def test_the_embedded_configuration_holds_in_any_folder(elsewhere):
    values = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    read = load.load(values)
    assert read.sweep == ROOT / "config/sweep.tsv"
    recipe, llm = load.read_recipe(shipped.path("config/config.yaml"))
    assert recipe.captions.model == str(ROOT / "resources/shapeworld/captioner")
    assert llm.model == str(ROOT / "resources/shapeworld/summariser")


def test_the_language_model_s_interpreter_is_that_of_the_checkout(elsewhere):
    assert shipped.vllm_python() == str(ROOT / ".venv-vllm/bin/python")
    (elsewhere / ".venv-vllm/bin").mkdir(parents=True)
    (elsewhere / ".venv-vllm/bin/python").touch()
    assert shipped.vllm_python() == ".venv-vllm/bin/python"
