"""Which method is better: paired over the same units, corrected over the pairs."""

import numpy as np
import pytest
from scipy.stats import binomtest

from dnd.evaluation import comparisons
from dnd.io import schemas, tables
from dnd.io.rows import Figure

MODELS = {"one-a": "one", "one-b": "one", "two-a": "two", "two-b": "two", "half-a": "one"}
PROBES = {"one-a": "p", "one-b": "p", "two-a": "p", "two-b": "p", "half-a": "half"}


def rows(name, method, values, metric="known_answer_exact", kind="single"):
    return [Figure(name, "x", unit, kind, method, metric, float(value)) for unit, value in enumerate(values)]


def found(*parts):
    table = tables.table([row for part in parts for row in part], schemas.EVALUATION)
    return comparisons.run(table, MODELS, PROBES).to_pylist()


def test_units_of_all_networks_are_paired_and_tested_by_mcnemar():
    a, b = [1, 1, 1, 1, 1, 0], [0, 0, 0, 1, 0, 0]
    table = found(rows("one-a", "a", a), rows("one-b", "b", b), rows("two-a", "a", a), rows("two-b", "b", b))
    one = next(row for row in table if row["kind"] is None)
    assert (one["method"], one["other"], one["units"], one["test"]) == ("a", "b", 12, "McNemar")
    assert one["difference"] == pytest.approx(8 / 12)
    assert one["low"] <= one["difference"] <= one["high"]
    assert one["p"] == pytest.approx(binomtest(8, 8).pvalue)


def test_another_probe_and_baselines_are_not_compared():
    table = found(
        rows("one-a", "a", [1, 1]), rows("half-a", "b", [0, 0]), rows("one-a", "constant", [0, 0])
    )  # b saw another probe
    assert table == []


def test_units_with_one_concept_are_compared_apart():
    table = found(
        rows("one-a", "a", [1, 1], kind="single") + rows("one-a", "a", [0, 0, 0], kind="random")[2:],
        rows("one-b", "b", [0, 1], kind="single") + rows("one-b", "b", [1, 1, 1], kind="random")[2:],
    )
    differences = {row["kind"]: row["difference"] for row in table}
    assert differences["concept"] == pytest.approx(0.5)
    assert differences[None] == pytest.approx(0)


def test_p_values_are_corrected_over_the_pairs_of_one_metric():
    rng = np.random.default_rng(0)
    values = {name: rng.integers(2, size=60) for name in "abc"}
    parts = [rows("one-a", method, own) for method, own in values.items()]
    table = [row for row in found(*parts) if row["kind"] is None]
    assert len(table) == 3
    ordered = sorted(table, key=lambda row: row["p"])
    assert ordered[0]["p_adjusted"] == pytest.approx(min(1, 3 * ordered[0]["p"]))
    assert all(row["p_adjusted"] >= row["p"] for row in table)
