"""Labels that name an answer by text."""

import logging
import sys

import numpy as np
import pytest

from dnd.config.known_answers import KnownAnswer, of_classes
from dnd.evaluation import naming
from dnd.evaluation.naming import embedded, is_parent, names, same_lemma

NAMES = [
    *("tench", "goldfish", "great white shark", "tiger shark", "cock", "hen", "ostrich", "brambling", "house finch"),
    *("axolotl", "box turtle", "bus", "school bus", "glasses", "sunglasses", "wine glass", "vase", "pole", "fireman"),
    *("lynx", "fox", "black-and-tan coonhound", "crate", "trench coat", "mitten", "dishwasher", "dish", "hair spray"),
]
"""As ImageNet has them."""


@pytest.fixture(autouse=True)
def no_wordnet(monkeypatch):
    """Only words count, whatever is installed."""
    monkeypatch.setattr(naming, "wordnet", lambda: None)


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("Dogs", "dog"),
        ("the buses", "bus"),
        ("a sea-lion", "sea lion"),
        ("sealion", "sea lion"),
        ("tabbies", "tabby"),
        ("firemen", "fireman"),
        ("wine glasses", "a wine glass"),
        ("vases", "vase"),
        ("carpenter's kit", "carpenters kit"),
    ],
)
def test_case_articles_hyphens_and_number_do_not_matter(label, text):
    assert same_lemma(label, text)
    assert same_lemma(text, label)


@pytest.mark.parametrize(
    ("label", "text"),
    [("hog", "dog"), ("shark", "tiger shark"), ("", ""), ("...", "?"), ("glass", "gla")],
)
def test_other_words_are_other_answers(label, text):
    assert not same_lemma(label, text)


def test_every_class_is_itself_and_no_other():
    answers = of_classes(NAMES)
    for place, name in enumerate(NAMES):
        for label in (name, f"a {name}".title()):
            assert [unit for unit, answer in answers.items() if names(label, answer.texts)] == [place]


class Meaning:
    def __init__(self, *parents, instance_of=()):
        self.hypernyms, self.instance_hypernyms = (lambda: list(parents)), (lambda: list(instance_of))


def test_parents_within_two_steps_are_right_and_children_are_not():
    animal = Meaning()
    fish = Meaning(animal)
    cyprinid = Meaning(fish)
    tench, nessie = Meaning(cyprinid), Meaning(instance_of=[animal])
    known = {"animal": [animal], "fish": [Meaning(), fish], "cyprinid": [cyprinid], "tench": [tench], "ness": [nessie]}

    def parent(label, text):
        return is_parent(label, text, lambda words: known.get(words, []))

    assert parent("tench", "tench") and parent("cyprinid", "tench") and parent("fish", "tench")
    assert not parent("animal", "tench")
    assert not parent("tench", "fish")
    assert parent("animal", "ness")
    assert not parent("unheard", "of")


def test_wordnet_is_asked_where_there_is_one(monkeypatch):
    fish = Meaning()
    known = {"fish": [fish], "tench": [Meaning(fish)]}
    monkeypatch.setattr(naming, "wordnet", lambda: lambda text: known.get(text, []))
    assert names("fish", ["tench"])
    assert not names("tench", ["fish"])


def test_without_wordnet_the_log_says_so_once(monkeypatch, caplog):
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "nltk.corpus", None)
    naming.wordnet.cache_clear()
    with caplog.at_level(logging.INFO):
        assert [names("fish", ["tench"]), names("fish", ["fish"])] == [False, True]
    assert len([line for line in caplog.messages if "WordNet" in line]) == 1
    naming.wordnet.cache_clear()


def test_sentences_alike_are_right():
    vectors = {"puppy": np.array([0.8, 0.6]), "dog": np.array([1.0, 0.0]), "cat": np.array([0.0, 1.0])}
    assert names("puppy", ["cat", "dog"], vectors, threshold=0.79)
    assert not names("puppy", ["cat", "dog"], vectors, threshold=0.81)


def test_texts_are_embedded_once_and_only_for_answers_by_text():
    asked = []

    def encode(texts):
        asked.append(list(texts))
        return np.eye(len(texts), dtype=np.float32)

    tench = KnownAnswer(0, label="tench", synonyms=("Tinca tinca",))
    assert set(embedded(["fish", "tench"], [tench], encode)) == {"fish", "tench", "Tinca tinca"}
    assert asked == [["Tinca tinca", "fish", "tench"]]
    assert embedded(["fish"], [KnownAnswer(0, "single", (("red",),), "red")], encode) is None
    assert embedded(["fish"], [tench], None) is None
