import numpy as np
import pytest

from dnd.shapeworld import grammar
from training.concept_kinds import KINDS
from training.posterior import ALL_KINDS, hypotheses, log_likelihoods, log_posterior, read


def number(phrase):
    return hypotheses().phrases.index(phrase)


def best(captions):
    return hypotheses().phrases[
        int(log_posterior(log_likelihoods([read(caption) for caption in captions]))[-1].argmax())
    ]


def test_every_kind_is_there_and_every_phrase_means_its_extension():
    concepts = hypotheses()
    assert set(concepts.kinds) == set(ALL_KINDS) >= set(KINDS)
    for phrase, extension in zip(concepts.phrases, concepts.extensions, strict=True):
        assert (grammar.parse(phrase).ravel() == extension.astype(bool)).all(), phrase
    assert len({extension.tobytes() for extension in concepts.extensions}) == len(concepts.phrases)


def test_a_concept_is_found_by_what_it_denotes():
    found = hypotheses().find(grammar.parse("stars that are crimson"))
    assert hypotheses().phrases[found] == "red stars"
    assert hypotheses().phrases[hypotheses().find(grammar.parse("circles or rings"))] == "round objects"
    assert hypotheses().find(grammar.parse("red plain stars on grass")) is None


def test_kinds_are_equally_likely_beforehand():
    concepts = hypotheses()
    prior = np.exp(concepts.log_prior)
    assert prior.sum() == pytest.approx(1, abs=1e-5)
    for kind in ALL_KINDS:
        assert sum(p for p, owner in zip(prior, concepts.kinds, strict=True) if owner == kind) == pytest.approx(
            1 / len(ALL_KINDS), abs=1e-5
        )


def test_captions_are_read():
    assert read("an orange dotted ring against bricks") == {
        "colour": "orange",
        "texture": "dotted",
        "shape": "ring",
        "background": "brick",
    }
    assert read("a close-up of sand") == {"background": "sand"}


def test_likelihoods_by_hand():
    # without word errors: 0.85 x share of the extension that the caption fits + 0.15 x share of the world
    got = np.exp(log_likelihoods([{"colour": "red"}, {"colour": "red", "shape": "star"}], word_error=0.0))
    assert got[0, number("red objects")] == pytest.approx(0.85 * 1 + 0.15 / 6, rel=1e-5)
    assert got[0, number("stars")] == pytest.approx(0.85 / 6 + 0.15 / 6, rel=1e-5)
    assert got[0, number("blue objects")] == pytest.approx(0.15 / 6, rel=1e-5)
    assert got[1, number("red stars")] == pytest.approx(0.85 + 0.15 / 36, rel=1e-5)
    # red or star: 90 + 90 - 15 = 165 scenes, 15 of them red stars
    assert got[1, number("red objects or stars")] == pytest.approx(0.85 * 15 / 165 + 0.15 / 36, rel=1e-5)


def test_word_errors_by_hand():
    got = np.exp(log_likelihoods([{"texture": "plain"}], off_topic=0.0, word_error=0.1))
    assert got[0, number("plain objects")] == pytest.approx(0.9, rel=1e-5)
    assert got[0, number("striped objects")] == pytest.approx(0.05, rel=1e-5)
    assert got[0, number("various objects")] == pytest.approx((0.9 + 0.05 + 0.05) / 3, rel=1e-5)


def test_posterior_is_normalised_and_running():
    likelihoods = log_likelihoods([{"colour": "red"}, {"colour": "blue"}])
    running = log_posterior(likelihoods)
    assert np.exp(running).sum(1) == pytest.approx([1, 1], abs=1e-4)
    assert running[:1] == pytest.approx(log_posterior(likelihoods[:1]))
    odds = running[1, number("red objects")] - running[1, number("red stars")]
    by_hand = hypotheses().log_prior + likelihoods.sum(0)
    assert odds == pytest.approx(by_hand[number("red objects")] - by_hand[number("red stars")], abs=1e-4)


def test_what_most_captions_share_is_named_as_closely_as_they_agree():
    shapes = ["star", "circle", "square", "cross", "ring", "triangle", "star", "circle"]
    places = ["grass", "sand", "water", "snow", "bricks", "grass", "sand", "water"]
    textures = ["plain", "striped", "dotted"] * 3
    red = [f"a red {textures[i]} {shapes[i]} on {places[i]}" for i in range(8)]
    stray = ["a blue plain star on sand", "a green dotted ring on snow"]
    assert best(red) == "red objects"
    assert best(red + stray) == "red objects"
    assert best([caption.replace(shapes[i], "star") for i, caption in enumerate(red)] + stray) == "red stars"
    warm = [c.replace("red", colour) for c, colour in zip(red, ["red", "orange", "yellow"] * 3, strict=False)]
    assert best(warm) == "warm colours"


def test_two_unrelated_words_are_alternatives():
    red = [
        "a red plain circle on sand",
        "a red dotted square on grass",
        "a red striped cross on snow",
        "a red plain ring on bricks",
    ]
    stars = [
        "a blue plain star on sand",
        "a green dotted star on grass",
        "an orange striped star on snow",
        "a purple plain star on water",
    ]
    assert best(red + stars) == "red objects or stars"


def test_parts_without_a_shape_still_count():
    parts = [
        "a red plain surface",
        "part of a red plain object on grass",
        "a red plain surface on sand",
        "a close-up of a red plain surface",
    ] * 2
    assert best(parts) == "red plain objects"
