"""What a run will cost, before it starts: jobs, GPU-hours, questions and tokens of the language model, disk space.

``dnd cost config/config.yaml`` reckons with the rates of `config/rates.yaml`; several files are
joined as after ``--configfile``. With ``--measure`` it prints rates measured on a configuration's finished run, for
such a file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dnd.config.load import ConfigError
from dnd.run import tasks
from dnd.run.cost import measure
from dnd.run.cost import rates as cost_rates
from dnd.run.cost.amounts import NOUNS, Amounts
from dnd.run.cost.rates import Rates
from dnd.run.plan import Plan


@dataclass
class Line:
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


@dataclass
class Estimate:
    """What a run will cost.

    Attributes
    ----------
    devices : on which its rates were measured.
    unknown : rules without a rate, whose hours are missing.
    """

    run: str
    lines: list[Line]
    devices: list[str]
    unknown: list[str] = field(default_factory=list)

    @property
    def jobs(self) -> int:
        """Jobs as Snakemake counts them, its target ``all`` among them."""
        return sum(one.jobs for one in self.lines) + 1

    @property
    def gpu_hours(self) -> float:
        """Hours of GPUs."""
        return sum(one.seconds or 0 for one in self.lines if one.gpu) / 3600

    @property
    def core_hours(self) -> float:
        """Hours of processor cores, of the jobs that use no GPU."""
        return sum((one.seconds or 0) * one.threads for one in self.lines if not one.gpu) / 3600

    @property
    def job_hours(self) -> float:
        """Hours of all jobs, one after another."""
        return sum(one.seconds or 0 for one in self.lines) / 3600


def estimate(plan: Plan, rates: Rates) -> Estimate:
    """Return what the run of a plan will cost from nothing, with an empty store."""
    amounts, found = Amounts(plan, rates.assumptions), dict[str, Line]()
    for task in tasks.tasks(plan):
        line = found.setdefault(task.rule, Line(task.rule, noun=NOUNS.get(task.rule, "")))
        items, rate = amounts.items(task) if line.noun else 0, rates.stages.get(task.rule)
        line.jobs += 1
        line.items += items
        if line.noun == "questions":
            prompt, answer = amounts.tokens(task)
            line.requests += items
            line.prompt_tokens += prompt
            line.answer_tokens += answer
        if rate:
            line.seconds = (line.seconds or 0) + rate.job + rate.item * items
            line.gpu, line.threads = rate.gpu, rate.threads
            line.bytes += amounts.size(task, rate.size)
    used = [rates.stages[one] for one in found if one in rates.stages]
    devices = dict.fromkeys(f"{one.device}" for one in used if one.device)
    return Estimate(
        plan.config.run, list(found.values()), list(devices), [one for one in found if one not in rates.stages]
    )


def text(found: Estimate, rates: str) -> str:
    """Return an estimate as a table for a terminal; ``rates`` says where its rates come from."""
    lines = [f"{'stage':20}{'jobs':>7}{'items':>13}  {'':15}{'GPU-hours':>10}{'core-hours':>11}{'bytes':>10}"]
    for one in found.lines:
        items = f"{one.items:,.0f}" if one.noun else ""
        hours = f"{(one.seconds or 0) * (1 if one.gpu else one.threads) / 3600:.3f}" if one.seconds is not None else "?"
        columns = f"{hours:>10}{'':11}" if one.gpu else f"{'':10}{hours:>11}"
        lines.append(f"{one.rule:20}{one.jobs:>7,}{items:>13}  {one.noun:15}{columns}{size(one.bytes):>10}")
    totals = f"{found.gpu_hours:>10.3f}{found.core_hours:>11.3f}{size(sum(one.bytes for one in found.lines)):>10}"
    lines.append(f"{'total':20}{found.jobs:>7,}{'':13}  {'':15}{totals}")
    asked, prompt, answer = (sum(getattr(one, key) for one in found.lines) for key in TOKENS)
    lines += ["", f"language model: {asked:,.0f} questions, {prompt:,.0f} tokens in, {answer:,.0f} out"]
    lines.append(f"one job after another: {found.job_hours:.2f} hours; the store is taken to be empty")
    lines.append(
        f"rates: {rates}, of {' and '.join(found.devices) or 'an unknown device'} and the models used there. Other"
    )
    lines.append("devices and models take other times, by far: `--measure` on a small run of yours gives your rates.")
    if found.unknown:
        lines.append(f"no rates, not counted: {', '.join(found.unknown)}")
    return "\n".join(lines) + "\n"


TOKENS = ("requests", "prompt_tokens", "answer_tokens")


def size(count: float) -> str:
    """Return a number of bytes with its unit; empty for none."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if count else ""
        count /= 1000
    return f"{count:.1f} TB"


def as_json(found: Estimate) -> str:
    """Return an estimate as JSON."""
    keys = ("run", "jobs", "gpu_hours", "core_hours", "job_hours", "devices", "unknown")
    whole = {key: getattr(found, key) for key in keys} | {"stages": [asdict(one) for one in found.lines]}
    return json.dumps(whole, indent=2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what a run will cost, or the rates of one that is finished."""
    parser = argparse.ArgumentParser(
        prog="dnd cost", description="Tell what a run will cost.", epilog="example: dnd cost my/config.yaml"
    )
    parser.add_argument("config", nargs="*", default=["config/config.yaml"], help="as after snakemake's --configfile")
    parser.add_argument("--rates", type=Path, default=cost_rates.RATES, help="measured rates")
    parser.add_argument("--json", action="store_true", help="print JSON; with --measure, what each job took")
    parser.add_argument("--measure", action="store_true", help="print the rates of the finished run in `results`")
    chosen = parser.parse_args(arguments)
    try:
        plan, rates = tasks.read(chosen.config), cost_rates.read(chosen.rates)
        if chosen.measure:
            print(measure.as_json(plan) if chosen.json else cost_rates.spelt(measure.measured(plan, rates)))
            return 0
        found = estimate(plan, rates)
    except (ConfigError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(as_json(found) if chosen.json else text(found, str(chosen.rates)), end="")
    return 0
