"""Every metric of the evaluation: name in tables, title for people, source, and whether it can be trusted."""

from dnd.evaluation.metrics.registry import DAGGER, footnote, marked


def test_a_metric_that_fails_is_marked_wherever_it_is_named():
    assert marked("cosy_auc") == f"CoSy AUC {DAGGER}"
    assert marked("known_answer_f1") == "F1"
    assert "CoSy MAD (missing labels)" in footnote() and "simulation" not in footnote()


def test_a_metric_that_nobody_lists_is_called_by_its_name():
    assert marked("my_metric") == "my_metric"
