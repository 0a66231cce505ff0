"""Tables of patterns, overlaps and idle units."""

from dnd.io import schemas, tables

BOTH, SCENES = ["object", "scene"], ["scene"]

PATTERNS = [
    ([("object", "sky")], BOTH, 100),
    ([("object", "tree"), ("scene", "park")], BOTH, 60),
    ([("scene", "park")], BOTH, 40),
    ([("scene", "street")], SCENES, 200),
    ([("scene", "sky")], SCENES, 50),
]

OVERLAPS = {0: [30, 50, 0, 10, 0], 1: [0, 0, 0, 1, 0], 2: [0, 0, 0, 0, 0], 3: [80, 0, 0, 0, 0], 4: [0, 0, 0, 0, 45]}


def patterns(rows=PATTERNS):
    return tables.table(
        [
            {
                "pattern": i,
                "concepts": [{"category": category, "concept": concept} for category, concept in concepts],
                "categories": categories,
                "pixels": pixels,
            }
            for i, (concepts, categories, pixels) in enumerate(rows)
        ],
        schemas.PATTERNS,
    )


def overlaps(counts=OVERLAPS, quantile="0.005"):
    rows = [
        {"quantile": quantile, "unit": unit, "pattern": pattern, "pixels": pixels}
        for unit, own in counts.items()
        for pattern, pixels in enumerate(own)
        if pixels
    ]
    return tables.table(rows, schemas.OVERLAPS)


def write(folder, patterns, overlaps):
    """Files of both tables, as the methods' ``run`` takes them."""
    tables.write(folder / "patterns.parquet", patterns, schemas.PATTERNS)
    tables.write(folder / "overlaps.parquet", overlaps, schemas.OVERLAPS)
    return {"patterns": folder / "patterns.parquet", "overlaps": folder / "overlaps.parquet"}


def write_topk(path, idle):
    """TOPK of units that are idle for some reason, or None."""
    empty = {"image_ids": [], "activations": [], "quantiles": [], "controls": [], "nonfinite": 0}
    absent = dict.fromkeys(("mean", "std", "fraction_zero", "low", "high"))
    rows = [{"unit": unit, "idle": why, **empty, **absent} for unit, why in idle.items()]
    tables.write(path, tables.table(rows, schemas.TOPK), schemas.TOPK)
    return path
