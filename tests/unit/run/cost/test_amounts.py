"""How many items jobs have: counts worked out by hand."""

from collections import Counter

import pytest

from dnd.config.targets import ProbeSettings
from dnd.run import tasks
from dnd.run.cost.amounts import NOUNS, Amounts


def test_items_are_those_of_the_configuration_and_the_assumptions(plan, assume):
    amounts, items, jobs = Amounts(plan, assume), Counter(), Counter()
    for task in tasks.tasks(plan):
        if task.rule in NOUNS:
            items[task.rule] += amounts.items(task)
            jobs[task.rule] += 1
    assert {rule: (jobs[rule], items[rule]) for rule in jobs} == {
        "shapeworld_images": (1, 100),
        "listing": (1, 100),
        "probe": (4, 100),
        "activations": (4, 100),
        "topk": (1, 20),
        "exemplars": (2, 10 * 16 * 0.5),
        "captions": (2, 80 * 0.8),
        "concepts": (1, 10 * (3 + 2) * 0.5),
        "images": (2, 10 * 2 * 0.25 * 5 * 20),  # five images of each concept, twenty steps of each
        "scores": (2, 10 * (2 + 5) * 5 + 2 * 100),  # five borrowed concepts of each; either job looks at the probe, too
        "scales": (1, 10 * 2 * 0.25 * 5),  # all concepts, of which there are few
        "explains": (1, 100),
        "descriptions": (1, 10),
        "report_layer": (1, 10),
    }


def test_tokens_are_those_of_the_prompt_the_captions_and_the_answers(plan, assume):
    (task,) = [task for task in tasks.tasks(plan) if task.rule == "concepts"]
    assert Amounts(plan, assume).tokens(task) == (25 * (400 / 4 + 16 * 10), 25 * 3)


@pytest.mark.parametrize(
    ("settings", "images"),
    [
        ({"source": "shapeworld", "images": 100, "sample": 30}, 30),
        ({"source": "shapeworld", "images": 100, "part": "1/2"}, 50),
        ({"source": "huggingface", "dataset": "owner/data", "split": "train"}, 50_000),
        ({"source": "huggingface", "dataset": "owner/data", "split": "train", "limit": 70}, 70),
        ({"source": "union", "members": ["p", "q"], "limit": 150}, 150),
    ],
)
def test_images_of_a_probe_are_told_by_its_settings_or_assumed(plan, assume, settings, images):
    plan.config.probes["q"] = plan.config.probes["p"]
    plan.config.probes["other"] = ProbeSettings.model_validate(settings)
    assert Amounts(plan, assume).images("other") == images
