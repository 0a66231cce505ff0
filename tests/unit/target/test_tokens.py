"""Which tokens show which place of the image is found out on the network itself; what nothing tells is asked for."""

import pytest
import timm
import torch
import transformers
from handmade import plain
from torch import nn

from dnd.target import inventory
from dnd.target.network import Target
from dnd.target.outputs import TargetError
from dnd.target.tokens import Told

SIDE, PATCH = 64, 8
GRID = (8, 8)


def target(network, side=SIDE, **told):
    return Target(network.eval(), plain(side), torch.device("cpu"), Told(**told))


class Mixing(nn.Module):
    """Attention over all tokens, with a residual."""

    def __init__(self, units):
        super().__init__()
        self.norm = nn.LayerNorm(units)
        self.attention = nn.MultiheadAttention(units, 2, batch_first=True)
        self.out = nn.Linear(units, units)

    def forward(self, tokens):
        seen = self.norm(tokens)
        return tokens + self.out(self.attention(seen, seen, seen, need_weights=False)[0])


class Patches(nn.Module):
    """Tokens of patches, with other tokens before and behind them, in any order, and blocks that mix them."""

    def __init__(self, prefix=0, suffix=0, order=None, units=16):
        super().__init__()
        torch.manual_seed(3)
        self.patches = nn.Conv2d(3, units, PATCH, PATCH)
        self.prefix = nn.Parameter(torch.randn(1, prefix, units))
        self.suffix = nn.Parameter(torch.randn(1, suffix, units))
        self.order = order
        self.blocks = nn.Sequential(Mixing(units), Mixing(units))

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = tokens if self.order is None else tokens[:, self.order]
        n = len(x)
        tokens = torch.cat([self.prefix.expand(n, -1, -1), tokens, self.suffix.expand(n, -1, -1)], 1)
        return self.blocks(tokens).mean(1)


class Queries(nn.Module):
    """Some learned vectors, that do not depend on the image, look at its maps."""

    def __init__(self, queries, patch=16, units=16):
        super().__init__()
        torch.manual_seed(4)
        self.maps = nn.Conv2d(3, units, patch, patch)
        self.queries = nn.Parameter(torch.randn(1, queries, units))
        self.decoder = Decoder(units)

    def forward(self, x):
        memory = self.maps(x).flatten(2).transpose(1, 2)
        return self.decoder(self.queries.expand(len(x), -1, -1), memory).mean(1)


class Decoder(nn.Module):
    def __init__(self, units):
        super().__init__()
        self.norm = nn.LayerNorm(units)
        self.cross = nn.MultiheadAttention(units, 2, batch_first=True)
        self.out = nn.Linear(units, units)

    def forward(self, queries, memory):
        return self.out(self.cross(self.norm(queries), memory, memory, need_weights=False)[0])


class Returning(nn.Module):
    """A network whose layer returns whatever a function makes of maps."""

    def __init__(self, make, patch=PATCH, units=16):
        super().__init__()
        torch.manual_seed(5)
        self.maps = nn.Conv2d(3, units, patch, patch)
        self.layer = Made(make)

    def forward(self, x):
        return self.layer(self.maps(x))


class Made(nn.Module):
    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, maps):
        return self.make(maps)


def z_order(side):
    """The tokens of a square in the order of nested quarters: for each of them its position row by row."""
    bits = side.bit_length() - 1

    def place(token):
        row = sum((token >> (2 * bit + 1) & 1) << bit for bit in range(bits))
        column = sum((token >> (2 * bit) & 1) << bit for bit in range(bits))
        return row * side + column

    return [place(token) for token in range(side * side)]


