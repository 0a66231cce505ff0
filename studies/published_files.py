"""Where the released tables of Describe-and-Dissect are, what was published of them, and how they are downloaded."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from dnd.io.files import replaced

COMMIT = "d94fd2a869d91265dd7c8848f229ec3688a81d75"
BASE = f"https://raw.githubusercontent.com/Trustworthy-ML-Lab/Describe-and-Dissect/{COMMIT}/"
MOST_BYTES = 64 * 2**20
SECONDS = 60
SUMS = "SHA256SUMS"

_RESULTS = "data/DnD_results"


def _ratings() -> dict[str, str]:
    means = {
        "Mean": ("2.605", "2.99 2.79 2.40 2.24", "2.993", ".489", ".643"),
        "TopK-Sq": ("2.6225", "3.07 2.77 2.36 2.29", "3.011", ".475", ".652"),
        "Image-Products": ("3.0275", "3.29 3.12 3.02 2.68", "3.547", ".627", ".509"),
        "TopK-Compare": ("2.8525", "3.33 2.99 2.67 2.42", "3.312", ".558", ".628"),
    }
    found = {"kept ratings": "276", "identical labels": "26"}
    for method, (mean, layers, kept, best, correlation) in means.items():
        found[f"{method}, mean"] = mean
        found |= {f"{method}, mean of layer {i}": value for i, value in enumerate(layers.split(), 1)}
        found[f"{method}, mean of kept"] = kept
        found[f"{method}, share of best"] = f"0{best}"
        found[f"{method}, raters' correlation"] = f"0{correlation}"
    return found


def _labels(third: int, long: int, repeated: int) -> dict[str, str]:
    return {
        "rows": "50",
        "blank second labels": "2",
        "blank third labels": str(third),
        "long first labels": str(long),
        "first label repeated": str(repeated),
    }


FIGURES: dict[str, tuple[str, dict[str, str]]] = {
    f"{_RESULTS}/human_evals/RN50_table_4_scoring_function.csv": ("ratings", _ratings()),
    **{
        f"{_RESULTS}/rn50_results/resnet50_imagenet_broden_layer{layer}.csv": ("labels", _labels(*counts))
        for layer, counts in {1: (8, 5, 5), 2: (6, 5, 4), 3: (6, 4, 2), 4: (7, 2, 4)}.items()
    },
    f"{_RESULTS}/rn50_results/resnet50_imagenet_broden_fc.csv": (
        "classes",
        {"rows": "1000", "distinct labels": "869", "most frequent label": "39"},
    ),
    **{
        f"{_RESULTS}/{folder}{layer}.csv": ("labels", {"rows": "50"})
        for folder in ("rn152_results/resnet152_imagenet_layer", "BLIP2_data/BLIP2-Layer")
        for layer in (1, 2, 3, 4)
    },
    f"{_RESULTS}/eurosat_results/layer4.csv": (
        "labels",
        {"rows": "2048", "distinct first labels": "690", "first label repeated": "202"},
    ),
    "data/MILANNOTATIONS_resnet152_imagenet.csv": (
        "annotations",
        {"rows": "11712", "units": "3904", "units of three annotations": "3904"},
    ),
    "data/MILAN_results/m_base_resnet50_imagenet.csv": ("descriptions", {"rows": "4904"}),
    "data/CLIP_Dissect_results/resnet50_imagenet_broden.csv": ("descriptions", {"rows": "3904"}),
    "data/CLIP_Dissect_results/resnet152_imagenet.csv": ("descriptions", {"rows": "200", "begin with a space": "196"}),
    "data/NetDissect_results/resnet50_imagenet_layer4.csv": (
        "dissection",
        {"cells": "12288", "cells that follow the formula": "12288", "units of .04 or more": "1355"},
    ),
}
"""File of the repository -> what kind of table it is, and the figures that its authors' tables are known to give."""


def fetch(folder: Path, base: str = BASE, files: Iterable[str] = FIGURES) -> int:
    """Download tables into a folder and return how many could not be had; what is there already stays.

    The hash of each file is kept in ``SHA256SUMS``, for ``sha256sum --check``; a file that no longer has its hash is
    downloaded anew, and one that comes with another hash than before is refused.

    Parameters
    ----------
    base : address below which the files are, of one commit so that they do not change.
    """
    known = _sums(folder)
    failed = 0
    for name in files:
        place = folder / name
        if place.is_file() and known.get(name) == _sha256(place.read_bytes()):
            continue
        try:
            data = _download(base + name)
        except (OSError, HTTPException, ValueError) as error:
            reason = f"{error.code} {error.reason}" if isinstance(error, HTTPError) else str(error)
            print(f"{base}{name} cannot be had: {reason}", file=sys.stderr)
            failed += 1
            continue
        if known.setdefault(name, _sha256(data)) != _sha256(data):
            print(f"{base}{name} is another file than before: see {folder / SUMS}", file=sys.stderr)
            failed += 1
            continue
        with replaced(place) as partial:
            partial.write_bytes(data)
        print(place)
    with replaced(folder / SUMS) as partial:
        partial.write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(known.items())), encoding="utf-8")
    return failed


def _download(address: str) -> bytes:
    if not address.startswith(("https://", "http://127.0.0.1:")):
        raise ValueError("the address is not https")
    with urlopen(address, timeout=SECONDS) as answer:
        data = answer.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    return data


def _sums(folder: Path) -> dict[str, str]:
    if not (folder / SUMS).is_file():
        return {}
    lines = (line.split("  ", 1) for line in (folder / SUMS).read_text(encoding="utf-8").splitlines())
    return {parts[1]: parts[0] for parts in lines if len(parts) == 2}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
