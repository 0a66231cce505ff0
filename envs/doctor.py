"""Tell what this machine has for a run, and what is missing.

    python3 envs/doctor.py      or: make doctor

Each line begins with ``ok``, with ``--`` for what is not here and need not be (a login node has no GPU, a laptop no
Slurm), or with ``!!`` for what has to be mended first; then the exit status is 1. Needs only the standard library, and
changes nothing.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from typing import NamedTuple

import setup

OLDEST_DRIVER = 580  # of NVIDIA's, for CUDA 13; 525 for CUDA 12: docs.nvidia.com/deploy/cuda-compatibility
FREE_GIGABYTES = 20  # for both environments and a first run's results
SECONDS = 120  # that a question may take
PROFILE = setup.ROOT / "profiles/slurm/config.yaml"

OK, ABSENT, FAULT = "ok", "--", "!!"
NO_COMMAND = 127

IMPORTED = {"vision": "torch torchvision snakemake", "vllm": "torch vllm vllm.entrypoints.openai.api_server"}
"""What has to be imported of an environment for a run."""
VERSIONS = """
import importlib, json, sys
modules = [importlib.import_module(name) for name in sys.argv[1:]]
versions = {module.__name__: module.__version__ for module in modules if hasattr(module, "__version__")}
import torch
print(json.dumps({"versions": versions, "cuda": torch.version.cuda, "gpus": torch.cuda.device_count()}))
"""
PARTITIONS = """
import json, sys, yaml
profile = yaml.safe_load(open(sys.argv[1]))
parts = [profile.get("default-resources") or {}, *(profile.get("set-resources") or {}).values()]
print(json.dumps(sorted({str(part["slurm_partition"]) for part in parts if "slurm_partition" in part})))
"""


class Finding(NamedTuple):
    """One line: its mark, what it is about, and what was found."""

    mark: str
    subject: str
    text: str


def ask(command: list[str]) -> tuple[int, str]:
    """Run a command; return its exit status and what it said, ``NO_COMMAND`` where there is no such."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except FileNotFoundError:
        return NO_COMMAND, "not found"
    except (OSError, subprocess.TimeoutExpired) as error:
        return 126, str(error)
    return answer.returncode, answer.stdout.strip() if answer.returncode == 0 else answer.stderr.strip()


def machine() -> list[Finding]:
    """Return the system, its memory and the disk space beside the checkout."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB of memory"
    free = shutil.disk_usage(setup.ROOT).free / 1e9
    space = f"{free:.0f} GB free; environments and a first run need {FREE_GIGABYTES}"
    return [
        Finding(OK if platform.system() == "Linux" else FAULT, "machine", system),
        Finding(OK if free > FREE_GIGABYTES else FAULT, "disk", space),
    ]


def python() -> list[Finding]:
    """Return whether the Python that runs this fits, and whether uv can get another."""
    version = platform.python_version()
    fits = setup.fits(version)
    newer = "" if fits else "; set-up looks for one from 3.11 to 3.13, and fetches it where there is none"
    uv = shutil.which("uv") or shutil.which(str(setup.STATE / "uv/bin/uv"))
    return [
        Finding(OK if fits else ABSENT, "Python", version + newer),
        Finding(OK if uv else ABSENT, "uv", uv or "not here; set-up fetches it with pip"),
    ]


def gpus() -> list[Finding]:
    """Return each GPU, and whether its driver is new enough."""
    status, said = ask(["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"])
    if status == NO_COMMAND:
        return [Finding(ABSENT, "GPU", "no NVIDIA driver here")]
    if status or not said:
        return [Finding(FAULT, "GPU", f"nvidia-smi: {said.splitlines()[0] if said else 'it lists none'}")]
    findings = []
    for line in said.splitlines():
        old = int(line.rpartition(",")[2].split(".")[0]) < OLDEST_DRIVER
        advice = f"; CUDA 13 needs driver {OLDEST_DRIVER}: docs/setup.md names builds for older ones"
        findings.append(Finding(FAULT if old else OK, "GPU", line + (advice if old else "")))
    return findings


def environment(name: str) -> Finding:
    """Return whether an environment is built, works, and sees the GPU that it is built for."""
    env, gpu = setup.environments("cpu")[name], setup.has_gpu()
    if not env.folder.exists():
        return Finding(FAULT, env.folder.name, "not built: make setup")
    status, said = ask([env.python, "-c", VERSIONS, *IMPORTED[name].split()])
    if status:
        return Finding(FAULT, env.folder.name, said.splitlines()[-1] if said else f"exit status {status}")
    answer = json.loads(said.splitlines()[-1])
    versions = {"Python": setup.python_version(env.python), **answer["versions"]}
    text = ", ".join(f"{package} {version}" for package, version in versions.items())
    if not setup.read_stamp(env).get("digest"):
        return Finding(FAULT, env.folder.name, f"{text}; its set-up did not finish: make setup")
    if not answer["cuda"]:
        return Finding(FAULT if gpu else OK, env.folder.name, text + ("; not for the GPU: make setup" if gpu else ""))
    if not gpu:
        return Finding(OK, env.folder.name, f"{text}; the first job on a GPU machine checks the GPU")
    return Finding(OK if answer["gpus"] else FAULT, env.folder.name, f"{text}; sees {answer['gpus']} GPUs")


def slurm() -> Finding:
    """Return whether Slurm answers, and whether it has the partitions that the profile names."""
    status, said = ask(["sinfo", "--noheader", "--format=%R"])
    if status == NO_COMMAND:
        return Finding(ABSENT, "Slurm", "no sinfo here")
    if status:
        return Finding(FAULT, "Slurm", f"sinfo: {said.splitlines()[-1] if said else f'exit status {status}'}")
    present = set(said.split())
    text = f"partitions {', '.join(sorted(present))}"
    status, asked = ask([setup.environments("cpu")["vision"].python, "-c", PARTITIONS, str(PROFILE)])
    if status:
        return Finding(FAULT, "Slurm", f"{text}; profiles/slurm/config.yaml cannot be read: {asked.splitlines()[-1]}")
    if unknown := sorted(set(json.loads(asked)) - present):
        return Finding(FAULT, "Slurm", f"{text}; profiles/slurm/config.yaml names others: {', '.join(unknown)}")
    return Finding(OK, "Slurm", text)


def findings() -> list[Finding]:
    """Return everything that there is to tell, in the order in which a run would need it."""
    told = [*machine(), *python(), *gpus(), environment("vision"), environment("vllm"), slurm()]
    # what a library prints goes onto one line, without what would move a terminal's cursor
    return [line._replace(text=re.sub(r"[\x00-\x1f]+", " ", line.text)) for line in told]


def main() -> int:
    if len(sys.argv) > 1:
        print(__doc__)
        return 0 if sys.argv[1] in ("-h", "--help") else 2
    told = findings()
    width = max(len(line.subject) for line in told)
    for line in told:
        print(f"{line.mark} {line.subject:<{width}}  {line.text}")
    return 1 if any(line.mark == FAULT for line in told) else 0


if __name__ == "__main__":
    sys.exit(main())
