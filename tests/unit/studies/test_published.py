"""Published figures from counts of the released tables, which have no licence and are not here themselves."""

import functools
import http.server
import json
import threading
from pathlib import Path

import numpy as np
import pytest

from dnd.rivals.foreign import Cells, ForeignError, table
from studies import published, published_files
from studies.published import Ratings

FIXTURE = Path(__file__).parents[1] / "fixtures" / "human_ratings.json"
RATINGS = "data/DnD_results/human_evals/RN50_table_4_scoring_function.csv"
METHODS = ("Mean Caption", "Topk-Sq Caption", "Image-Products", "Topk-Compare")


@pytest.fixture(scope="module")
def figures():
    counts = json.loads(FIXTURE.read_text())
    del counts["origin"]
    return published.rating_figures(Ratings(**counts))


# research dossier, from the released table; the digits that it gives
@pytest.mark.parametrize(
    ("method", "mean", "layers", "kept", "best", "correlation"),
    [
        ("Mean", 2.605, (2.99, 2.79, 2.40, 2.24), 2.993, 0.489, 0.643),
        ("TopK-Sq", 2.6225, (3.07, 2.77, 2.36, 2.29), 3.011, 0.475, 0.652),
        ("Image-Products", 3.0275, (3.29, 3.12, 3.02, 2.68), 3.547, 0.627, 0.509),
        ("TopK-Compare", 2.8525, (3.33, 2.99, 2.67, 2.42), 3.312, 0.558, 0.628),
    ],
)
def test_human_ratings_give_the_published_figures(figures, method, mean, layers, kept, best, correlation):
    assert figures[f"{method}, mean"] == pytest.approx(mean, abs=1e-9)
    for layer, value in enumerate(layers, 1):
        assert figures[f"{method}, mean of layer {layer}"] == pytest.approx(value, abs=1e-9)
    assert figures[f"{method}, mean of kept"] == pytest.approx(kept, abs=5e-4)
    assert figures[f"{method}, share of best"] == pytest.approx(best, abs=5e-4)
    assert figures[f"{method}, raters' correlation"] == pytest.approx(correlation, abs=5e-4)


def test_276_ratings_remain_and_26_units_have_one_label_from_all(figures):
    assert (figures["kept ratings"], figures["identical labels"]) == (276, 26)


def test_what_check_expects_is_what_the_released_table_gives(figures):
    _, expected = published_files.FIGURES[RATINGS]
    digits = {name: len(value.partition(".")[2]) for name, value in expected.items()}
    assert {name: f"{figures[name]:.{digits[name]}f}" for name in expected} == expected


def rated(layer, labels, first, second, marks=()):
    values = {"Layer": str(layer), "Unit": "0"}
    for i, name in enumerate(METHODS):
        values |= {f"{name} Label": labels[i], f"{name} E1 Rating": str(first[i]), f"{name} E2 Rating": str(second[i])}
    names = [f"{mark} {rater}" for rater in ("E1", "E2") for mark in ("Uninterpretable", "None")]
    return Cells("x", values | {name: "TRUE" if name in marks else "FALSE" for name in names})


def test_ratings_are_counted_by_layer_rater_and_mark():
    found = published.count_ratings(
        [
            rated(1, ["a", "a", "a", "a"], (1, 2, 3, 3), (5, 5, 5, 5)),
            rated(2, ["a", "A", "a", "a"], (4, 4, 4, 4), (1, 2, 1, 1), marks=["None E1"]),
            rated(2, ["b", "c", "d", "e"], (1, 1, 1, 2), (1, 1, 1, 1), marks=["Uninterpretable E2", "None E2"]),
        ]
    )
    assert found.layers["2"]["TopK-Sq"] == [2, 1, 0, 1, 0]
    assert found.kept["Mean"] == [3, 0, 0, 0, 1]
    assert found.best == {"0001": 1, "0011": 1, "0100": 1, "1111": 1}
    assert found.together["TopK-Compare"][2][4] == 1 and np.sum(found.together["TopK-Compare"]) == 3
    assert found.identical == 1
    with pytest.raises(ForeignError, match=r"column 'Mean Caption E1 Rating': expected a grade from 1 to 5, not '6'"):
        published.count_ratings([rated(1, "abcd", (6, 1, 1, 1), (1, 1, 1, 1))])


def test_correlation_of_counts_is_that_of_the_grades():
    rng = np.random.default_rng(0)
    first, second = rng.integers(1, 6, 50), rng.integers(1, 6, 50)
    together = np.zeros((5, 5), int)
    np.add.at(together, (first - 1, second - 1), 1)
    assert published.correlation(together) == pytest.approx(np.corrcoef(first, second)[0, 1], abs=1e-12)


def test_iou_is_intersection_over_union_and_zero_for_a_blank_label_of_the_full_frame():
    a, b = np.zeros(100, bool), np.zeros(100, bool)
    a[:30], b[20:60] = True, True
    expected = (a & b).sum() / (a | b).sum()
    assert published.dissection_iou("red-c", a.sum(), b.sum(), (a & b).sum()) == pytest.approx(expected)
    assert published.dissection_iou("", 24_924_928, 124_000, 124_000) == 0
    assert published.dissection_iou(" ", 24_924_928, 124_000, 0) == 0


