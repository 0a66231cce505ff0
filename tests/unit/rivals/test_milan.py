import io
import itertools

import numpy as np
import pytest
import torch
from handmade import TinyTarget, plain, png, write_probe
from PIL import Image
from tiny_describer import FEATURES, WORDS, tiny
from tiny_models import one_thread  # noqa: F401

from dnd.config.rivals import MilanRecipe
from dnd.io import schemas, tables
from dnd.rivals import milan, milan_decoding, milan_model, thresholds
from dnd.rivals.milan_model import Vocabulary


def recipe(**settings):
    return MilanRecipe(method="milan", describer="somewhere", **settings)


def test_shapes_of_encoder_and_decoder():
    model = tiny()
    features = model.encoder(torch.rand(6, 3, 16, 16), torch.ones(6, 1, 16, 16)).view(2, 3, FEATURES)
    tokens = torch.full((2, 4), WORDS.start)
    logs, attention = model(features, tokens)
    assert logs.shape == (2, 4, len(WORDS)) and attention.shape == (2, 4, 3)
    torch.testing.assert_close(logs.exp().sum(-1), torch.ones(2, 4))
    torch.testing.assert_close(attention.sum(-1), torch.ones(2, 4))


def test_order_of_the_exemplars_does_not_matter():
    model, features = tiny(), torch.randn(1, 5, FEATURES)
    tokens = torch.tensor([[WORDS.start, 0, 1]])
    torch.testing.assert_close(model(features, tokens)[0], model(features.flip(1), tokens)[0])


def test_text_of_tokens():
    numbers = WORDS.tokens("Red stars, blue-purple")
    assert numbers == [0, 1, 3, 4, 2, WORDS.unknown]
    assert WORDS.text([0, 1, 3, 4, 2, 0, WORDS.stop, 1]) == "red stars, blue-red"
    assert WORDS.text([WORDS.unknown, 1, WORDS.pad]) == "stars"
    assert WORDS.text([WORDS.stop]) == ""


def searched(model, features, length, width):
    seen, words = model.look(features), model.vocabulary

    def step(tokens, state):
        logs, state, _ = model.step(seen.spread(len(tokens)), tokens, state)
        return logs, state

    return milan_decoding.beam_search(step, model.initial(seen), words.start, words.stop, length, width)


def exhaustive(model, features, length):
    """Every description of at most so many tokens with its log-probability, by reading it as a whole."""
    words = model.vocabulary
    distinct = {}
    for tokens in itertools.product(range(len(words)), repeat=length):
        if words.stop in tokens:
            end = tokens.index(words.stop)
            tokens = tokens[:end] + (words.stop,) * (length - end)
        distinct[tokens] = None
    tokens = torch.tensor(list(distinct))
    read = torch.cat([torch.full((len(tokens), 1), words.start), tokens[:, :-1]], 1)
    logs, _ = model(features.expand(len(tokens), -1, -1), read)
    scores = milan_model.log_probability(logs, tokens, words.stop)
    return sorted(zip(scores.tolist(), map(tuple, tokens.tolist()), strict=True), reverse=True)


def test_a_wide_beam_is_an_exhaustive_search():
    model = tiny(Vocabulary(("red", "stars")))
    features = torch.randn(1, 4, FEATURES)
    found, expected = searched(model, features, 3, 250), exhaustive(model, features, 3)
    assert len(found.scores) == len(expected)
    assert [tuple(one) for one in found.tokens.tolist()] == [tokens for _, tokens in expected]
    np.testing.assert_allclose(found.scores, [score for score, _ in expected], atol=1e-5)


def test_a_beam_keeps_the_best_beginnings():
    # red (.6) is better than blue (.4), but after blue the stop is certain; a beam of one never sees that
    first, after_red, after_blue = [0.6, 0.4, 0.0], [0.3, 0.3, 0.4], [0.0, 0.0, 1.0]
    start, stop = 3, 2

    def step(tokens, state):
        rows = [{start: first, 0: after_red, 1: after_blue, stop: first}[int(token)] for token in tokens]
        return torch.tensor(rows).log(), state

    state = milan_model.State(torch.zeros(1, 1), torch.zeros(1, 1))
    one, two = (milan_decoding.beam_search(step, state, start, stop, 2, width) for width in (1, 2))
    assert one.tokens.tolist() == [[0, stop]]
    assert two.tokens.tolist() == [[1, stop], [0, stop]]
    np.testing.assert_allclose(two.scores.exp(), [0.4, 0.24], rtol=1e-6)


