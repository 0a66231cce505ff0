"""The figures of a run as people see them: by layer and kind, ours beside the baselines."""

import pytest
from planted import ANSWERS

from dnd.evaluation import agreement, summary
from dnd.evaluation.agreement import ABSTAINED, EXACT, DescribedUnit
from dnd.evaluation.baselines import CONSTANT, SHUFFLED
from dnd.io import schemas, tables

LABELS = ["crimson things", "red objects", None, "red objects or stars", None, "red objects"]


@pytest.fixture
def evaluation():
    """EVALUATION of a layer of which one label in three of units with one concept is exact."""
    rows = [
        DescribedUnit("net", "concepts", "dnd", unit, label, [label] if label else [], 0.5, None if label else "dead")
        for unit, label in enumerate(LABELS)
    ]
    return tables.table(agreement.layer_rows("planted", rows, ANSWERS), schemas.EVALUATION)


def test_figures_count_units_and_hold_ours_beside_the_baselines(evaluation):
    found = {one.kind: one for one in summary.figures(evaluation)}
    kinds = ["concept", "single", "conjunction", "abstraction", "polysemantic", "dead", "random", None]
    assert list(found) == kinds
    assert found["concept"].units == 3
    assert found[None].units == 6
    assert found["concept"].method == "dnd"
    assert found["concept"].own[EXACT].value == pytest.approx(1 / 3)
    assert set(found["concept"].baselines) == {CONSTANT, SHUFFLED}
    assert set(found["dead"].own) == {ABSTAINED}


def test_kinds_that_nobody_knows_come_before_all_units(evaluation):
    kinds = ["odd" if kind == "dead" else kind for kind in evaluation["kind"].to_pylist()]
    place = schemas.EVALUATION.get_field_index("kind")
    found = summary.figures(evaluation.set_column(place, schemas.EVALUATION.field("kind"), [kinds]))
    assert [one.kind for one in found][-3:] == ["random", "odd", None]


def test_command_prints_the_figures_and_the_page(evaluation, tmp_path, capsys):
    tables.write(tmp_path / "evaluation.parquet", evaluation, schemas.EVALUATION)
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("")
    assert summary.main([str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    concept = next(line for line in lines if line.split()[:2] == ["planted/concepts", "concept"])
    assert concept.split()[2:5] == ["3", "0.333", "0.06-0.79"]  # Wilson's interval of 1 in 3
    assert lines[-1].endswith(str(tmp_path / "report" / "index.html"))


def test_command_says_what_is_missing(tmp_path, capsys):
    assert summary.main([str(tmp_path)]) == 2
    assert f"{tmp_path / 'evaluation.parquet'} does not exist" in capsys.readouterr().err
