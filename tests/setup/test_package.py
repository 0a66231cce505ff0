"""The package as somebody installs it, without a checkout. Builds an environment from the index and uv's cache."""

import subprocess

import pytest
import setup
import torchvision_mend

CODE = """
import pathlib, dnd
from dnd.config import load, shipped
from dnd.backends.captioner import TransformersCaptioner
print(dnd.describe.__module__)
recipe, llm = load.read_recipe(shipped.path("config/config.yaml"))
print(shipped.path(recipe.concepts.prompt), llm.model, sep="\\n")
TransformersCaptioner(recipe.captions)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """An environment with the wheel, made from the source distribution, and what it needs; nothing else."""
    folder = tmp_path_factory.mktemp("package")
    env = setup.Environment(folder / "env", setup.ENVS / "vision.txt", "cpu", editable=True)
    setup.make_folder(uv := setup.Uv(env))
    uv.run("build", "--out-dir", str(folder), str(setup.ROOT))
    (wheel,) = folder.glob("*.whl")
    versions = ["-c" if word == "-r" else word for word in setup.torch_requirements(uv)]
    uv.run("pip", "install", "--python", env.python, str(wheel), *versions)
    if uv.python("import torchvision"):
        torchvision_mend.mend(env.folder)
    return env


@pytest.fixture(scope="module")
def said(installed, tmp_path_factory):
    answer = subprocess.run(
        [installed.python, "-c", CODE],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        env=setup.Uv(installed).environ,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.splitlines()


def test_the_wheel_s_describe_is_imported_from_any_folder(said):
    assert said[0] == "dnd.api"


def test_prompts_and_embedded_models_come_with_it(said, installed):
    for path in said[1:]:
        assert path.startswith(str(installed.folder)), path


def test_it_bears_its_name_and_its_types(installed):
    files = subprocess.run(
        [installed.python, "-m", "pip", "show", "--files", "describe-and-dissect"], capture_output=True, text=True
    ).stdout
    assert "Version: 0.1.0" in files and "dnd/py.typed" in files and "dnd/files/schemas/config.schema.json" in files
