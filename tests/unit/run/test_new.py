"""A configuration written for a user's network and images."""

import pytest
import yaml
from probing import picture

from dnd.config.load import config_file
from dnd.config.sweep import sweep_rows
from dnd.run import contents, new


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").write_bytes(picture(1))


@pytest.mark.parametrize("recipe", ["small-gpu", "paper", "h100", "openai", "direct-vlm", "summary-only", "compat"])
def test_what_is_written_is_sound_and_says_what_was_asked(photos, recipe):
    asked = ["--factory", "resnet18", "--layers", "layer3,layer4", "--images", "photos", "--recipe", recipe]
    assert new.main(["my/net", *asked]) == 0
    config = contents.load(config_file("my/net/config.yaml"))
    assert config.run == "net"
    assert config.models["network"].factory == "resnet18" and config.models["network"].weights == "DEFAULT"
    assert str(config.probes["images"].path) == "photos"
    (row,) = sweep_rows(config)
    assert (row.name, row.model, row.probe, row.recipe) == ("all", "network", "images", "dnd")
    assert [*row.layers] == ["layer3", "layer4"] or row.layers == "layer3,layer4"


@pytest.mark.parametrize("source", ["torchvision", "timm", "transformers", "python"])
def test_every_source_of_networks(photos, source, tmp_path):
    (tmp_path / "mine.py").write_text("def build():\n    return None\n")
    factory = {"transformers": "owner/name", "python": "mine.py:build"}.get(source, "resnet18")
    assert new.main(["my", "--source", source, "--factory", factory, "--images", "photos"]) == 0
    assert contents.load(config_file("my/config.yaml")).models["network"].source == source


def test_the_commands_and_what_is_to_mend_are_told(photos, capsys):
    new.main(["my", "--images", "nowhere"])
    told = capsys.readouterr().out
    assert "to mend:\n  probes.images.path: nowhere does not exist\n" in told
    assert "snakemake inventory --configfile my/config.yaml" in told and "--configfile my/config.yaml -n" in told
    new.main(["other", "--images", "photos"])
    assert "to mend" not in capsys.readouterr().out


def test_nothing_is_overwritten(photos, tmp_path, capsys):
    new.main(["my", "--images", "photos"])
    before = (tmp_path / "my/config.yaml").read_bytes()
    (tmp_path / "my/sweep.tsv").unlink()
    assert new.main(["my", "--factory", "alexnet"]) == 2
    assert capsys.readouterr().err == "my/config.yaml exists already: choose another folder\n"
    assert (tmp_path / "my/config.yaml").read_bytes() == before and not (tmp_path / "my/sweep.tsv").exists()


@pytest.mark.parametrize("images", ["a b", 'it\'s: "new" # 1', "yes", "{x}", "é\\n", "~/photos", "12"])
def test_any_name_is_written_as_it_is(photos, images):
    new.main(["my", "--images", images])
    with open("my/config.yaml", encoding="utf-8") as file:
        assert yaml.safe_load(file)["probes"]["images"]["path"] == images
