"""Labels that know nothing of a unit: what any metric has to be read against."""

from dnd.evaluation.baselines import RANDOM, baseline_labels


def test_baselines_know_the_labels_but_not_the_units():
    labels = {3: "a", 5: "a", 7: "b", 9: None}
    found = baseline_labels(labels, ["x", "y"])
    assert set(found["constant"].values()) == {"a"}
    assert sorted(map(str, found["shuffled"].values())) == sorted(map(str, labels.values()))
    assert set(found[RANDOM].values()) <= {"x", "y"}
    assert found == baseline_labels(labels, ["x", "y"])
    assert RANDOM not in baseline_labels(labels, [])
