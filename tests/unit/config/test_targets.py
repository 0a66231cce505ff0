"""What the configuration says of what is described: networks, their units, and the images they see."""

import autoencoder_references as references
import pytest
from autoencoder_cases import saelens_folder
from pydantic import ValidationError

from dnd.config.targets import AnnotationSettings, BasisSettings, PreprocessSettings, ProbeSettings


def test_parts_of_a_probe_are_named_by_number():
    with pytest.raises(ValueError, match="`part` is 3/2"):
        ProbeSettings(source="shapeworld", part="3/2")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "broden"}, "needs `path`"),
        ({"source": "labels", "path": "x"}, "needs `path`"),
        ({"source": "labels", "categories": ["object"]}, "takes no `categories`"),
        ({"source": "shapeworld", "parents": "x"}, "takes no `parents`"),
    ],
)
def test_keys_must_fit_the_source(settings, message):
    with pytest.raises(ValueError, match=message):
        AnnotationSettings(**settings)


def test_files_that_describe_an_autoencoder(tmp_path):
    """What the results depend on besides the tensors."""
    saelens_folder(tmp_path, references.saelens_state(23))
    for path in (tmp_path, tmp_path / "sae_weights.safetensors"):
        assert BasisSettings(kind="sae", path=path).description_files() == [tmp_path / "cfg.json"]
    assert BasisSettings(kind="directions", path=tmp_path / "sae_weights.safetensors").description_files() == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 32, "resize": 16}, "no smaller than its shorter side"),
        ({"size": 0}, "above zero"),
        ({"size": 32, "mean": (0.5, 0.5)}, "three values"),
    ],
)
def test_preprocessing_that_makes_no_sense(settings, message):
    with pytest.raises(ValidationError, match=message):
        PreprocessSettings(**settings)
