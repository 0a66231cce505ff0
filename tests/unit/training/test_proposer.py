"""The ideal proposer against Bayes' rule worked out directly, and what the tiny model learns from and does."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import AutoTokenizer

from dnd.candidates.prompts import read_prompt
from dnd.shapeworld.world import conjunction
from training import posterior, proposals, proposer, proposer_prompts, proposer_search
from training.summariser import Student, build

ROOT = Path(__file__).parents[3]
PROMPT = ROOT / "config/prompts/line.yaml"
SHIPPED = ROOT / "resources/shapeworld/proposer"


def number(*words):
    return posterior.hypotheses().find(conjunction(words))


def clean(words):
    """A unit of 80 wherever the words hold, and 5 elsewhere, asked by its exact share."""
    inside = conjunction(words).ravel()
    extensions = posterior.hypotheses().extensions > 0
    return lambda proposal: 5 + 75 * float(inside[extensions[proposal]].mean())


def test_the_teacher_believes_by_bayes_rule():
    """Against a direct computation for pictures of stars: of ten, so many show what the unit answers to."""
    from scipy.stats import binom, norm

    teacher = proposals.Teacher(1)
    teacher.learn(np.array([number("star")]), np.array([20.0]))
    concepts = posterior.hypotheses()
    stars = concepts.extensions[number("star")] > 0
    shares = np.rint(concepts.extensions[:, stars].mean(1) * 60) / 60  # to a sixtieth
    likelihoods = np.zeros(len(shares))
    for top in (60, 75, 90):
        for count in range(11):
            mean = 5 + (top - 5) * count / 10
            likely = 0.98 * (norm.cdf(25, mean, 6) - norm.cdf(15, mean, 6)) + 0.02 / 13
            likelihoods += binom.pmf(count, 10, 0.96 * shares + 0.01) * likely / 3
    weights = proposals.prior() * likelihoods
    assert teacher.concepts()[0] == pytest.approx(weights / weights.sum(), abs=1e-5)


def test_a_proposal_made_before_teaches_nothing_new():
    teacher = proposals.Teacher(1)
    teacher.learn(np.array([number("star")]), np.array([20.0]))
    before = teacher.concepts()
    teacher.learn(np.array([number("star")]), np.array([20.0]))
    assert (teacher.concepts() == before).all()


@pytest.mark.parametrize("words", [("red",), ("warm",), ("snow",), ("red", "star"), ("striped", "round")])
def test_the_teacher_finds_what_a_clean_unit_answers_to(words):
    truth = number(*words)
    played = proposals.play(np.array([truth]), [clean(words)], 20, np.random.default_rng(0), stray=0.0)
    assert played.wanted[0, -1] == truth
    assert played.activations[0, list(played.proposals[0]).index(truth)] == 80


def test_simulated_units_answer_to_their_concept_and_always_alike():
    unit = proposals.simulated(number("red", "star"), np.random.default_rng(3))
    full, half, none = (unit(number(*words)) for words in (("red", "star"), ("star",), ("blue", "circle")))
    assert full > 45
    assert full > half > none
    assert unit(number("star")) == half


def test_histories_follow_from_their_seed_and_hold_a_wanted_answer_for_every_round():
    one, same, other = (proposals.draw(3, 2, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert (one.proposals == same.proposals).all()
    assert (one.activations == same.activations).all()
    assert (one.proposals != other.proposals).any()
    assert one.wanted.shape == (3, 3)
    assert one.beliefs.sum(-1) == pytest.approx(np.ones((3, 2)), abs=1e-4)


@pytest.fixture(scope="module")
def encoder():
    prompt = read_prompt(PROMPT, "history")
    return proposer_prompts.Encoder(proposer_prompts.tokenizer(prompt), prompt)


def test_a_batch_asks_every_round_s_question_as_the_server_would(encoder):
    """The packed histories cost as much as every question by itself, at a model's random beginning."""
    torch.manual_seed(0)
    words = encoder.words
    student = Student(build(len(words), words.eos_token_id, words.pad_token_id, 64, 2)).eval()
    drawn = proposals.draw(3, 9, np.random.default_rng(0))
    assert any(len(set(asked)) < 9 for asked in drawn.proposals.tolist())
    with torch.no_grad():
        packed, _ = proposer.losses(student, torch.tensor(encoder.prefix), encoder(drawn))
        total, count = 0.0, 0
        for asked, found, wanted in zip(drawn.proposals, drawn.activations, drawn.wanted, strict=True):
            phrases = posterior.hypotheses().phrases
            told = list(dict.fromkeys(f"{phrases[i]}: {value}" for i, value in zip(asked, found, strict=True)))
            steps = [step for step in range(len(asked)) if asked[step] not in asked[:step]]
            for number_, concept in enumerate(wanted[[0, *(step + 1 for step in steps)]]):
                question = encoder.question(told[:number_])
                answer = [*words.encode(phrases[concept], add_special_tokens=False), words.eos_token_id]
                logits = student.llama(torch.tensor([question + answer[:-1]])).logits[0, len(question) - 1 :]
                total += float(F.cross_entropy(logits, torch.tensor(answer), reduction="sum"))
                count += len(answer)
    assert float(packed) == pytest.approx(total / count, rel=1e-4)


@pytest.mark.parametrize(
    ("tolerance", "expected"), [(0.0, "star"), (0.1, "circle")]
)  # of what was named: red .5, star .8, circle .75
def test_what_is_settled_on(tolerance, expected):
    found = [(number("red"), 50.0), (number("star"), 80.0), (number("circle"), 75.0)]
    assert proposer_search.settled(found, tolerance) == number(expected)
    assert proposer_search.settled([], tolerance) is None


def test_a_search_shows_no_concept_twice_and_remembers_which_came_last():
    asked = []

    def propose(histories):
        asked.append([list(one) for one in histories])
        return [["red objects", "nonsense here", "stars", "red objects"][len(asked) - 1]]

    found = proposer_search.search(propose, [clean(("red",))], 4)
    assert [one[0] for one in asked] == [[], ["red objects: 80"], ["red objects: 80"], ["red objects: 80", "stars: 18"]]
    assert [concept for concept, _ in found[0]] == [number("star"), number("red")]


@pytest.fixture(scope="module")
def shipped():
    return proposer_search.Proposer.load(SHIPPED)


def test_the_shipped_tokenizer_knows_every_word_and_number_whole(shipped):
    words = AutoTokenizer.from_pretrained(SHIPPED)
    for text in [*posterior.hypotheses().phrases, *map(str, range(151))]:
        assert len(words.encode(f" {text}", add_special_tokens=False)) == len(text.split()), text
    full = [f"{phrase}: 100" for phrase in sorted(posterior.hypotheses().phrases, key=len)[-15:]]
    assert len(shipped.encoder.question(full)) + 24 <= 1024


def test_the_shipped_proposer_names_what_clean_units_answer_to(shipped):
    values = ("red", "blue", "striped", "dotted", "circle", "square", "star", "triangle")
    found = proposer_search.search(shipped, [clean((value,)) for value in values], 10)
    named = [number(value) in dict(one) for value, one in zip(values, found, strict=True)]
    assert sum(named) >= 6  # ten random concepts: a share of 2 %