def share(target, layer):
    """The share of a layer's energy that lies in the only textured sixteenth of a grey picture; by chance 1/16."""
    height, width = target.preprocess.size
    picture = torch.zeros(1, 3, height, width)
    rows, columns = slice(height // 2, 3 * height // 4), slice(0, width // 4)
    texture = torch.rand(3, height, width, generator=torch.Generator().manual_seed(7)) * 4 - 2
    picture[0, :, rows, columns] = texture[:, rows, columns]

    def maps(inputs):
        return target.read(inputs, [layer], lambda _, reading: reading.maps(0, torch.arange(reading.units)))[layer]

    energy = (maps(picture) - maps(torch.zeros_like(picture))).square().sum(0)
    side = len(energy)
    return float(energy[side // 2 : -(-3 * side // 4), : -(-side // 4)].sum() / energy.sum())


def form_of(target, layer):
    """What is found out of a layer: the layout, and which tokens show the image."""
    kept = {}
    handle = target.module(layer).register_forward_hook(lambda _, inputs, output: kept.update(output=output))
    target.forward(torch.zeros(2, 3, *target.preprocess.size))
    handle.remove()
    return target.form(layer, kept["output"], 2)


def hiera_of_transformers():
    settings = {"embed_dim": 24, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 4, 8], "image_size": [128, 128]}
    return transformers.HieraModel(transformers.HieraConfig(**settings))


def hiera_of_timm():
    return timm.create_model("hiera_tiny_224", img_size=(128, 128), embed_dim=24, stages=(1, 1, 2, 1))


@pytest.mark.parametrize(
    ("build", "layers"),
    [
        (hiera_of_timm, ["blocks.0", "blocks.1.mlp.fc1", "blocks.3"]),
        (hiera_of_transformers, ["encoder.stages.0.layers.0", "encoder.stages.1.layers.0.mlp.fc1", "encoder.stages.2"]),
    ],
)
def test_tokens_that_the_network_unrolls_are_put_back_in_rows(build, layers):
    torch.manual_seed(0)
    network = target(build(), 128)
    for layer in layers:
        assert share(network, layer) > 0.4, layer


@pytest.mark.parametrize(
    ("network", "side", "layer", "prefix", "suffix"),
    [
        (Patches(), SIDE, "blocks.1", 0, 0),
        (Patches(prefix=1), SIDE, "blocks.1.norm", 1, 0),
        (Patches(prefix=5), SIDE, "blocks.0", 5, 0),
        (Patches(prefix=36), SIDE, "blocks.1", 36, 0),  # with which 100 tokens are a square, too
        (Patches(prefix=17), SIDE, "blocks.0.norm", 17, 0),  # 81
        (Patches(prefix=17), SIDE, "blocks.1", 17, 0),
        (Patches(suffix=17), SIDE, "blocks.1.norm", 0, 17),
        (Patches(prefix=1, suffix=10), SIDE, "blocks.1.norm", 1, 10),
        (Patches(suffix=36), SIDE, "blocks.1", 0, 36),
    ],
)
def test_tokens_before_and_behind_those_of_the_image(network, side, layer, prefix, suffix):
    network = target(network, side)
    assert form_of(network, layer).tokens[:3] == (prefix, suffix, GRID)
    assert share(network, layer) > 0.4


def test_detection_tokens_of_yolos():
    settings = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 48}
    config = transformers.YolosConfig(**settings, image_size=[64, 64], patch_size=8, num_detection_tokens=100)
    torch.manual_seed(0)
    network = target(transformers.YolosModel(config))
    assert form_of(network, "encoder.layer.1").tokens[:3] == (1, 100, GRID)
    assert share(network, "encoder.layer.0") > 0.4


def test_an_unknown_order_is_asked_for_and_taken():
    order = z_order(8)
    with pytest.raises(TargetError, match=r"whose 64 tokens do not lie in rows of the image: set models.NAME"):
        share(target(Patches(order=order)), "blocks.1")
    by_position = torch.tensor(order).argsort()
    assert share(target(Patches(order=order), order=by_position), "blocks.1") > 0.4


def test_another_unknown_order():
    """Columns before rows, behind a class token."""
    columns = torch.arange(64).view(8, 8).T.flatten().tolist()
    with pytest.raises(TargetError, match=r"whose 65 tokens do not lie in rows"):
        share(target(Patches(order=columns, prefix=1)), "blocks.0.norm")
    told = target(Patches(order=columns, prefix=1), order=torch.tensor(columns).argsort())
    assert share(told, "blocks.0.norm") > 0.4


def test_an_order_of_other_tokens_is_refused():
    with pytest.raises(TargetError, match=r"token_order is of 49 tokens"):
        share(target(Patches(), order=torch.arange(49)), "blocks.0")


@pytest.mark.parametrize("queries", [100, 25, 16])  # 16: as many as there are places
def test_queries_are_no_places_of_the_image(queries):
    for layer in ("decoder.norm", "decoder.out", "decoder"):
        with pytest.raises(TargetError, match=f"whose {queries} tokens begin the same for every image, as queries do"):
            form_of(target(Queries(queries)), layer)


def test_queries_of_detr():
    backbone = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1])
    sizes = {"d_model": 24, "encoder_layers": 1, "decoder_layers": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    config = transformers.DetrConfig(
        use_timm_backbone=False, backbone_config=backbone, backbone=None, num_queries=100, **sizes,
        encoder_attention_heads=2, decoder_attention_heads=2,
    )  # fmt: skip
    torch.manual_seed(0)
    network = target(transformers.DetrModel(config), 128)
    rows = {row.layer: row for row in inventory.modules(network)}
    decoder = [row for name, row in rows.items() if ".100x" in f".{row.shape}"]
    assert len(decoder) > 5
    assert all(row.units is None and "whose 100 tokens" in row.problem for row in decoder)
    assert any(row.shape == "16x24" and row.units == 24 for row in rows.values())  # the encoder's, of 4 x 4 places


def test_tokens_on_the_last_axis():
    """A Mixer's token MLP works on channels x tokens; 28 tokens before 22 x 22 it is not, though 512 would be."""
    torch.manual_seed(0)
    mixer = target(timm.models.mlp_mixer.MlpMixer(num_blocks=2), 224)
    assert form_of(mixer, "blocks.0.mlp_tokens").layout == "NCT"
    assert share(mixer, "blocks.0.norm1") > 0.4
    with pytest.raises(TargetError, match=r"returns 512x256, whose 512 tokens nothing tells to be places"):
        form_of(mixer, "blocks.0.mlp_tokens.fc1")


def test_other_tokens_on_the_last_axis():
    torch.manual_seed(0)
    network = target(Returning(lambda maps: maps.flatten(2), units=65))  # 65 would be a class token and 8 x 8
    assert form_of(network, "layer").layout == "NCT"
    assert share(network, "layer") > 0.9
    ambiguous = target(Returning(lambda maps: maps.flatten(2).mean(2, keepdim=True).expand(-1, -1, 64), units=64))
    with pytest.raises(TargetError, match=r"returns 64x64"):
        form_of(ambiguous, "layer")


@pytest.mark.parametrize(
    "make",
    [
        lambda maps: maps.mean((2, 3))[:, :1, None].expand(-1, 84, 2100),  # classes and boxes of a detector
        lambda maps: maps.mean((2, 3))[:, None].expand(-1, 49, -1),
        lambda maps: maps.mean((2, 3))[:, None].expand(-1, 17, -1),  # would be a class token and 4 x 4
    ],
)
def test_numbers_that_happen_to_fit_are_no_evidence(make):
    with pytest.raises(TargetError, match=r"nothing tells to be places of the image: set models.NAME.prefix_tokens"):
        form_of(target(Returning(make)), "layer")


@pytest.mark.parametrize("states", [16, 64])  # as many as places, of the half-size map and of the map itself
def test_states_that_gather_from_everywhere_are_no_places(states):
    """As those of a Mamba, each of which remembers some places of the image more than others."""
    weights = torch.randn(64, states, generator=torch.Generator().manual_seed(1)).mul(6).exp()
    with pytest.raises(TargetError, match=rf"whose {states} tokens (nothing tells to be places|do not lie in rows)"):
        form_of(target(Returning(lambda maps: (maps.flatten(2) @ weights).transpose(1, 2), units=24)), "layer")


def test_what_holds_between_tokens_is_no_map():
    def attention(maps):
        tokens = maps.flatten(2).transpose(1, 2).unflatten(2, (4, -1)).transpose(1, 2)
        return (tokens @ tokens.transpose(2, 3)).softmax(-1)

    with pytest.raises(TargetError, match=r"returns 4x49x49, what holds between 49 tokens, not maps"):
        form_of(target(Returning(attention, patch=8), 56), "layer")


def test_settings_win():
    network = target(Patches(prefix=1, suffix=10), prefix=1, suffix=10)
    assert form_of(network, "blocks.1").tokens[:3] == (1, 10, GRID)
    with pytest.raises(TargetError, match=r"returns 75x16, 75 tokens, which are no grid.*after 2 prefix tokens"):
        form_of(target(Patches(prefix=1, suffix=10), prefix=2), "blocks.1")
    told = target(Returning(lambda maps: maps.mean((2, 3))[:, None].expand(-1, 17, -1)), prefix=1)
    assert form_of(told, "layer").tokens[:3] == (1, 0, (4, 4))


def test_tokens_before_images_although_there_are_as_many():
    """Sixteen tokens and sixteen images: which axis is which is known from other numbers of images."""
    network = target(Returning(lambda maps: maps.flatten(2).permute(2, 0, 1), patch=16))
    values = network.read(torch.randn(16, 3, SIDE, SIDE), ["layer"], lambda _, reading: reading.output.positions)[
        "layer"
    ]
    kept = network.model.maps(torch.zeros(1, 3, SIDE, SIDE))
    assert values.shape == (16, 16, kept.shape[1])
    assert form_of(network, "layer").layout == "TNC"


def test_places_in_other_proportions_are_those_of_the_maps():
    """An input of 40 x 64 in patches of 16 that do not fill it."""
    network = Target(Patches().eval(), plain((44, 64)), torch.device("cpu"))
    assert form_of(network, "blocks.1").tokens[:3] == (0, 0, (5, 8))
