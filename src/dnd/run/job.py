"""What every job does first, keep a log and to its share of the cores, and what it knows of itself at the end."""

from __future__ import annotations

import io
import logging
import os
import platform
import re
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dnd.config.redaction import without_secrets
from dnd.io.version import VERSION
from dnd.run import lock

if TYPE_CHECKING:
    from dnd.config.load import AnyRecipe

PACKAGES = {
    **{name: name for name in ("torch", "torchvision", "transformers", "diffusers", "timm", "datasets", "accelerate")},
    **{name: name for name in ("tokenizers", "safetensors", "huggingface_hub", "openai", "numpy", "scipy", "pyarrow")},
    **{"PIL": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn", "jinja2": "jinja2", "captum": "captum"},
}
"""Module -> package, of those that a result may depend on."""
ENDINGS = {
    r"<Signals\.SIGKILL: 9>|exit status 137\b": "a job was killed, as the system does when memory runs out: run "
    "fewer at the same time (`--cores 1`), or on a machine with more memory",
    r"<Signals\.SIGBUS: 7>|exit status 135\b": "a job was ended by SIGBUS: a disk is full, /dev/shm perhaps",
}
"""How Snakemake names a signal that ended a job -> what that means."""
LOOKS_EVERY = 1.0
"""Seconds between looks whether the run that started a job is still at work."""
GRACE_SECONDS = 20.0
"""For a job to end in order when it is not; a language model's server takes the most of them."""


class _Lines(io.TextIOBase):
    """A log that ends the line wherever a progress bar would return to its start, and holds no password of an address.

    What its disk has no room for goes to the job's own stderr.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)

    def write(self, text: str) -> int:
        lines = text.lstrip("\r").replace("\r", "\n") + ("\n" if text.startswith("\r") else "")
        lines = without_secrets(lines)
        try:
            self._file.write(lines.encode())
        except OSError:
            assert sys.__stderr__ is not None
            sys.__stderr__.write(lines)
        return len(text)

    def fileno(self) -> int:
        return self._file.fileno()


class Script(Protocol):
    """What of Snakemake's own, under the name ``snakemake``, a script is asked for to find its recipe."""

    wildcards: Mapping[str, str]
    params: Mapping[str, str]
    config: Mapping[str, Mapping[str, object]]


@dataclass(frozen=True)
class Job:
    """A job at work.

    Attributes
    ----------
    threads : that it may use.
    started : when it began.
    clock : the same, in seconds of a clock that is never set.
    notes : what :meth:`note` added.
    """

    threads: int
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    clock: float = field(default_factory=time.monotonic)
    notes: dict[str, object] = field(default_factory=dict)

    @staticmethod
    def recipe(script: Script) -> AnyRecipe:
        """Return the recipe of a job, by its wildcard or its parameter ``recipe``.

        It comes from the configuration: parameters leave out what changes no result, such as where a server is.
        """
        from pydantic import TypeAdapter  # which jobs without a recipe start without

        from dnd.config.load import AnyRecipe

        name = str(script.wildcards.get("recipe") or script.params.get("recipe"))
        recipe: AnyRecipe = TypeAdapter(AnyRecipe).validate_python(script.config["recipes"][name])
        return recipe

    def note(self, key: str, value: object) -> None:
        """Add to the origin what only this stage knows, such as the version of a server; JSON must hold it."""
        self.notes[key] = value

    def origin(self) -> dict[str, object]:
        """Return how what the job has made until now came about.

        Returns
        -------
        ``started`` and ``finished`` (UTC, ISO 8601), ``seconds``, ``device`` (the GPU's name where this process has
        used one, else the processor's), ``threads``, ``python``, ``platform``, ``versions`` (package -> version, of the
        packages imported), ``models`` (as asked for -> commit or digest) and ``notes``.
        """
        hub = sys.modules.get("dnd.backends.hub")  # a job without models has not imported it
        return {
            "started": self.started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self.clock, 1),
            "device": device(),
            "threads": self.threads,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "versions": versions(),
            "models": hub.resolved() if hub else {},
            "notes": without_secrets(self.notes),
        }


def device() -> str:
    """Return the name of the GPU that this process has used, or of the processor where it has used none."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return str(torch.cuda.get_device_name())
    return processor()


def processor() -> str:
    """Return the processor's name, or its architecture where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.machine()


def versions() -> dict[str, str]:
    """Return package -> version of this library and of the packages in ``PACKAGES`` that this process has imported."""
    packages = {"dnd": VERSION}
    for module, package in PACKAGES.items():
        if module in sys.modules:
            try:
                packages[package] = version(package)
            except PackageNotFoundError:  # a copy that nobody installed
                packages[package] = str(getattr(sys.modules[module], "__version__", "unknown"))
    if "torch" in packages and (cuda := sys.modules["torch"].version.cuda):
        packages["cuda"] = str(cuda)
    return packages


def begin(log: str, threads: int) -> Job:
    """Redirect stderr, logging and progress to a log file, limit torch to the job's threads, and note the time.

    The job ends when the run does that started it on this machine, however that ends: the next run starts the same job.

    More threads than the machine lets this process run on would only wait for each other.
    """
    path = Path(log)
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr = _Lines(path)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    for name in ("httpx", "httpx2"):  # a line for every request
        logging.getLogger(name).setLevel(logging.WARNING)
    if run := os.environ.get(lock.RUN):
        threading.Thread(target=_end_with, args=(run, Path.cwd()), daemon=True).start()
    threads = min(threads, len(os.sched_getaffinity(0)))
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    return Job(threads)


def _end_with(run: str, folder: Path) -> None:
    """End this process soon after a run does; what a thread cannot leave in order is killed after a while."""
    while (newest := lock.newest(folder)) and newest.at_work and newest.key == run:
        time.sleep(LOOKS_EVERY)
    logging.getLogger(__name__).error("Snakemake, which started this job, has ended: so does the job")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def endings(log: str) -> list[str]:
    """Return what the system ended jobs for, which these could not say, as Snakemake's log tells it."""
    return [reason for pattern, reason in ENDINGS.items() if re.search(pattern, log)]
