"""How far a run is, told from another terminal, and the run notices nothing.

``dnd status config/config.yaml`` prints it and writes ``results/{run}/status.html``, a page of its
own. Several files are joined as after ``--configfile``; with ``--every 30`` it looks again every 30 seconds until the
end.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dnd.config.load import ConfigError
from dnd.io.files import unsynced
from dnd.run import tasks
from dnd.run.paths import Paths
from dnd.run.status.progress import Stage, Status, look


def duration(seconds: float | None) -> str:
    """Return seconds as people say them; empty for None."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 36 * 3600 else f"{seconds / 86400:.1f} d"


def pace(stage: Stage) -> str:
    """Return how many items a job makes in a second, to two digits; empty where that is not known."""
    return "" if stage.pace is None else f"{stage.pace:,.{0 if stage.pace >= 10 else 2}f} {stage.noun}/s"


def outlook(status: Status) -> str:
    """Return the time left in words; empty while nothing is at work."""
    if not status.running:
        return ""
    unseen = ", ".join(status.unseen)
    if not status.total.left:
        return f"time left unknown before the first jobs of {unseen}" if unseen else ""
    about = f"about {duration(status.total.left)} left"
    return f"{about}, plus {unseen}, whose speed is not known yet" if unseen else about


def text(status: Status) -> str:
    """Return the status as lines for a terminal."""
    total = status.total
    done = f"{total.done} of {total.planned} jobs done"
    lines = [", ".join(filter(None, [f"{status.run}: {status.state}", done, outlook(status)])), ""]
    lines.append(f"{'stage':20}{'done':>13}{'running':>9}{'failed':>8}{'items':>12}  {'speed of one job':24}left")
    for stage in status.stages:
        jobs = f"{stage.done:,}/{stage.planned:,}"
        items = f"{stage.items:,}" if stage.noun and stage.items else ""
        line = f"{stage.rule:20}{jobs:>13}{stage.running or '':>9}{stage.failed or '':>8}{items:>12}  {pace(stage):24}"
        lines.append((line + duration(stage.left)).rstrip())
    lines += ["", f"GPU-hours of the jobs that are done: {total.gpu_seconds / 3600:.2f}"]
    lines += [f"failed: {failure.rule}, {failure.output}\n  see {failure.log}" for failure in status.failures]
    lines += ["logs of Snakemake: .snakemake/log"] if status.begun else []
    return "\n".join(lines) + "\n"


def page(status: Status, every: int) -> str:
    """Return the status as a page that needs no other file and loads itself again while the run is at work."""
    environment = Environment(
        loader=PackageLoader("dnd.run.status", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    assert environment.loader is not None
    style = environment.loader.get_source(environment, "status.css")[0]
    return environment.get_template("status.html.jinja").render(
        status=status,
        outlook=outlook(status),
        every=every,
        duration=duration,
        pace=pace,
        style=Markup(style),
        style_hash="sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii"),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print how far a run is, write its page, and look again where that is asked for."""
    parser = argparse.ArgumentParser(
        prog="dnd status", description="Tell how far a run is.", epilog="example: dnd status my/config.yaml --every 30"
    )
    parser.add_argument("config", nargs="*", default=["config/config.yaml"], help="as after snakemake's --configfile")
    parser.add_argument("--every", type=int, metavar="SECONDS", help="look again until the run has ended")
    chosen = parser.parse_args(arguments)
    while True:
        try:
            plan = tasks.read(chosen.config)
        except ConfigError as error:
            print(f"configuration:\n{error}", file=sys.stderr)
            return 2
        status, place = look(plan), Path(Paths(plan).file("status"))
        with unsynced(place) as partial:
            partial.write_text(page(status, chosen.every or 10), encoding="utf-8")
        print(f"{text(status)}the same as a page: {place}", flush=True)
        if not (chosen.every and status.running):
            return 0
        time.sleep(chosen.every)
