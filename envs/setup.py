"""Build the Python environments of this workflow, once.

    python3 envs/setup.py            .venv and .venv-vllm
    python3 envs/setup.py vision     .venv only: Snakemake, torch, the library, the developers' tools
    python3 envs/setup.py vllm       .venv-vllm only: the language model's server
    python3 envs/setup.py docs       a developers' environment: docs, dockerfile, autoencoders, browser, moto

A second call finds the stamp of the first one and does nothing. Changed pins are installed into the existing
environment; one whose making was killed, that moved, or that is for another accelerator is built afresh.

uv does the work: it brings a Python of its own where there is none that fits, without root. One that is on the PATH is
used, else pip fetches it into .setup/uv. What pip's configuration says of an index, of folders of wheels and of
certificates holds for uv too; uv's own variables (UV_...) win over it.

Needs only the standard library, and runs on Python 3.8, so that an old Python can fetch a newer one.
"""

from __future__ import annotations

import argparse
import ast
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

import torchvision_mend

ROOT = Path(__file__).resolve().parent.parent
ENVS = ROOT / "envs"
STATE = ROOT / ".setup"
STAMP = "dnd-setup.json"
UV = "uv==0.13.9"
OLDEST_UV = (0, 13, 0)
PYTHONS = [(3, 11), (3, 12), (3, 13)]  # those that the locks are checked for
OTHER_PYTHON = "Ways without root: install uv (https://docs.astral.sh/uv) and run this again; or `module load` a Python"
OTHER_PYTHON += " from 3.11 to 3.13, or `conda create -p python python=3.12`, and `make PYTHON=that/python setup`."
DRIVER = "Is the driver too old for the CUDA build? docs/setup.md says which build fits which driver."


class SetupError(Exception):
    """Something the user can put right; the message says what and how."""


@dataclass(frozen=True)
class Environment:
    """What one environment holds: what to install, what to leave out, how to see that it works."""

    folder: Path
    pins: Path  # what the project itself uses
    accelerator: str = "any"  # "gpu", "cpu", or "any" for what needs no torch
    check: str = ""  # Python code that fails in a broken environment
    editable: bool = False  # install this repository's package into it
    excludes: tuple[Path, ...] = ()  # lists of packages to leave out

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    @property
    def locks(self) -> tuple[Path, Path]:
        """The versions of all packages: beside the registry's build of torch, for CUDA, and beside a CPU build.

        Developers' environments have none.
        """
        name = self.pins.stem.split("-")[0]
        return ENVS / f"{name}.lock", ENVS / f"{name}-cpu.lock"

    def digest(self) -> str:
        """Hash of everything that decides what is installed."""
        mends = [Path(torchvision_mend.__file__), torchvision_mend.OPERATORS]
        files = [self.pins, *self.locks, *self.excludes, Path(__file__), *mends]
        files += [ROOT / "pyproject.toml"] if self.editable else []
        content = [path.read_bytes() for path in files if path.exists()]
        content.append(f"{self.folder} {os.environ.get('UV_TORCH_BACKEND')}".encode())
        return hashlib.sha256(b"\0".join(content)).hexdigest()


def environments(accelerator: str) -> dict[str, Environment]:
    gpu = accelerator == "gpu"
    return {
        "vision": Environment(
            folder=ROOT / ".venv",
            pins=ENVS / "vision.txt",
            accelerator=accelerator,
            check="import torch, torchvision, timm, snakemake, transformers, diffusers",
            editable=True,
        ),
        "vllm": Environment(
            folder=ROOT / ".venv-vllm",
            pins=ENVS / ("vllm.txt" if gpu else "vllm-cpu.txt"),
            accelerator=accelerator,
            check="import torch, vllm, vllm.entrypoints.openai.api_server",
            excludes=() if gpu else (ENVS / "vllm-cpu.excludes",),
        ),
        "autoencoders": Environment(
            folder=ROOT / ".venv-autoencoders",
            pins=ROOT / "tests/autoencoders/requirements.txt",
            accelerator="cpu",
            editable=True,
        ),
        "browser": Environment(folder=ROOT / ".venv-browser", pins=ROOT / "tests/browser/requirements.txt"),
        "moto": Environment(folder=ROOT / ".venv-moto", pins=ROOT / "tests/kubernetes/requirements.txt"),
        "docs": Environment(folder=ROOT / ".venv-docs", pins=ROOT / "docs/requirements.txt"),
        "dockerfile": Environment(folder=ROOT / ".venv-dockerfile", pins=ROOT / "tests/dockerfile/requirements.txt"),
    }


def has_gpu() -> bool:
    try:
        seen = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return seen.returncode == 0 and "GPU" in seen.stdout


def torch_pin() -> str:
    """Return the line of ``vision.txt`` that pins torch, such as ``torch==2.13.0``."""
    return next(line for line in (ENVS / "vision.txt").read_text().splitlines() if line.startswith("torch=="))


# ---- state of an environment ----------------------------------------------------------------------------------


