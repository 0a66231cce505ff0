"""The benchmarks' arithmetic and page; what they measure is not measured here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import full_size, memory, page, pairs
from benchmarks.__main__ import main

ROOT = Path(__file__).parents[2]


def test_medians_and_ratio_of_pairs():
    seconds = [(2.0, 1.0), (4.0, 3.0), (8.0, 8.0)]
    timed = [{"ours": (ours, 1.0), "baseline": (baseline, 0.5)} for ours, baseline in seconds]
    found = pairs.Result.of("case", "images/s", 12, timed, 0.9)
    assert (found.ours, found.baseline) == (12 / 4, 12 / 3)
    assert found.ratio == found.ours / found.baseline == 0.75
    assert (found.cpu_ratio, found.low, found.high) == (0.5, 0.5, 1.0)
    assert found.row == {
        **{"case": "case", "ours": 3.0, "baseline": 4.0, "unit": "images/s", "ratio": 0.75, "repeats": 3},
    }


def test_each_way_is_first_in_every_other_pair():
    order = []

    def way(name):
        return lambda: (order.append(name), (1.0, name))[1]

    timed, made = pairs.paired({"ours": way("ours"), "baseline": way("baseline")}, 2)
    assert order == ["ours", "baseline", "ours", "baseline", "baseline", "ours"]
    assert made == ["ours", "baseline"]
    assert timed == [{"ours": (1.0, None), "baseline": (1.0, None)}] * 2


def test_ways_that_differ_are_no_case():
    def agree(ours, baseline):
        assert ours == baseline

    with pytest.raises(AssertionError):
        pairs.measure(pairs.Case("case", "x/s", 1, lambda: 1, lambda: 2, agree), repeats=1)


def test_a_process_counts_its_own_memory_and_not_that_of_a_larger_parent():
    held = b"1" * 300_000_000
    code = "import sys; sys.path.insert(0, '.'); from benchmarks import memory; print(memory.peak())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert 0 < int(child.stdout) < len(held) / 1e6 <= memory.peak()


@pytest.mark.parametrize(("last", "expected"), [(500, 500 + 100 / 3000 * 996_000), (390, 400)])
def test_memory_that_is_foreseen(last, expected):
    measured = [
        {"images": 1000, "units": 512, "pass": 1, "merge": 1},
        {"images": 1000, "units": 2048, "pass": 300, "merge": 400},
        {"images": 4000, "units": 2048, "pass": last, "merge": 350},
    ]
    assert memory.foreseen(measured) == pytest.approx(expected)


def test_page_shows_each_figure():
    result = pairs.Result("captions", 40.0, 50.0, "captions/s", 0.8, 5, 0.9, 0.85, 0.7, 0.9)
    machine = {"processor": "a processor", "cores": 2, "threads": 2, "gpu": None, "load": 0.1}
    text = page.render({"machine": machine, "results": [vars(result)]})
    assert "| captions | 40 | 50 | captions/s | 0.8 | 0.85 | 0.7 \N{EN DASH} 0.9 | 5 | ≥ 0.9 |" in text
    assert "## Memory" not in text


def test_page_shows_models_of_real_size_apart():
    result = vars(pairs.Result("captions", 40.0, 50.0, "captions/s", 0.8, 5))
    machine = {"processor": "a processor", "cores": 2, "threads": 2, "gpu": None, "load": 0.1}
    whole = {"units": 7, "images needed": 90, "images drawn": 30, "seconds": {"images": 12.0}, "driver": [3.0, 5.0]}
    told = machine | {"gpu": "a GPU", "date": "2026-01-02", "versions": {"torch": "9"}, "end to end": whole}
    real = result | {"case": f"{page.REAL}captions", "ours": 80.0}
    before, _, after = page.render({"machine": machine, "results": [result, real], "real size": told}).partition(
        "## Models of real size"
    )
    assert "| captions | 40 |" in before and "| 80 |" not in before
    assert "| real size/captions | 80 |" in after and "| captions | 40 |" not in after
    assert "a GPU, 2026-01-02, torch 9" in after
    assert "30 of 90 images are drawn" in after


def test_models_of_real_size_need_a_gpu(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["--full-size"]) == 2
    assert "--full-size needs a GPU" in capsys.readouterr().err


def test_the_driver_describes_units_with_few_and_with_many_candidates():
    candidates = [["a"] * count for count in (9, 1, 8, 2, 7, 3, 6, 4, 5, 0)]
    assert full_size.typical(candidates) == [1, 5, 8, 4, 0]
    assert full_size.typical(candidates[:2]) == [1, 0]


def test_earlier_figures_are_read(tmp_path):
    assert page.kept(tmp_path / "none.json", []) == []
    (tmp_path / "some.json").write_text(json.dumps([1]))
    assert page.kept(tmp_path / "some.json", []) == [1]
