"""A tiny describer of MILAN's with random weights."""

import torch
from tiny_models import one_thread  # noqa: F401

from dnd.rivals import milan_files
from dnd.rivals.milan_model import Vocabulary

WORDS = Vocabulary(("red", "stars", "-", ",", "blue"))

CONFIG = {
    "encoder": {"network": "shapeworld", "widths": [4, 4, 6, 8], "blocks": [1, 1, 1, 1], "size": 16},
    "decoder": {"embedding": 6, "hidden": 10, "attention": 5, "dropout": 0.5},
    "lm": {"embedding": 4, "hidden": 7, "layers": 2},
}

FEATURES = 4 + 4 + 4 + 6 + 8


def tiny(words=WORDS, seed=0):
    """A describer with random weights, large enough that descriptions differ in probability."""
    torch.manual_seed(seed)
    model = milan_files.build(CONFIG, words)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and not name.startswith("encoder"):
                parameter.mul_(4)
    return model.eval().requires_grad_(False)
