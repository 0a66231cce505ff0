"""Models of real classes, tiny and with random weights, as folders like those of a hub."""

import json

import pytest
import timm
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

SIDE = 32
WORDS = [f"word{i}" for i in range(40)] + ["red", "stars", "on", "grass", "what", "is", "this"]
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>", "<image>"]
PAD, UNKNOWN, START, END, IMAGE = range(5)
SIZE = len(SPECIAL) + len(WORDS)
LAYER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
VISION = LAYER | {"image_size": SIDE, "patch_size": 8}
TEXT = LAYER | {
    "vocab_size": SIZE,
    "max_position_embeddings": 64,
    "pad_token_id": PAD,
    "bos_token_id": START,
    "eos_token_id": END,
}
PIXELS = {"size": {"height": SIDE, "width": SIDE}}
WIDTH = 16


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """In modules that import it: more threads than one only slow such models down, above all beside other programs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tokenizer(**special):
    """One token for every word, between <s> and </s>."""
    base = Tokenizer(models.WordLevel({word: i for i, word in enumerate(SPECIAL + WORDS)}, unk_token="<unk>"))
    base.pre_tokenizer = pre_tokenizers.Whitespace()
    base.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", START), ("</s>", END)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=base, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>", **special
    )


def shaken(model, seed=0):
    """The model with weights so large that what it makes of two inputs differs."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 2 / parameter.shape[-1] ** 0.5)
    return model.eval()


def save(folder, model, *others, seed=0):
    """Save a model beside its processors."""
    shaken(model, seed).save_pretrained(folder)
    for one in others:
        one.save_pretrained(folder)
    return str(folder)


def resnet_with(images):
    """Return what saves a convolutional network, which takes inputs of any size, beside an image processor."""

    def build(folder):
        config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
        return save(folder, transformers.ResNetModel(config), images)

    return build


def of_timm(name):
    """Return what saves a network of timm as its hub has it: how images are prepared stands in ``config.json``."""

    def build(folder):
        model = shaken(timm.create_model(name))
        timm.models.save_for_hf(model, str(folder), safe_serialization=True)
        config = json.loads((folder / "config.json").read_text())
        config.pop("model_args", None)  # transformers gives some of them twice; most published files have none
        (folder / "config.json").write_text(json.dumps(config))
        return str(folder)

    return build


TOKENS = 16
CLIP_TEXT = TEXT | {"max_position_embeddings": TOKENS, "projection_dim": WIDTH}
BLOCKS = {"block_out_channels": (8, 8), "norm_num_groups": 4}
