import sys
import types

import pytest
import torch
from harmful import plant, plant_stumbling
from tiny_describer import CONFIG, WORDS, tiny
from tiny_models import one_thread  # noqa: F401
from torchvision import models

from dnd.backends.hub import ModelError
from dnd.rivals import milan_decoding, milan_files

SIZES = {"embedding_size": 6, "hidden_size": 10, "attention_hidden_size": 5, "dropout": 0.5}


def test_a_folder_comes_back_as_it_was(tmp_path):
    model = tiny()
    milan_files.save(model, CONFIG, tmp_path)
    found = milan_files.load(tmp_path)
    assert found.vocabulary == WORDS
    for name, value in model.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, rtol=1e-3, atol=1e-4)
    assert not found.training and all(one.dtype == torch.float32 for one in found.parameters())


@pytest.mark.parametrize("name", ["config.json", "vocabulary.txt", "model.safetensors"])
def test_a_folder_that_is_not_whole(tmp_path, name):
    milan_files.save(tiny(), CONFIG, tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ModelError, match=f"no file {name}"):
        milan_files.load(tmp_path)


def test_a_folder_with_other_weights(tmp_path):
    milan_files.save(tiny(), CONFIG, tmp_path)
    (tmp_path / "vocabulary.txt").write_text("red\nstars\n")
    with pytest.raises(ModelError, match=r"embedding\.weight is \[9, 4\], expected \[6, 4\]"):
        milan_files.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=str(tmp_path)):
        milan_files.load(tmp_path)


class Published:
    """A file as ``Decoder.save`` of the released code writes it, of tiny sizes beside the encoder's."""

    def __init__(self, network="resnet18"):
        torch.manual_seed(1)
        indexer = {
            "properties": {
                "vocab": {"properties": {"tokens": WORDS.words}, "children": {}},
                "tokenize": {"properties": {"nlp": self.spacy(), "lemmatize": False}, "children": {}},
                "start": True,
                "stop": True,
                "pad": True,
                "unk": True,
                "length": 15,
            },
            "children": {},
        }
        self.network = getattr(models, network)(weights=None).eval()
        words = len(WORDS)
        self.lm = {
            "embedding": torch.nn.Embedding(words, 4),
            "lstm": torch.nn.LSTM(4, 7, 2, batch_first=True),
            "output.0": torch.nn.Linear(7, words),
        }
        self.decoder = {
            "init_h.0": torch.nn.Linear(1024, 10),
            "init_c.0": torch.nn.Linear(1024, 10),
            "embedding": torch.nn.Embedding(words, 6),
            "attend.query_to_hidden": torch.nn.Linear(10, 5),
            "attend.key_to_hidden": torch.nn.Linear(1024, 5),
            "attend.output.0": torch.nn.Linear(5, 1),
            "feature_gate.0": torch.nn.Linear(10, 1024),
            "lstm": torch.nn.LSTMCell(6 + 1024, 10),
            "output.1": torch.nn.Linear(10, words),
        }
        encoder = {f"encoder.model.{name}": value for name, value in self.network.state_dict().items()}
        encoder |= {"mean": torch.zeros(1, 3, 1, 1) + 0.5, "std": torch.ones(1, 3, 1, 1)}
        lm = {f"{name}.{key}": v for name, part in self.lm.items() for key, v in part.state_dict().items()}
        own = {f"{name}.{key}": v for name, part in self.decoder.items() for key, v in part.state_dict().items()}
        own |= {f"encoder.{name}": value for name, value in encoder.items()}
        own |= {f"lm.{name}": value for name, value in lm.items()}
        sizes = {"embedding_size": 4, "hidden_size": 7, "layers": 2, "dropout": 0.5}
        self.found = {
            "properties": {
                "indexer": indexer,
                "encoder": {
                    "properties": {"config": network, "pretrained": True},
                    "children": {},
                    "state_dict": encoder,
                },
                "lm": {"properties": {"indexer": indexer, **sizes}, "children": {}, "state_dict": lm},
                **SIZES,
                "length": 15,
                "strategy": "rerank",
                "temperature": 0.2,
                "beam_size": 50,
            },
            "children": {"encoder": "PyramidConvEncoder"},
            "state_dict": own,
        }

    def spacy(self):
        """Configuration and bytes of a spaCy pipeline: a dict of a class that is not installed here."""
        kind = type("Config", (dict,), {"__module__": "thinc.config"})
        module = types.ModuleType("thinc.config")
        module.Config = kind
        sys.modules |= {"thinc": types.ModuleType("thinc"), "thinc.config": module}
        config = kind(nlp={"lang": "en"})
        config.is_interpolated = True
        return config, b"\x00\xffpipeline"

    def save(self, path):
        torch.save(self.found, path)
        self.forget()
        return path

    def forget(self):
        for name in ("thinc", "thinc.config"):
            sys.modules.pop(name, None)


@pytest.fixture
def published():
    made = Published()
    yield made
    made.forget()


