"""Rates and assumptions from a finished run: what its jobs took, and of how many items."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from dnd.config.recipes import Recipe
from dnd.io import schemas, tables
from dnd.run import tasks as workload
from dnd.run.cost.amounts import NOUNS, Amounts, provided
from dnd.run.cost.rates import Assumptions, Observation, Rates, Record, fitted, origin_of, records, said, seconds_of
from dnd.run.plan import Plan
from dnd.run.tasks import Task, used_gpu

COUNTED_BY_LOGS = {"captions", "concepts", "images", "stopping"}
"""Rules whose logs tell what was made and what the store had."""
STORED_TWICE = {"images", "stopping"}
"""Rules whose items lie in the store as well, as large as in their tables."""


def measured(plan: Plan, before: Rates | None = None) -> Rates:
    """Return the rates of the finished run of a plan, whose working directory is the current one.

    Parameters
    ----------
    before : other rates, kept of rules that the run lacks or whose items all came from the store.
    """
    assume = assumptions(plan)
    found = fitted(observations(plan, assume))
    return Rates(stages={**(before.stages if before else {}), **found}, assumptions=assume)


def as_json(plan: Plan) -> str:
    """Return what each job took, and the assumptions, as JSON: a line for each job."""
    assume = assumptions(plan)
    jobs = ",\n".join(json.dumps(one._asdict()) for one in observations(plan, assume))
    return f'{{"assumptions": {assume.model_dump_json()},\n"jobs": [\n{jobs}\n]}}'


def observations(plan: Plan, assume: Assumptions) -> Iterator[Observation]:
    """Yield what each finished job took."""
    amounts = Amounts(plan, assume)
    by_output = {task.output: task for task in workload.tasks(plan)}
    for record in records(Path(), plan.config.run):
        task = next((by_output[path] for path in record.files if path in by_output), None)
        if task:
            yield _observation(task, record, amounts)


def _observation(task: Task, record: Record, amounts: Amounts) -> Observation:
    origin = origin_of(record, Path())
    seconds = seconds_of(record, Path())
    logged = said(record.log) if task.rule in COUNTED_BY_LOGS else None
    wanted, made, server = logged or (0.0, 0.0, 0.0)
    if task.rule in STORED_TWICE:
        recipe = amounts.config.recipes[task.recipe]
        assert isinstance(recipe, Recipe) and recipe.generator is not None
        made, wanted = made * recipe.generator.steps, wanted * recipe.generator.steps
    if logged is None:
        made = wanted = _items(task, amounts)
    files = [one for path in record.files for one in ([path] if path.is_file() else path.rglob("*")) if one.is_file()]
    return Observation(
        rule=task.rule,
        seconds=seconds,
        start=min(seconds, seconds - origin["seconds"] + server) if origin else 0.0,
        items=made,
        wanted=wanted,
        volume=amounts.volume(task),
        bytes=sum(one.stat().st_size for one in files) * (2 if task.rule in STORED_TWICE else 1),
        device=origin["device"] if origin else "",
        gpu=origin is not None and used_gpu(origin),
        threads=origin["threads"] if origin else 1,
    )


def _items(task: Task, amounts: Amounts) -> float:
    """A job's items, by its table where that has a row for each."""
    if task.rule not in NOUNS:
        return 0
    if task.rule in ("exemplars", "look_alikes"):
        return tables.count(task.output)
    return amounts.items(task)


def assumptions(plan: Plan) -> Assumptions:
    """Return what the tables of a run say of what its configuration does not tell.

    Raises
    ------
    ValueError
        The run has no finished stages of our own method to say it.
    """
    recipes = {name: one for name, one in plan.config.recipes.items() if isinstance(one, Recipe) and not one.oracles}
    done = [task for task in workload.tasks(plan) if task.recipe in recipes and task.output.exists()]

    def own(rule: str) -> list[Task]:
        return [task for task in done if task.rule == rule]

    def per(rule: str, amount: Callable[[Task, Recipe], float]) -> float:
        return sum(amount(task, recipes[task.recipe]) for task in own(rule))

    if not own("concepts"):
        raise ValueError(f"{plan.config.results} has no finished job of `concepts` to measure")
    exemplars = _rows(task.output for task in own("exemplars"))
    captions = _read(own("captions"), schemas.CAPTIONS, "caption", lambda path: path)
    answers = _read(own("concepts"), schemas.ANSWERS, "answer", _answers)
    candidates = _rows(task.output for task in own("concepts"))
    distinct = sum(
        pc.count_distinct(_read([task], schemas.CONCEPTS, "concept", lambda path: path)).as_py()
        for task in own("concepts")
    )
    drawn = _read(own("stopping"), schemas.DRAWN, "images", lambda path: path.with_name(f"{path.stem}-drawn.parquet"))
    most = per("stopping", lambda task, recipe: recipe.generator.images if recipe.generator else 0)
    return Assumptions(
        exemplars=exemplars / per("exemplars", lambda task, recipe: task.units * recipe.exemplars.keep),
        views=len(captions) / max(exemplars, 1),
        questions=len(answers) / per("concepts", lambda task, recipe: task.units * provided(recipe)),
        candidates=candidates / per("concepts", lambda task, recipe: task.units),
        concepts=distinct / max(candidates, 1),
        drawn=_mean(drawn) / (most / len(own("stopping"))) if len(drawn) else 1.0,
        caption_tokens=_mean(pc.utf8_length(captions)) / 4,
        answer_tokens=_mean(pc.utf8_length(answers)) / 4,
    )


def _answers(path: Path) -> Path:
    return path.with_name(f"{path.stem}-answers.parquet")


def _rows(paths: Iterable[Path]) -> int:
    return tables.count([str(path) for path in paths])


def _read(tasks: Iterable[Task], schema: pa.Schema, column: str, place: Callable[[Path], Path]) -> pa.ChunkedArray:
    return tables.read([place(task.output) for task in tasks], schema, [column])[column]


def _mean(values: pa.ChunkedArray) -> float:
    return float(pc.mean(values).as_py() or 0)
