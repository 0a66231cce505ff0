"""The questions about a unit: captions or exemplars in several orders, together and by groups, by each prompt."""

from dnd.candidates.questions import seed, shuffles


def test_orders_are_permutations_that_differ_between_samples_and_units():
    captions = [f"caption {i}" for i in range(10)]
    orders = shuffles(captions, 5, ["a", "b", 0])
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len({tuple(order) for order in orders}) == 5
    assert not {tuple(order) for order in orders} & {tuple(order) for order in shuffles(captions, 5, ["a", "b", 1])}
    assert orders[:2] == shuffles(captions, 2, ["a", "b", 0])


def test_orders_put_every_caption_first_about_equally_often():
    captions = list("abcde")
    firsts = [order[0] for unit in range(400) for order in shuffles(captions, 5, unit)]
    counts = [firsts.count(place) for place in range(5)]
    assert sum(counts) == 2000
    assert all(320 < count < 480 for count in counts)  # 400 expected, standard deviation 18


def test_seeds_follow_from_unit_captions_and_sample():
    base = seed(["x"], 0, ["n", "s", 1])
    assert base == seed(["x"], 0, ["n", "s", 1])
    others = [seed(["y"], 0, ["n", "s", 1]), seed(["x"], 1, ["n", "s", 1]), seed(["x"], 0, ["n", "s", 2])]
    assert len({base, *others}) == 4
    assert all(0 <= value < 2**31 for value in [base, *others])