def test_a_published_file(tmp_path, published):
    model = milan_files.load(published.save(tmp_path / "milan.pth"))
    assert model.vocabulary == WORDS and model.encoder.size == 224
    images, masks = torch.rand(2, 3, 224, 224), (torch.rand(2, 1, 224, 224) > 0.5).float()
    with torch.no_grad():
        features = model.encoder(images, masks)
        # of layer4, worked out with the network alone
        net = published.network
        x = net.maxpool(net.relu(net.bn1(net.conv1(images - 0.5))))
        maps = net.layer4(net.layer3(net.layer2(net.layer1(x))))
        small = torch.nn.functional.interpolate(masks, size=(7, 7), mode="bilinear", align_corners=False)
        expected = (maps * small).sum((2, 3)) / small.sum((2, 3))
    assert features.shape == (2, 1024)
    torch.testing.assert_close(features[:, -512:], expected, rtol=1e-4, atol=1e-5)


def test_the_published_decoder_by_hand(tmp_path, published):
    """One step of the decoder, written out with the parts that the file was made of."""
    model = milan_files.load(published.save(tmp_path / "milan.pth"))
    features, parts = torch.randn(1, 3, 1024), published.decoder
    with torch.no_grad():
        h, c = (torch.tanh(parts[name](features.mean(1))) for name in ("init_h.0", "init_c.0"))
        query, keys = parts["attend.query_to_hidden"](h), parts["attend.key_to_hidden"](features)
        weights = torch.softmax(parts["attend.output.0"](torch.tanh(query[:, None] + keys))[0, :, 0], 0)
        seen = (weights[:, None] * features[0]).sum(0) * torch.sigmoid(parts["feature_gate.0"](h)[0])
        word = parts["embedding"](torch.tensor([WORDS.start]))
        h, c = parts["lstm"](torch.cat([word, seen[None]], 1), (h, c))
        expected = torch.log_softmax(parts["output.1"](h), 1)
        logs, attention = model(features, torch.tensor([[WORDS.start]]))
    torch.testing.assert_close(logs[0], expected)
    torch.testing.assert_close(attention[0, 0], weights)
    assert milan_decoding.lm_scores(model, torch.tensor([[0, WORDS.stop]])).shape == (1,)


def test_a_published_file_without_language_model(tmp_path, published):
    published.found["properties"]["lm"] = None
    state = published.found["state_dict"]
    published.found["state_dict"] = {name: value for name, value in state.items() if not name.startswith("lm.")}
    model = milan_files.load(published.save(tmp_path / "milan.pth"))
    assert model.lm is None and milan_decoding.lm_scores(model, torch.tensor([[0, 1]])).tolist() == [0.0]


def test_published_files_of_another_kind(tmp_path, published):
    def problem(change):
        found = {**published.found, "properties": dict(published.found["properties"])}
        change(found)
        torch.save(found, tmp_path / "other.pth")
        with pytest.raises(ModelError) as caught:
            milan_files.load(tmp_path / "other.pth")
        return str(caught.value)

    def other_words(found):
        lm = found["properties"]["lm"]
        indexer = {"properties": {"vocab": {"properties": {"tokens": ["red"]}}}}
        found["properties"]["lm"] = {**lm, "properties": {**lm["properties"], "indexer": indexer}}

    assert "'SpatialConvEncoder'" in problem(lambda found: found.update(children={"encoder": "SpatialConvEncoder"}))
    assert "init_h.0.weight is missing" in problem(
        lambda found: found.update(state_dict={k: v for k, v in found["state_dict"].items() if k != "init_h.0.weight"})
    )
    assert "no `state_dict`" in problem(lambda found: found.pop("state_dict"))
    assert "properties.indexer" in problem(lambda found: found["properties"].pop("indexer"))
    assert "1 words" in problem(other_words)
    assert "'vgg'" in problem(lambda found: found["properties"].update(encoder={"properties": {"config": "vgg"}}))


def test_a_state_dict_is_no_describer(tmp_path):
    torch.save({"weight": torch.zeros(2)}, tmp_path / "plain.pth")
    with pytest.raises(ModelError, match=r"the file is no serialised object with `properties`, but has \['weight'\]"):
        milan_files.load(tmp_path / "plain.pth")


class Harmful:
    def __reduce__(self):
        return (print, ("this must not be seen",))


def test_code_in_a_file_is_not_run(tmp_path, capsys):
    torch.save({"properties": {"indexer": Harmful()}}, tmp_path / "harmful.pth")
    with pytest.raises(ModelError, match=r"not safe to load.*print"):
        milan_files.load(tmp_path / "harmful.pth")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("planting", [plant, plant_stumbling])
@pytest.mark.parametrize("name", ["describer.pth", "folder"])
def test_a_planted_file_does_not_run(tmp_path, planting, name):
    describer = tmp_path / name
    if name == "folder":
        milan_files.save(tiny(), CONFIG, describer)
    planting(describer / "model.safetensors" if name == "folder" else describer, tmp_path / "it ran")
    with pytest.raises(ModelError, match=f"describer {describer}: "):
        milan_files.load(describer)
    assert not (tmp_path / "it ran").exists()


def test_no_describer(tmp_path):
    with pytest.raises(ModelError, match="neither a folder nor a file"):
        milan_files.load(tmp_path / "nothing")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ModelError, match=str(tmp_path / "text")):
        milan_files.load(tmp_path / "text")