def test_descriptions_have_the_score_of_their_words():
    model, features = tiny(Vocabulary(("red", "stars"))), torch.randn(4, FEATURES)
    words = model.vocabulary
    found = milan_decoding.descriptions(model, features, beam=250, length=3, penalty=0.5)[:4]
    assert len({text for text, _ in found}) == 4
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    best = -torch.inf
    for score, tokens in exhaustive(model, features[None], 3):
        read = torch.tensor([[words.start, *tokens[:-1]]])
        lm = float(milan_model.log_probability(model.lm(read), torch.tensor([tokens]), words.stop))
        if words.text(tokens):
            best = max(best, score - 0.5 * lm)
    assert found[0][1] == pytest.approx(best, abs=1e-4)


def test_masks_show_what_exceeds_the_level():
    heat = torch.tensor([[0.0, 0.0], [0.0, 4.0]])
    # enlarged to 4 x 4, the lower right corner is 4, 3, 3, 2.25 from the corner inwards
    assert milan.mask(heat, 2.9, 4)[0, 0].tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 1]]
    assert milan.mask(heat, 4.0, 4).sum() == 0  # exceeded, not reached


def test_the_describer_sees_what_the_target_sees():
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, 10:30, 0] = 255
    frame = plain(20).frame(40, 20)
    shown = milan.picture(Image.fromarray(pixels), frame, 8)
    assert shown.shape == (3, 8, 8) and (shown[0] == 1).all() and (shown[1:] == 0).all()


@pytest.fixture
def probe(tmp_path):
    rng = np.random.default_rng(0)
    images = {f"{i}.png": png(rng.integers(0, 256, (16, 16, 3))) for i in range(9)}
    return [write_probe(tmp_path / "probe.parquet", images)]


def described(probe, layer, **settings):
    target, units = TinyTarget(16), [0, 2]
    best = {unit: [f"{(i * (unit + 1)) % 9}.png" for i in range(4)] for unit in units}
    maps = thresholds.Maps(target, layer, probe, units)
    return milan.run(maps, best, thresholds.thresholds(maps, 0.1), tiny(), recipe(beam=8, **settings), 4)


def test_each_unit_gets_up_to_five_descriptions(probe):
    found = described(probe, "colour")
    assert found.schema.equals(schemas.SCORES)
    rows = found.to_pylist()
    assert {row["unit"] for row in rows} == {0, 2} and {row["source"] for row in rows} == {"milan"}
    for unit in (0, 2):
        own = [row for row in rows if row["unit"] == unit]
        assert [row["candidate"] for row in own] == list(range(len(own))) and 1 <= len(own) <= 5
        assert all(a["score"] >= b["score"] for a, b in itertools.pairwise(own))


def features(probe, best, level, layer="colour", model=None, batch=4):
    maps = thresholds.Maps(TinyTarget(16), layer, probe, list(best))
    return milan.exemplar_features(maps, best, torch.tensor([level] * len(best)), model or tiny(), batch)


def test_who_else_is_described_changes_nothing(probe, monkeypatch):
    best = {0: ["1.png", "5.png"], 2: ["5.png", "8.png"]}
    both = features(probe, best, 0.5)
    alone = features(probe, {2: best[2]}, 0.5)
    monkeypatch.setattr(thresholds, "BATCH", 2)
    split = features(probe, best, 0.5)
    for unit in best:
        assert torch.equal(both[unit], split[unit])
    assert torch.equal(both[2], alone[2])


def test_maps_that_the_thresholds_have_read_give_the_same(probe):
    best = {2: ["5.png", "1.png"], 0: ["8.png"]}
    maps = thresholds.Maps(TinyTarget(16), "colour", probe, list(best))
    levels = thresholds.thresholds(maps, 0.1)
    known = milan.exemplar_features(maps, best, levels, tiny(), 4)
    again = milan.exemplar_features(thresholds.Maps(TinyTarget(16), "colour", probe, [2, 0]), best, levels, tiny(), 4)
    assert all(torch.equal(known[unit], again[unit]) for unit in best)


def test_exemplars_are_encoded_under_their_masks(probe):
    """The features are those of the image and the mask, worked out without the stage."""
    model = tiny()
    found = features(probe, {1: ["3.png"]}, 0.7, model=model)
    row = next(row for row in tables.read(probe, schemas.PROBE).to_pylist() if row["image_id"] == "3.png")
    pixels = torch.from_numpy(np.array(Image.open(io.BytesIO(row["image"])))).permute(2, 0, 1)[None].float() / 255
    expected = model.encoder(pixels, (pixels[:, 1:2] > 0.7).float())
    torch.testing.assert_close(found[1], expected)


def test_a_layer_without_positions_shows_whole_images(probe):
    model = tiny()
    found = features(probe, {1: ["3.png"]}, 1e9, "total", model)
    assert (found[1] != 0).any()
