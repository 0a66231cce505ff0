"""What is tried on units: a language model names a concept, and its pictures tell how much it excites the unit."""

import numpy as np

from dnd.io.rows import Controls
from dnd.rivals import line_search
from training import proposer_prompts


def test_idle_units_are_left_out():
    rows = [
        Controls(4, None, [1.0, float("nan")]),
        Controls(2, "dead", [0.0]),
        Controls(3, None, [float("inf")]),
        Controls(1, None, [2.0]),
    ]
    found = line_search.searches("n", "s", rows)
    assert [one.unit for one in found] == [1, 4]
    assert found[1].controls.tolist() == [1.0]


def test_lines_are_those_that_the_method_shows():
    (one,) = line_search.searches("n", "s", [Controls(0, None, [0.0, 1.0])])
    one.trials.append(line_search.Trial("[]", "red stars", "red stars", np.array([0.734], np.float32)))
    assert one.history() == [proposer_prompts.line("red stars", 73)]
