"""What packages have, read from their sources, is what they have when they are imported."""

import inspect

import pytest

from dnd.io import installed


def test_every_network_that_a_package_has_is_known_to_be_there():
    import timm
    from torchvision import models

    assert [name for name in models.list_models() if installed.unknown_network("torchvision", name)] == []
    names = {name.partition(".")[0] for name in timm.list_models()}
    assert [name for name in sorted(names)[::7] if installed.unknown_network("timm", name)] == []


@pytest.mark.parametrize(
    ("package", "name", "closest"), [("torchvision", "resnet81", "resnet18"), ("timm", "vit_basee_patch16", "vit_base")]
)
def test_network_that_is_not_there(package, name, closest):
    told = installed.unknown_network(package, name)
    assert told.startswith(f"{package} has no model '{name}'; the closest names are ")
    assert closest in told


def test_weights_of_every_network_of_torchvision():
    from torchvision import models

    for name in models.list_models():
        known = [one.name for one in models.get_model_weights(name)]
        assert [one for one in known if installed.unknown_weights(name, one)] == []
        if known and not name.startswith("quantized_"):  # functions of other names make those
            assert f"{name} has no weights 'V9'; torchvision has " in installed.unknown_weights(name, "V9")


def test_schedulers_of_diffusers():
    import diffusers

    known = [name for name in dir(diffusers) if name.endswith("Scheduler") and not name.startswith("Flax")]
    assert [name for name in known if installed.unknown_scheduler(name)] == []
    told = installed.unknown_scheduler("EulerDiscretScheduler")
    assert told.startswith("diffusers has no scheduler 'EulerDiscretScheduler'; the closest names are EulerDiscrete")
    assert installed.unknown_scheduler("UNet2DModel") is not None


@pytest.mark.parametrize("name", ["StableDiffusionPipeline", "StableDiffusionXLPipeline", "PixArtSigmaPipeline"])
def test_what_a_pipeline_is_called_with(name):
    import diffusers

    known = list(inspect.signature(getattr(diffusers, name).__call__).parameters)[1:]
    assert [one for one in installed.parameters_of_pipeline(name) if one not in known] == []
    assert set(known) - {"kwargs"} == set(installed.parameters_of_pipeline(name))
    assert installed.parameters_of_pipeline("NoSuchPipeline") == []


def test_of_a_package_that_is_not_installed_nothing_is_said(monkeypatch):
    monkeypatch.setattr(installed, "folder", lambda package: None)
    installed._sources.cache_clear()
    try:
        assert installed.unknown_network("torchvision", "anything") is None
        assert installed.unknown_weights("resnet18", "anything") is None
        assert installed.unknown_scheduler("anything") is None
    finally:
        installed._sources.cache_clear()


@pytest.mark.parametrize(
    ("code", "function", "message"),
    [
        ("def build(): pass", "build", None),
        ("class Net:\n    def of(cls): pass", "Net.of", None),
        ("from elsewhere import build", "build", None),
        ("from elsewhere import *", "build", None),
        ("if True:\n    build = lambda: None", "build", None),
        ("globals()['build'] = print", "build", None),
        ("def other(): pass", "build", "defines no 'build'"),
        ("class Nett: pass", "Net.of", "defines no 'Net'"),
    ],
)
def test_function_of_a_file(tmp_path, code, function, message):
    path = tmp_path / "mine.py"
    path.write_text(code)
    found = installed.missing_function(path, function)
    assert found == (message and f"{path} {message}")


def test_file_that_is_no_python(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("x = 1\ndef build(:\n")
    with pytest.raises(ValueError, match=r"mine\.py, line 2: no Python: "):
        installed.missing_function(path, "build")
