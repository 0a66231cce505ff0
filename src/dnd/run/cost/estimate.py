"""What a run will cost, before it starts: jobs, GPU-hours, questions and tokens of the language model, disk space.

``dnd cost config/config.yaml`` reckons with the rates of `config/rates.yaml`, or of another file that ``--rates``
names; several configuration files are joined as after ``--configfile``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dnd.config.load import ConfigError
from dnd.run import tasks
from dnd.run.cost import rates as cost_rates
from dnd.run.cost.amounts import NOUNS, Amounts
from dnd.run.cost.rates import Rates
from dnd.run.plan import Plan


@dataclass
class Stage:
    """The jobs of a rule.

    Attributes
    ----------
    seconds : of all its jobs together; None where no rate is known.
    gpu : whether these are a GPU's; otherwise each counts for as many cores as a job has ``threads``.
    """

    rule: str
    jobs: int = 0
    items: float = 0
    noun: str = ""
    seconds: float | None = None
    gpu: bool = False
    threads: int = 1
    requests: float = 0
    prompt_tokens: float = 0
    answer_tokens: float = 0
    bytes: float = 0

    @property
    def hours(self) -> float:
        """Hours of GPUs, or of processor cores."""
        return (self.seconds or 0) * (1 if self.gpu else self.threads) / 3600


@dataclass
class Estimate:
    """What a run will cost.

    Attributes
    ----------
    devices : on which its rates were measured.
    unknown : rules without a rate, whose hours are missing.
    """

    run: str
    stages: list[Stage]
    devices: list[str]
    unknown: list[str]

    @property
    def jobs(self) -> int:
        """Jobs as Snakemake counts them, its target ``all`` among them."""
        return sum(stage.jobs for stage in self.stages) + 1

    @property
    def gpu_hours(self) -> float:
        """Hours of GPUs."""
        return sum(stage.hours for stage in self.stages if stage.gpu)

    @property
    def core_hours(self) -> float:
        """Hours of processor cores, of the jobs that use no GPU."""
        return sum(stage.hours for stage in self.stages if not stage.gpu)

    @property
    def job_hours(self) -> float:
        """Hours of all jobs, one after another."""
        return sum(stage.seconds or 0 for stage in self.stages) / 3600


def estimate(plan: Plan, rates: Rates) -> Estimate:
    """Return what the run of a plan will cost from nothing, with an empty store."""
    amounts = Amounts(plan, rates.assumptions)
    stages: dict[str, Stage] = {}
    for task in tasks.tasks(plan):
        stage = stages.setdefault(task.rule, Stage(task.rule, noun=NOUNS.get(task.rule, "")))
        items = amounts.items(task) if stage.noun else 0
        stage.jobs += 1
        stage.items += items
        if stage.noun == "questions":
            prompt, answer = amounts.tokens(task)
            stage.requests += items
            stage.prompt_tokens += prompt
            stage.answer_tokens += answer
        if rate := rates.stages.get(task.rule):
            stage.seconds = (stage.seconds or 0) + rate.job + rate.item * items
            stage.gpu, stage.threads = rate.gpu, rate.threads
            stage.bytes += amounts.size(task, rate.size)
    devices = dict.fromkeys(rates.stages[rule].device for rule in stages if rule in rates.stages)
    unknown = [rule for rule in stages if rule not in rates.stages]
    return Estimate(plan.config.run, list(stages.values()), list(filter(None, devices)), unknown)


def text(cost: Estimate, rates: str) -> str:
    """Return an estimate as a table for a terminal; ``rates`` says where its rates come from."""
    lines = [f"{'stage':20}{'jobs':>7}{'items':>13}  {'':15}{'GPU-hours':>10}{'core-hours':>11}{'bytes':>10}"]
    for stage in cost.stages:
        items = f"{stage.items:,.0f}" if stage.noun else ""
        hours = f"{stage.hours:.3f}" if stage.seconds is not None else "?"
        columns = f"{hours:>10}{'':11}" if stage.gpu else f"{'':10}{hours:>11}"
        lines.append(f"{stage.rule:20}{stage.jobs:>7,}{items:>13}  {stage.noun:15}{columns}{size(stage.bytes):>10}")
    totals = f"{cost.gpu_hours:>10.3f}{cost.core_hours:>11.3f}{size(sum(stage.bytes for stage in cost.stages)):>10}"
    lines.append(f"{'total':20}{cost.jobs:>7,}{'':13}  {'':15}{totals}")
    asked = sum(stage.requests for stage in cost.stages)
    prompt, answer = (sum(getattr(stage, f"{key}_tokens") for stage in cost.stages) for key in ("prompt", "answer"))
    lines += ["", f"language model: {asked:,.0f} questions, {prompt:,.0f} tokens in, {answer:,.0f} out"]
    lines.append(f"one job after another: {cost.job_hours:.2f} hours; the store is taken to be empty")
    devices = " and ".join(cost.devices) or "an unknown device"
    lines.append(f"rates: {rates}, of {devices} and the models used there. Other devices and models take other times,")
    lines.append("by far: put those of a small run of yours into a copy of that file, and name it after --rates.")
    if cost.unknown:
        lines.append(f"no rates, not counted: {', '.join(cost.unknown)}")
    return "\n".join(lines) + "\n"


def size(count: float) -> str:
    """Return a number of bytes with its unit; empty for none."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if count else ""
        count /= 1000
    return f"{count:.1f} TB"


def as_json(cost: Estimate) -> str:
    """Return an estimate as JSON."""
    keys = ("run", "jobs", "gpu_hours", "core_hours", "job_hours", "devices", "unknown")
    values = {key: getattr(cost, key) for key in keys} | {"stages": [asdict(stage) for stage in cost.stages]}
    return json.dumps(values, indent=2) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what a run will cost."""
    parser = argparse.ArgumentParser(
        prog="dnd cost", description="Tell what a run will cost.", epilog="example: dnd cost my/config.yaml"
    )
    parser.add_argument("config", nargs="*", default=["config/config.yaml"], help="as after snakemake's --configfile")
    parser.add_argument("--rates", type=Path, default=cost_rates.RATES, help="seconds and bytes of jobs and items")
    parser.add_argument("--json", action="store_true", help="print JSON")
    chosen = parser.parse_args(arguments)
    try:
        cost = estimate(tasks.read(chosen.config), cost_rates.read(chosen.rates))
    except (ConfigError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(as_json(cost) if chosen.json else text(cost, str(chosen.rates)), end="")
    return 0