def test_cells_of_network_dissection_are_held_against_the_formula():
    def row(score, label, truth, activation, intersect, iou):
        names = ("label", "truth", "activation", "intersect", "iou")
        values = zip(names, (label, truth, activation, intersect, iou), strict=True)
        return Cells("x", {"score": str(score)} | {f"color-{name}": str(value) for name, value in values})

    rows = [
        row(0.25, "red-c", 6, 4, 2, 0.25),
        row(0.039, "red-c", 6, 4, 2, 0.2501),
        row(0.04, "", 24_924_928, 4, 4, 0),
    ]
    assert published.dissection_figures(rows) == {
        "cells": 3,
        "cells that follow the formula": 2,
        "units of .04 or more": 2,
    }


def test_blank_long_and_repeated_labels_are_those_of_the_first_layer(tmp_path):
    """The pattern of the released labels of ResNet-50's layer 1, with words of our own."""
    long, short = "one two three four five six", "one two"
    rows = [(short, " ", " ")] * 2 + [(short, "x", " ")] * 4 + [(short, short.upper(), " ")] * 2
    rows += [(short, short, "y")] * 3 + [(long, "x", "y")] * 5 + [(short, "x", "y")] * 34
    text = "Neuron ID,Label 1,Label 2,Label 3\n" + "".join(f"{i},{','.join(row)}\n" for i, row in enumerate(rows))
    (tmp_path / "labels.csv").write_text(text)
    found = published.label_figures(list(table(tmp_path / "labels.csv", ())))
    _, expected = published_files.FIGURES["data/DnD_results/rn50_results/resnet50_imagenet_broden_layer1.csv"]
    assert {name: str(found[name]) for name in expected} == expected
    assert found["distinct first labels"] == 2


def at(*degrees):
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], 1) * 3


def test_labels_that_resemble_a_kept_one_are_left_out():
    keep = published.distinct_labels  # cosines above .81: angles below 35.9 degrees
    assert keep(["a", "b", "c"], at(0, 36, 72)) == ["a", "b", "c"]
    assert keep(["a", "b", "c"], at(0, 35, 90)) == ["a", "c"]
    # the released notebook deletes the second and passes over the third
    assert keep(["a", "b", "c"], at(0, 10, 20)) == ["a"]
    assert keep(["a", "b", "c"], at(0, 30, 50)) == ["a", "c"]  # the third is like one that is not kept
    assert keep(["a", " ", "c"], at(0, 60, 61)) == ["a", "c"]  # a blank label stands in nobody's way
    assert keep(["a", "b"], np.array([[1.0, 0], [0.81, np.sqrt(1 - 0.81**2)]])) == ["a", "b"]


def test_annotators_agree_when_two_of_them_are_close():
    assert published.reliable(at(0, 90, 100))
    assert not published.reliable(at(0, 60, 120))


@pytest.fixture
def server(tmp_path):
    """A repository of two tables on this machine."""
    root = tmp_path / "repository"
    (root / "data").mkdir(parents=True)
    (root / "data" / "a.csv").write_text("x\n1\n")
    (root / "data" / "b.csv").write_text("x\n2\n")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}/", root
        found.shutdown()
        thread.join()


def test_tables_are_downloaded_once_and_never_replaced_by_others(server, tmp_path, capsys):
    base, root = server
    folder = tmp_path / "here"
    files = ["data/a.csv", "data/gone.csv", "data/b.csv"]
    assert published_files.fetch(folder, base, files) == 1
    assert "data/gone.csv cannot be had: 404" in capsys.readouterr().err
    assert (folder / "data" / "a.csv").read_text() == "x\n1\n" and (folder / "data" / "b.csv").exists()
    (root / "data" / "a.csv").write_text("something else")
    assert published_files.fetch(folder, base, ["data/a.csv"]) == 0  # it is here and whole
    (folder / "data" / "a.csv").write_text("damaged")
    assert published_files.fetch(folder, base, ["data/a.csv"]) == 1
    assert "is another file than before" in capsys.readouterr().err
    (root / "data" / "a.csv").write_text("x\n1\n")
    assert published_files.fetch(folder, base, ["data/a.csv"]) == 0
    assert (folder / "data" / "a.csv").read_text() == "x\n1\n"


def test_addresses_are_of_one_commit_and_encrypted(tmp_path, capsys):
    assert published_files.BASE.startswith("https://") and published_files.COMMIT in published_files.BASE
    assert published_files.fetch(tmp_path, "http://example.org/", ["a.csv"]) == 1
    assert "the address is not https" in capsys.readouterr().err


def test_check_prints_published_and_recomputed_figures_side_by_side(tmp_path, capsys):
    file = tmp_path / "data/DnD_results/rn50_results/resnet50_imagenet_broden_fc.csv"
    file.parent.mkdir(parents=True)
    names = [f"label {max(0, i - 38)}" for i in range(907)] + [f"label {i}" for i in range(1, 94)]
    file.write_text("Neuron ID,label\n" + "".join(f"{i},{name}\n" for i, name in enumerate(names)))
    assert published.main(["check", str(tmp_path)]) == 0
    assert "same        869      869  " in capsys.readouterr().out
    file.write_text("Neuron ID,label\n0,a\n")
    assert published.main(["check", str(tmp_path)]) == 1
    assert "OTHER      1000        1  " in capsys.readouterr().out


def test_check_tells_what_is_not_there(tmp_path, capsys):
    assert published.main(["check", str(tmp_path)]) == 2
    assert "run `python -m studies.published fetch" in capsys.readouterr().err
    (tmp_path / RATINGS).parent.mkdir(parents=True)
    (tmp_path / RATINGS).write_text("Layer,Unit\n1,2\n")
    assert published.main(["check", str(tmp_path)]) == 2
    assert "column 'Mean Caption E1 Rating'" in capsys.readouterr().err
