"""Audits: silence the units that a query finds, and see which classes the network then gets wrong.

Source: MILAN (Hernandez et al., ICLR 2022), sections 5 and 6; the EuroSAT case of Describe-and-Dissect (use cases).
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from dnd.backends.batches import BatchSize
from dnd.config.evaluation import AuditSettings
from dnd.io import pictures, schemas, tables
from dnd.target.interventions import logits_of, silenced
from dnd.target.network import Target, fixed_batches
from dnd.target.outputs import TargetError

log = logging.getLogger(__name__)
BATCH = 32
RESAMPLES = 2000
MOST_DRAWS = 2**20
"""Draws of a bootstrap that are in memory at once."""
IDLE = frozenset({"dead", "constant", "nonfinite"})
"""Reasons to abstain from a unit that never changes: silencing it is no comparison."""

Floats = npt.NDArray[np.float64]


def words(text: str) -> set[str]:
    """Return the words of a text in lower case."""
    return set(re.findall(r"[^\W_]+", text.lower()))


def matches(label: str | None, query: str) -> bool:
    """Tell whether a label has all words of a query, or of one of its alternatives, between which ``|`` stands.

    Whole words count, in any case and order: ``red star|ring`` finds "a Red, striped star" and "rings" it does not.
    """
    wanted = [words(part) for part in query.split("|")]
    return label is not None and any(part and part <= words(label) for part in wanted)


def controls(count: int, units: int, taken: Iterable[int], draw: int) -> list[int]:
    """Return a fixed random choice of other units, sorted: those whose hashes are smallest.

    Parameters
    ----------
    count : how many; fewer where there are no more.
    units : of the layer.
    taken : units that are not to be chosen.
    draw : another number, another choice.
    """
    free = sorted(set(range(units)) - set(taken), key=lambda unit: _hash(f"{draw}/{unit}"))
    return sorted(free[:count])


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def intervals(values: Floats, seed: int = 0) -> Floats:
    """Return the 95 % percentile bootstrap intervals [k, 2] of the means of values [n, k], drawing rows together.

    Source: Efron 1979; the 2.5th and 97.5th percentiles over RESAMPLES resamples, with a fixed seed.
    """
    rng = np.random.default_rng(seed)
    at_once = max(1, MOST_DRAWS // len(values))
    counts = [min(at_once, RESAMPLES - first) for first in range(0, RESAMPLES, at_once)]
    means = np.concatenate([values[rng.integers(len(values), size=(count, len(values)))].mean(1) for count in counts])
    return np.quantile(means, (0.025, 0.975), axis=0).T


def class_numbers(labels: Collection[str], outputs: int, names: Sequence[str] | None) -> dict[str, int]:
    """Return label -> which of the network's outputs stands for it.

    Labels that are all numbers are these numbers; otherwise they are among the names, or, where no names are known and
    there are as many labels as outputs, their places in order.

    Raises
    ------
    ValueError
        Labels do not fit the outputs; the message says what to set.
    """
    found = sorted(set(labels))
    if names is not None and len(names) != outputs:
        raise ValueError(f"{len(names)} names of classes for {outputs} outputs of the network: see `classes`")
    if names is not None and set(found) <= set(names):
        return {label: list(names).index(label) for label in found}
    if found and all(re.fullmatch(r"[0-9]+", label) for label in found):
        numbers = {label: int(label) for label in found}
        if max(numbers.values()) < outputs:
            return numbers
        raise ValueError(f"label {max(numbers.values())} of the probe is none of the network's {outputs} outputs")
    if names is not None:
        raise ValueError(f"label {min(set(found) - set(names))!r} of the probe is none of the classes: see `classes`")
    if len(found) == outputs:
        return {label: i for i, label in enumerate(found)}
    raise ValueError(f"the probe has {len(found)} labels and the network {outputs} outputs: set `classes`")


def known_classes(target: Target, file: Path | None) -> list[str] | None:
    """Return the names of a network's outputs, from a file or as a transformers model has them; None where unknown."""
    if file is not None:
        return [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    own = getattr(getattr(target.model, "config", None), "id2label", None)
    if not own or all(str(name).startswith("LABEL_") for name in own.values()):  # what transformers makes up
        return None
    return [str(own[i]) for i in sorted(own)]


@dataclass(frozen=True)
class Outcome:
    """What the network makes of n images whose classes are known.

    Attributes
    ----------
    correct : float64 [n], 0 or 1.
    loss : float64 [n], cross entropy.
    logit : float64 [n], of the true class.
    """

    correct: Floats
    loss: Floats
    logit: Floats

    @classmethod
    def of(cls, logits: npt.NDArray[np.float32], truth: npt.NDArray[np.int64]) -> Outcome:
        """Judge logits [n, classes] by the true classes [n]; of equal logits the first class wins."""
        exact, true = torch.from_numpy(logits).double(), torch.from_numpy(truth)
        loss = functional.cross_entropy(exact, true, reduction="none")
        own = exact.gather(1, true[:, None])[:, 0]
        return cls((logits.argmax(1) == truth).astype(float), loss.numpy(), own.numpy())

    def changes(self, before: Outcome) -> Floats:
        """Return [n, 3], what has changed in ``correct``, ``loss`` and ``logit``."""
        pairs = ((self.correct, before.correct), (self.loss, before.loss), (self.logit, before.logit))
        return np.stack([after - earlier for after, earlier in pairs], 1)


def rows(before: Outcome, after: Outcome, classes: npt.NDArray[np.int64], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the columns of AUDITS that are measured: one row for each class that has images, and one for all images.

    Parameters
    ----------
    classes : int64 [n], of the images.
    names : of the classes.
    """
    groups = [(None, np.arange(len(classes)))]
    groups += [(names[one], np.flatnonzero(classes == one)) for one in np.unique(classes).tolist()]
    found = []
    for name, chosen in groups:
        changes = after.changes(before)[chosen]
        means, bounds = changes.mean(0), intervals(changes)
        found.append(
            {
                "class": name,
                "images": len(chosen),
                "correct_before": int(before.correct[chosen].sum()),
                "correct_after": int(after.correct[chosen].sum()),
                "loss_before": float(before.loss[chosen].mean()),
                "loss_after": float(after.loss[chosen].mean()),
            }
        )
        for metric, mean, (low, high) in zip(("accuracy", "loss", "logit"), means, bounds, strict=True):
            values = {"change": mean, "low": low, "high": high}
            found[-1] |= {f"{metric}_{key}": float(value) for key, value in values.items()}
    return found


def run(
    audit: str,
    settings: AuditSettings,
    units: Sequence[int] | None,
    target: Target,
    descriptions: pa.Table,
    shards: Sequence[Path],
    batch: int = BATCH,
) -> pa.Table:
    """Return the AUDITS table of one audit: no rows where the query finds no unit.

    Parameters
    ----------
    audit : its name.
    units : the numbers that ``settings.units`` spells; None with a query.
    descriptions : DESCRIPTIONS of the layer.
    shards : of the labelled probe.

    Raises
    ------
    ValueError
        The probe has no labels, or they do not fit the network's outputs.
    TargetError
        The network does not end in classes, or units cannot be silenced.
    """
    with _naming(audit):
        described = descriptions.select(["unit", "label", "abstained"]).to_pylist()
        query = settings.query
        if units is None:
            assert query is not None
            units = [row["unit"] for row in described if matches(row["label"], query)]
        if not len(units):
            log.warning("audits.%s: no label matches %r, nothing is silenced", audit, query)
            return schemas.AUDITS.empty_table()
        idle = {row["unit"] for row in described if row["abstained"] in IDLE}
        known = known_classes(target, settings.classes)
        labels = _labels(shards)
        if settings.truth == "label" and not labels:
            raise ValueError("no image of the probe has a label: set the probe's `label`, or `truth: predicted`")
        there = _units(target, settings.layer, shards)
        taken = {*units, *idle}
        silent = [sorted(units), *(controls(len(units), there, taken, draw) for draw in range(settings.controls))]
        names, logits = _logits(target, settings, silent, shards, batch)
        outputs = logits.shape[2]
        if settings.truth == "label":
            number = class_numbers(set(labels.values()), outputs, known)
            truth = np.array([number[labels[name]] for name in names], np.int64)
            spelt = {place: label for label, place in number.items()}
        else:
            truth, spelt = logits[0].argmax(1).astype(np.int64), {}
            if known is not None and len(known) != outputs:
                raise ValueError(f"{len(known)} names of classes for {outputs} outputs of the network: see `classes`")
        classes = [known[i] if known else spelt.get(i, str(i)) for i in range(outputs)]
        before = Outcome.of(logits[0], truth)
        found = []
        for draw, own in enumerate(silent):
            place = {"audit": audit, "name": settings.row, "layer": settings.layer, "units": own} | {
                "control": draw - 1 if draw else None
            }
            found += [place | row for row in rows(before, Outcome.of(logits[draw + 1], truth), truth, classes)]
        log.info("audits.%s: %d units silenced: %s", audit, len(units), silent[0])
        return tables.table(found, schemas.AUDITS)


@contextmanager
def _naming(audit: str) -> Iterator[None]:
    """Let a mistake in the configuration say in which audit."""
    try:
        yield
    except TargetError:
        raise
    except ValueError as error:
        raise ValueError(f"audits.{audit}: {error}") from None


def _labels(shards: Sequence[Path]) -> dict[str, str]:
    """Image id -> label, of the images that have one."""
    pairs = tables.read(shards, schemas.PROBE, ["image_id", "label"]).to_pylist()
    found = {row["image_id"]: row["label"] for row in pairs if row["label"] is not None}
    if found and len(found) < len(pairs):
        log.warning("%d of %d images have no label and are left out", len(pairs) - len(found), len(pairs))
    return found


def _units(target: Target, layer: str, shards: Sequence[Path]) -> int:
    """How many units the layer has."""
    first = next(iter(pictures.rows(shards, columns=["image"])))
    inputs = target.preprocess.image(pictures.decode(first["image"]))[None]
    return target.read(inputs, [layer], lambda _, reading: reading.units)[layer]


def _logits(
    target: Target, settings: AuditSettings, silent: Sequence[Sequence[int]], shards: Sequence[Path], batch: int
) -> tuple[list[str], npt.NDArray[np.float32]]:
    """The ids of the images that count; logits [1 + sets, images, classes], untouched, then with each set silent."""
    labelled = settings.truth == "label"

    def load(row: Mapping[str, Any]) -> Tensor:
        return target.preprocess.image(pictures.decode(row["image"]))

    @torch.inference_mode()
    def run_batch(part: Sequence[Mapping[str, Any]], inputs: Tensor) -> Tensor:
        found = []
        for units in ((), *silent):
            with silenced(target, settings.layer, units, len(inputs)):
                found.append(logits_of(target, inputs)[: len(part)].float().cpu())
        return torch.stack(found)

    names: list[str] = []
    parts = []
    size = BatchSize(batch, "audit")
    stored = pictures.rows(shards, columns=["image_id", "label", "image"])
    wanted = (row for row in stored if not labelled or row["label"] is not None)
    with tqdm(desc="audit", unit="image", mininterval=5) as bar:
        for part, found in fixed_batches(wanted, load, size, run_batch):
            names += [row["image_id"] for row in part]
            parts.append(found.numpy())
            bar.update(len(part))
    return names, np.concatenate(parts, 1)
