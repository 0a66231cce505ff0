"""The words that the site explains, and how to cite it."""

import yaml

import dnd
from dnd.evaluation.metrics.registry import METRICS
from dnd.report import terms
from dnd.run.code_digest import PACKAGE


def test_every_metric_and_every_reason_is_explained():
    words = terms.load()
    explained = words.glossary
    assert set(words.metrics) == set(METRICS)
    assert set(words.abstentions) == {"dead", "constant", "nonfinite", "no_concept", "chance", "little"}
    assert set(explained) >= {*METRICS, *words.abstentions, "unit", "exemplar", "AUC", "confidence", "polysemantic"}
    assert all(text.endswith(".") and text.count(". ") == 0 for text in explained.values())


def test_the_citation_is_that_of_the_repository():
    cited = yaml.safe_load((PACKAGE.parents[1] / "CITATION.cff").read_text())
    paper, found = cited["references"][0], terms.load().citation
    for text in (found["text"], found["bibtex"]):
        assert dnd.__version__ in text and cited["title"] in text and paper["title"] in text
        assert str(paper["year"]) in text and paper["journal"] in text
        assert all(one["family-names"] in text for one in paper["authors"])
    assert "{version}" not in found["text"] + found["bibtex"]
    assert found["bibtex"].count("{") == found["bibtex"].count("}")
