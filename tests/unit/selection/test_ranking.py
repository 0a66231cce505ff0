"""Which candidate of a unit is the best."""

from dnd.io import schemas, tables
from dnd.io.rows import Score
from dnd.selection import ranking


def table(*rows):
    return tables.table(rows, schemas.SCORES)


ROWS = (
    Score(1, 0, "snow", "captions", 2, -1.5),
    Score(1, 1, "rings", "captions", 1, -0.5),
    Score(1, 2, "dots", "captions", 3, -0.5),
    Score(1, 3, "blue", "captions", 3, -0.5),
    Score(0, 0, "grass", "captions", 1, 0.25),
)


def test_our_own_candidates_are_ranked_by_score_then_votes_then_spelling():
    found = ranking.by_unit(table(*ROWS), ours=True)
    assert [score.concept for score in found[1]] == ["blue", "dots", "rings", "snow"]
    assert [score.concept for score in found[0]] == ["grass"]


def test_the_order_of_rows_does_not_matter():
    assert ranking.by_unit(table(*ROWS), ours=True) == ranking.by_unit(table(*ROWS[::-1]), ours=True)


def test_another_method_numbers_its_candidates_in_its_own_order():
    found = ranking.by_unit(table(*ROWS[::-1]), ours=False)
    assert [score.concept for score in found[1]] == ["snow", "rings", "dots", "blue"]


def test_a_candidate_without_votes_comes_after_one_with_votes():
    borrowed, own = Score(0, 0, "a", "layer", None, 0.5), Score(0, 1, "b", "captions", 1, 0.5)
    assert ranking.ranked([borrowed, own]) == [own, borrowed]
