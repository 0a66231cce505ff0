"""How long jobs take and what they leave behind: rates for the cost of a run, and how a finished run is measured."""

import pytest

from dnd.run.cost import rates as cost_rates
from dnd.run.cost.rates import Observation


def job(seconds, items, start=1.0, rule="captions", **changes):
    values = {"wanted": items, "volume": items, "bytes": 100, "device": "AMD EPYC", "gpu": False, "threads": 1}
    return Observation(rule, seconds, start, items, **values | changes)


def test_rates_part_the_start_from_the_work():
    found = cost_rates.fitted([job(5 + 0.5 * items, items) for items in (10, 20, 40)])["captions"]
    assert (found.job, found.item) == (pytest.approx(5), pytest.approx(0.5))
    assert found.size == pytest.approx(300 / 70)


def test_jobs_alike_count_all_behind_their_start_as_work():
    found = cost_rates.fitted([job(11, 20), job(11, 20), job(11, 20)])["captions"]
    assert (found.job, found.item) == (1, 0.5)
    noisy = cost_rates.fitted([job(11, 40), job(11, 20), job(12, 10)])["captions"]  # less time for more items
    assert (noisy.job, noisy.item) == (1, pytest.approx(31 / 70))


def test_a_rule_whose_items_came_from_the_store_has_no_rate():
    assert cost_rates.fitted([job(5, 0, wanted=100)]) == {}
    assert cost_rates.fitted([job(5, 0, rule="report")])["report"].job == 5
