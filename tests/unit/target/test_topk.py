"""Parts of shards joined to a table of every layer."""

import numpy as np
import pyarrow as pa
import pytest

from dnd.io import schemas, tables
from dnd.target import topk

NAN = float("nan")
PARTS = [  # of two shards: best images, statistics, activations of control images
    (
        [("s", 0, ["a", "b"], [3.0, 1.0]), ("s", 1, [], [])],
        [("s", 0, 2, 0, 4.0, 10.0, 0, 1.0, 3.0), ("s", 1, 0, 2, 0.0, 0.0, 0, np.inf, -np.inf)],
        [("s", "b", [1.0, NAN])],
    ),
    (
        [("s", 0, ["c", "d"], [3.0, 2.0]), ("s", 1, [], []), ("t", 0, ["c"], [9.0])],
        [("s", 0, 3, 1, 5.0, 13.0, 1, 0.0, 3.0), ("s", 1, 0, 3, 0.0, 0.0, 0, np.inf, -np.inf)],
        [("s", "c", [3.0, NAN])],
    ),
]


@pytest.fixture
def parts(tmp_path):
    """Files of TOPK_PART, STATISTICS_PART and CONTROLS_PART."""
    files = ([], [], [])
    for shard, kinds in enumerate(PARTS):
        for kind, (rows, schema) in enumerate(zip(kinds, schemas.PARTS, strict=True)):
            path = tmp_path / f"{shard}-{kind}.parquet"
            tables.write(
                path, tables.table([dict(zip(schema.names, row, strict=True)) for row in rows], schema), schema
            )
            files[kind].append(path)
    return files


@pytest.mark.parametrize("at_once", [1, 2])
def test_shards_are_joined(parts, monkeypatch, at_once):
    monkeypatch.setattr(topk, "UNITS_AT_ONCE", at_once)
    red, never = pa.concat_tables(topk.merge(*parts, slug="s", k=3)).to_pylist()
    assert (red["image_ids"], red["activations"]) == (["a", "c", "d"], [3, 3, 2])  # equal ones by image id
    assert (red["mean"], red["low"], red["high"], red["nonfinite"]) == (pytest.approx(9 / 5), 0, 3, 1)
    assert red["std"] == pytest.approx((23 / 5 - (9 / 5) ** 2) ** 0.5)
    assert red["fraction_zero"] == pytest.approx(0.2)
    assert (red["idle"], red["controls"]) == (None, [1, 3])
    assert red["quantiles"][-1] == 3
    assert (never["idle"], never["mean"], never["std"], never["low"], never["quantiles"]) == (
        *("nonfinite", None, None, None),
        [],
    )


@pytest.mark.parametrize(
    ("low", "high", "why"),
    [(0.0, 0.0, "dead"), (2.0, 2.0, "constant"), (-1.0, -1.0 + 1e-7, "constant"), (0.0, 1e-3, None), (-1.0, 1.0, None)],
)
def test_why_a_unit_is_idle(low, high, why):
    assert topk.idle(low, high) == why
