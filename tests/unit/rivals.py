"""A layer as rival methods read it: a probe of plain pictures, and the activations that a test gives its units."""

import io
import re

import numpy as np
from PIL import Image

from dnd.io import pictures, schemas, tables
from dnd.probe import pack
from dnd.target import topk

KEPT = 30
SIDE = 8


def layer(folder, values, colours=None, controls=None):
    """Write a probe of one-coloured images and a TOPK table; return what the methods' ``run`` takes of them.

    Parameters
    ----------
    values : activations [images, units]; images are named by their numbers.
    colours : 0 to 255, [images, 3].
    controls : images whose activations are kept; all of them when empty.
    """
    values = np.asarray(values, np.float32)
    if colours is None:
        colours = np.random.default_rng(0).integers(0, 256, (len(values), 3))
    names = [f"{i:04d}.png" for i in range(len(values))]
    rows = [
        {"image_id": name, "digest": name, "width": SIDE, "height": SIDE, "label": None, "image": _png(colour)}
        for name, colour in zip(names, colours, strict=True)
    ]
    shards = [folder / "probe-0.parquet", folder / "probe-1.parquet"]
    half = len(rows) // 2
    for path, part in zip(shards, (rows[:half], rows[half:]), strict=True):
        tables.write(path, tables.table(part, schemas.PROBE), schemas.PROBE)
    kept = pack.controls(shards, controls or len(rows))
    places = [names.index(name) for name in kept]
    units = [_topk(unit, column, names, places) for unit, column in enumerate(values.T)]
    tables.write(folder / "topk.parquet", tables.table(units, schemas.TOPK), schemas.TOPK)
    return {"topk": folder / "topk.parquet", "shards": shards}


def _topk(unit, column, names, places):
    finite = np.where(np.isfinite(column), column, -np.inf)
    order = [i for i in np.argsort(-finite, kind="stable")[:KEPT] if np.isfinite(column[i])]
    low, high = column[np.isfinite(column)].min(), column[np.isfinite(column)].max()
    return {
        "unit": unit,
        "image_ids": [names[i] for i in order],
        "activations": column[order],
        "mean": float(column.mean()),
        "std": float(column.std()),
        "fraction_zero": float((column == 0).mean()),
        "nonfinite": int((~np.isfinite(column)).sum()),
        "idle": topk.idle(float(low), float(high)),
        "low": low,
        "high": high,
        "quantiles": [],
        "controls": column[places],
    }


def _png(colour):
    file = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), tuple(int(one) for one in colour)).save(file, "PNG")
    return file.getvalue()


def images(made):
    """The probe's pictures, in order of their names."""
    return [pictures.decode(row["image"]) for row in pictures.rows(made["shards"], None, ["image_id", "image"])]


def matrix(made):
    """The activations [images, units] as a test gave them, in order of the images' names."""
    return np.stack(tables.read(made["topk"], schemas.TOPK, ["controls"])["controls"].to_numpy()).T


def length(formula):
    """How many concepts a formula joins."""
    return len(re.split(" AND | OR ", str(formula)))
