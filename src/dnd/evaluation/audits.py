"""Audits: silence the units that a query finds, and see which classes the network then gets wrong.

Source: MILAN (Hernandez et al., ICLR 2022), sections 5 and 6; the EuroSAT case of Describe-and-Dissect (use cases).
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from dnd.backends.batches import BatchSize
from dnd.config import sweep
from dnd.config.evaluation import AuditSettings
from dnd.evaluation.metrics.statistics import intervals
from dnd.io import pictures, schemas, tables
from dnd.target.interventions import logits_of, silenced
from dnd.target.network import Target, fixed_batches
from dnd.target.outputs import TargetError

log = logging.getLogger(__name__)
BATCH = 32
IDLE = frozenset({"dead", "constant", "nonfinite"})
"""Reasons to abstain from a unit that never changes: silencing it is no comparison."""

Floats = npt.NDArray[np.float64]


class Audit(NamedTuple):
    """A row of AUDITS: what silencing some units does to the images of one class, or with None to all images."""

    audit: str
    name: str
    layer: str
    control: int | None
    units: list[int]
    class_: str | None  # the column is called ``class``, as no field of Python's can be
    images: int
    correct_before: int
    correct_after: int
    loss_before: float
    loss_after: float
    accuracy_change: float
    accuracy_low: float
    accuracy_high: float
    loss_change: float
    loss_low: float
    loss_high: float
    logit_change: float
    logit_low: float
    logit_high: float


def rows_of(table: pa.Table) -> list[Audit]:
    """Return the rows of an AUDITS table."""
    columns = (column.to_pylist() for column in table.select(schemas.AUDITS.names).columns)
    return [Audit(*values) for values in zip(*columns, strict=True)]


def table_of(rows: Sequence[Audit]) -> pa.Table:
    """Return rows as an AUDITS table."""
    return tables.table([dict(zip(schemas.AUDITS.names, row, strict=True)) for row in rows], schemas.AUDITS)


class AuditedUnit(NamedTuple):
    """What an audit needs of a row of DESCRIPTIONS."""

    unit: int
    label: str | None
    abstained: str | None


class LabelledImage(NamedTuple):
    """What an audit needs of a row of PROBE."""

    label: str | None
    image: bytes


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

    def place(unit: int) -> bytes:
        return hashlib.sha256(f"{draw}/{unit}".encode()).digest()

    return sorted(sorted(set(range(units)) - set(taken), key=place)[:count])


def class_numbers(labels: Collection[str], outputs: int, names: Sequence[str] | None) -> dict[str, int]:
    """Return label -> which of the network's outputs stands for it.

    Labels that are all numbers are these numbers; otherwise they are among the names, or, where no names are known and
    there are as many labels as outputs, their places in order.

    Raises
    ------
    ValueError
        Labels do not fit the outputs; the message says what to set.
    """
    distinct = sorted(set(labels))
    if names is not None and len(names) != outputs:
        raise ValueError(f"{len(names)} names of classes for {outputs} outputs of the network: see `classes`")
    if names is not None and set(distinct) <= set(names):
        return {label: list(names).index(label) for label in distinct}
    if distinct and all(re.fullmatch(r"[0-9]+", label) for label in distinct):
        numbers = {label: int(label) for label in distinct}
        if max(numbers.values()) < outputs:
            return numbers
        raise ValueError(f"label {max(numbers.values())} of the probe is none of the network's {outputs} outputs")
    if names is not None:
        raise ValueError(
            f"label {min(set(distinct) - set(names))!r} of the probe is none of the classes: see `classes`"
        )
    if len(distinct) == outputs:
        return {label: i for i, label in enumerate(distinct)}
    raise ValueError(f"the probe has {len(distinct)} labels and the network {outputs} outputs: set `classes`")


def known_classes(target: Target, file: Path | None) -> list[str] | None:
    """Return the names of a network's outputs, from a file or as a transformers model has them; None where unknown."""
    if file is not None:
        return [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    names = getattr(getattr(target.model, "config", None), "id2label", None)
    if not names or all(str(name).startswith("LABEL_") for name in names.values()):  # what transformers makes up
        return None
    return [str(names[i]) for i in sorted(names)]


def outcomes(logits: npt.NDArray[np.float32], truth: npt.NDArray[np.int64]) -> Floats:
    """Return what the network makes of images whose classes are known: float64 [n, 3].

    Columns are whether the true class is chosen, 0 or 1 (of equal logits the first class wins), the cross entropy and
    the logit of the true class.

    Parameters
    ----------
    logits : [n, classes].
    truth : [n].
    """
    exact, true = torch.from_numpy(logits).double(), torch.from_numpy(truth)
    losses = functional.cross_entropy(exact, true, reduction="none")
    chosen = exact.gather(1, true[:, None])[:, 0]
    return np.stack([logits.argmax(1) == truth, losses.numpy(), chosen.numpy()], 1)


def effects(
    place: tuple[str, str, str, int | None, list[int]],
    before: Floats,
    after: Floats,
    classes: npt.NDArray[np.int64],
    names: Sequence[str],
) -> list[Audit]:
    """Return the rows of AUDITS of some units: one for all images, and one for each class that has images.

    Parameters
    ----------
    place : the first fields of the rows, up to the units.
    before, after : :func:`outcomes` of the network untouched, and with the units silenced.
    classes : int64 [n], of the images.
    names : of the classes.
    """
    groups: list[tuple[str | None, npt.NDArray[np.intp]]] = [(None, np.arange(len(classes)))]
    groups += [(names[number], np.flatnonzero(classes == number)) for number in np.unique(classes).tolist()]
    rows = []
    for name, chosen in groups:
        changes = after[chosen] - before[chosen]
        figures = np.column_stack([changes.mean(0), intervals(changes)])  # of correct, loss, logit: change, low, high
        correct = (int(outcome[chosen, 0].sum()) for outcome in (before, after))
        losses = (float(outcome[chosen, 1].mean()) for outcome in (before, after))
        rows.append(Audit(*place, name, len(chosen), *correct, *losses, *figures.ravel().tolist()))
    return rows


def run(
    audit: str,
    settings: AuditSettings,
    target: Target,
    described: Sequence[AuditedUnit],
    shards: Sequence[Path],
    batch: int = BATCH,
) -> pa.Table:
    """Return the AUDITS table of one audit: no rows where the query finds no unit.

    Parameters
    ----------
    audit : its name.
    described : the layer's units.
    shards : of the labelled probe.

    Raises
    ------
    ValueError
        The probe has no labels, or they do not fit the network's outputs.
    TargetError
        The network does not end in classes, or units cannot be silenced.
    """
    with _naming(audit):
        if settings.units is not None:
            units = list(sweep.units(settings.units))
        else:
            units = sorted(row.unit for row in described if matches(row.label, settings.query or ""))
        if not units:
            log.warning("audits.%s: no label matches %r, nothing is silenced", audit, settings.query)
            return schemas.AUDITS.empty_table()
        known = known_classes(target, settings.classes)
        if settings.truth == "label":
            _require_labels(shards)
        taken = {*units, *(row.unit for row in described if row.abstained in IDLE)}
        count = _units(target, settings.layer, shards)
        sets = [units, *(controls(len(units), count, taken, draw) for draw in range(settings.controls))]
        labels, logits = _logits(target, settings, sets, shards, batch)
        truth, classes = _truth(settings, logits[0], labels, known)
        before, rows = outcomes(logits[0], truth), list[Audit]()
        for draw, chosen in enumerate(sets):
            place = audit, settings.row, settings.layer, draw - 1 if draw else None, chosen
            rows += effects(place, before, outcomes(logits[draw + 1], truth), truth, classes)
        log.info("audits.%s: %d units silenced: %s", audit, len(units), sets[0])
        return table_of(rows)


def _truth(
    settings: AuditSettings,
    logits: npt.NDArray[np.float32],
    labels: Sequence[str | None],
    known: Sequence[str] | None,
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """The true class int64 [n] of each image, and the names of all classes."""
    outputs = logits.shape[1]
    if settings.truth == "label":
        given = [label for label in labels if label is not None]
        numbers = class_numbers(given, outputs, known)
        truth = np.array([numbers[label] for label in given], np.int64)
        names = {number: label for label, number in numbers.items()}
    else:
        if known is not None and len(known) != outputs:
            raise ValueError(f"{len(known)} names of classes for {outputs} outputs of the network: see `classes`")
        truth, names = logits.argmax(1).astype(np.int64), {}
    return truth, [known[i] if known else names.get(i, str(i)) for i in range(outputs)]


@contextmanager
def _naming(audit: str) -> Iterator[None]:
    """Let a mistake in the configuration say in which audit."""
    try:
        yield
    except TargetError:
        raise
    except ValueError as error:
        raise ValueError(f"audits.{audit}: {error}") from None


def _require_labels(shards: Sequence[Path]) -> None:
    """Say how many images have no label; none has one, that is an error."""
    labels = tables.read(shards, schemas.PROBE, ["label"])["label"]
    if labels.null_count == len(labels):
        raise ValueError("no image of the probe has a label: set the probe's `label`, or `truth: predicted`")
    if labels.null_count:
        log.warning("%d of %d images have no label and are left out", labels.null_count, len(labels))


def _units(target: Target, layer: str, shards: Sequence[Path]) -> int:
    """How many units the layer has."""
    first = next(iter(pictures.rows(shards, columns=["image"])))
    inputs = target.preprocess.image(pictures.decode(first["image"]))[None]
    return target.read(inputs, [layer], lambda _, reading: reading.units)[layer]


def _logits(
    target: Target, settings: AuditSettings, sets: Sequence[Sequence[int]], shards: Sequence[Path], batch: int
) -> tuple[list[str | None], npt.NDArray[np.float32]]:
    """The labels of the images that count; logits [1 + sets, images, classes], untouched, then with each set silent."""

    def load(row: LabelledImage) -> Tensor:
        return target.preprocess.image(pictures.decode(row.image))

    @torch.inference_mode()
    def run_batch(part: Sequence[LabelledImage], inputs: Tensor) -> Tensor:
        logits = []
        for units in ((), *sets):
            with silenced(target, settings.layer, units, len(inputs)):
                logits.append(logits_of(target, inputs)[: len(part)].float().cpu())
        return torch.stack(logits)

    labels: list[str | None] = []
    parts = []
    stored = (LabelledImage(**row) for row in pictures.rows(shards, columns=LabelledImage._fields))
    wanted = (row for row in stored if settings.truth != "label" or row.label is not None)
    with tqdm(desc="audit", unit="image", mininterval=5) as bar:
        for part, logits in fixed_batches(wanted, load, BatchSize(batch, "audit"), run_batch):
            labels += [row.label for row in part]
            parts.append(logits.numpy())
            bar.update(len(part))
    return labels, np.concatenate(parts, 1)