def python_version(python: str) -> str | None:
    """Version of an interpreter, None where it does not run."""
    code = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
    try:
        answer = subprocess.run([python, "-c", code], capture_output=True, text=True)
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def fits(version: str | None) -> bool:
    """Whether the locks are checked for a version of Python."""
    return version is not None and tuple(map(int, version.split(".")[:2])) in PYTHONS


def wanted_stamp(env: Environment) -> dict[str, str | None]:
    """What stands in an environment that is ready."""
    python = python_version(env.python)
    return {"digest": env.digest(), "accelerator": env.accelerator, "folder": str(env.folder), "python": python}


def read_stamp(env: Environment) -> dict[str, str | None]:
    try:
        return json.loads((env.folder / STAMP).read_text())
    except (OSError, ValueError):
        return {}


def write_stamp(env: Environment, **changes: str) -> None:
    part = env.folder / (STAMP + ".part")
    part.write_text(json.dumps({**wanted_stamp(env), **changes}, indent=1) + "\n")
    os.replace(part, env.folder / STAMP)


def is_ready(env: Environment) -> bool:
    return read_stamp(env) == wanted_stamp(env)


def can_be_completed(env: Environment) -> bool:
    """Whether what lies in the folder only lacks packages, so that those of the user's can stay."""
    stamp, wanted = read_stamp(env), wanted_stamp(env)
    return fits(wanted["python"]) and {**stamp, "digest": ""} == {**wanted, "digest": ""}


# ---- uv -------------------------------------------------------------------------------------------------------


def find_uv() -> str:
    """Return a uv that is new enough: the one on the PATH, else one that pip fetches once."""
    own = STATE / "uv" / "bin" / "uv"
    for uv in filter(None, (shutil.which("uv"), str(own))):
        try:
            answer = subprocess.run([uv, "--version"], capture_output=True, text=True).stdout
        except OSError:
            continue
        version = re.match(r"uv (\d+)\.(\d+)\.(\d+)", answer)
        if version and tuple(map(int, version.groups())) >= OLDEST_UV:
            return uv
    print(f"fetching {UV}", flush=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]
    answer = subprocess.run([*pip, "--target", str(STATE / "uv"), UV], capture_output=True, text=True)
    if answer.returncode:
        said = "\n".join(answer.stderr.strip().splitlines()[-5:])
        raise SetupError(f"uv is not here, and pip cannot fetch it:\n{said}\n{OTHER_PYTHON}")
    return str(own)


def pip_settings() -> dict[str, str]:
    """Return what pip's configuration says, as uv's variables."""
    answer = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True)
    found = {}
    for line in answer.stdout.splitlines():
        key, _, value = line.partition("=")
        found[key.rpartition(".")[2]] = str(ast.literal_eval(value))
    names = {"index-url": "UV_DEFAULT_INDEX", "find-links": "UV_FIND_LINKS", "cert": "SSL_CERT_FILE"}
    return {name: ",".join(found[key].split()) for key, name in names.items() if key in found}


class Uv:
    """Runs uv for one environment."""

    def __init__(self, env: Environment):
        self.env, self.uv, self.start = env, find_uv(), time.monotonic()
        foreign = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")
        kept = {key: value for key, value in os.environ.items() if key not in foreign}
        self.environ = {**pip_settings(), "UV_NO_PROGRESS": "" if sys.stderr.isatty() else "1", **kept}

    def say(self, text: str) -> None:
        seconds = int(time.monotonic() - self.start)
        print(f"{self.env.folder.name} {seconds // 60}:{seconds % 60:02d} {text}", flush=True)

    def run(self, *arguments: str) -> None:
        """Run uv; what it prints says why it failed, and names the package."""
        quiet = [] if sys.stderr.isatty() else ["--quiet"]
        if subprocess.run([self.uv, *arguments, *quiet], cwd=ROOT, env=self.environ).returncode:
            where = f"Python {python_version(self.env.python) or '3.11'} on {platform.system()} {platform.machine()}"
            raise SetupError(f"{self.env.folder.name}: `uv {' '.join(arguments[:2])}` failed for {where}; see above.")

    def install(self, *arguments: str) -> None:
        excludes = [word for path in self.env.excludes for word in ("--excludes", str(path))]
        self.run("pip", "install", "--python", self.env.python, "--compile-bytecode", *arguments, *excludes)

    def resolves(self, *arguments: str, **environ: str) -> bool:
        """Whether packages can be had, by a dry run."""
        command = [self.uv, "pip", "install", "--python", self.env.python, "--dry-run", "--quiet", *arguments]
        return not subprocess.run(command, cwd=ROOT, env={**self.environ, **environ}, capture_output=True).returncode

    def python(self, code: str) -> str:
        """Run Python code in the environment; return "" or, where it failed, what it printed."""
        command = [self.env.python, "-c", code]
        answer = subprocess.run(command, cwd=ROOT, env=self.environ, capture_output=True, text=True)
        return "" if answer.returncode == 0 else (answer.stderr.strip() or f"exit status {answer.returncode}")


# ---- the work -------------------------------------------------------------------------------------------------


def make_folder(uv: Uv) -> None:
    """Make an empty environment: for the Python that runs this where it fits, else for one that uv finds or fetches."""
    env, version = uv.env, platform.python_version()
    python = sys.executable if fits(version) else ">={}.{},<={}.{}.99".format(*PYTHONS[0], *PYTHONS[-1])
    uv.say("creating it" if fits(version) else f"creating it: Python {version} does not fit, looking for another")
    shutil.rmtree(env.folder, ignore_errors=True)
    try:
        uv.run("venv", "--seed", "--python", python, str(env.folder))
    except SetupError:
        if fits(version):
            raise
        raise SetupError(f"no Python from 3.11 to 3.13 is here, and uv cannot fetch one.\n{OTHER_PYTHON}") from None


def torch_requirements(uv: Uv) -> list[str]:
    """Return what leads uv to the build of torch that an environment is for, and to the versions of all packages.

    Without a GPU: where pip's own sources have the CPU build, it comes from there, else from PyTorch's index; that is
    asked last, since an index that cannot be reached takes long to give up. Only the vision environment can live with
    the registry's CUDA build, which runs on a CPU too.
    """
    env, torch = uv.env, torch_pin()
    registry, cpu = (["-r", str(lock if lock.exists() else env.pins)] for lock in env.locks)
    if env.accelerator == "any":
        return ["-r", str(env.pins)]
    if env.accelerator == "gpu":
        if os.environ.get("UV_TORCH_BACKEND"):  # another CUDA build needs other versions of CUDA's own packages
            return ["-r", str(env.pins), "-c", str(ENVS / "vision-cpu.lock")] if env.editable else ["-r", str(env.pins)]
        return [*registry, f"{torch.replace('==', '!=')}+cpu"]
    if platform.system() != "Linux":
        return cpu
    if uv.resolves(f"{torch}+cpu"):
        return [*cpu, f"{torch}+cpu"]
    uv.say(f"no source that pip knows has {torch}+cpu: asking PyTorch's own index")
    if uv.resolves("--torch-backend", "cpu", torch, UV_HTTP_RETRIES="1", UV_HTTP_TIMEOUT="30"):
        return [*cpu, "--torch-backend", "cpu"]
    if not env.editable:
        raise SetupError(f"{env.folder.name}: {torch}+cpu is to be had neither where pip looks nor at PyTorch's index.")
    uv.say("no CPU build of torch is to be had: taking the registry's build")
    return registry


def check(uv: Uv) -> None:
    """See that the environment works, on a GPU if it is for one that is here.

    Raises
    ------
    SetupError
        It does not.
    """
    env, gpu = uv.env, has_gpu()
    if said := uv.python(env.check):
        raise SetupError(f"{env.folder.name}: it is built, but does not work.\n{said}")
    if env.accelerator == "gpu":
        if said := uv.python("import torch; assert torch.version.cuda, f'torch {torch.__version__} is no CUDA build'"):
            raise SetupError(f"{env.folder.name}: {said.splitlines()[-1]}")
        if not gpu:
            uv.say("no GPU here: the first job on a GPU machine checks that torch sees it")
        elif said := uv.python("import torch; torch.zeros(1, device='cuda')"):
            raise SetupError(f"{env.folder.name}: torch cannot use the GPU: {said.splitlines()[-1]}\n{DRIVER}")


def build(env: Environment) -> None:
    uv = Uv(env)
    if can_be_completed(env):
        uv.say("completing the existing environment")
        write_stamp(env, digest="")
    else:
        make_folder(uv)
    requirements = torch_requirements(uv)
    uv.say("installing " + " ".join(requirements).replace(f"{ROOT}/", ""))
    uv.install(*requirements)
    if env.editable:
        uv.install("--no-deps", "--no-build-isolation", "-e", ".")
        if uv.python("import torchvision"):
            uv.say("mending torchvision, whose native library does not load beside this torch")
            torchvision_mend.mend(env.folder)
        torchvision_mend.spare_compiler(env.folder)
    if env.check:
        uv.say("checking that it works")
        check(uv)
    write_stamp(env)
    uv.say("ready")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="ENVIRONMENT", help="what to build (default: vision vllm)")
    parser.add_argument(
        "--accelerator",
        choices=["gpu", "cpu"],
        default=os.environ.get("DND_ACCELERATOR") or None,
        help="for which machine (default: $DND_ACCELERATOR, else gpu where nvidia-smi lists one)",
    )
    arguments = parser.parse_args()
    known = environments(arguments.accelerator or ("gpu" if has_gpu() else "cpu"))
    if unknown := set(arguments.names) - set(known):
        parser.error(f"unknown environment {', '.join(sorted(unknown))}: choose from {', '.join(known)}")
    try:
        for name in arguments.names or ("vision", "vllm"):
            if is_ready(known[name]):
                continue
            STATE.mkdir(exist_ok=True)
            with (STATE / "lock").open("w") as lock:  # two calls at once: the second waits, then finds it ready
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
