"""Our own language model's server: vLLM's command line and environment, on GPUs or on few cores."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from dnd.backends.server import HOST, Endpoint, ServerError, opener, run_server
from dnd.config.redaction import without_secrets

QUIET = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "INFO",
    "VLLM_HOST_IP": HOST,  # else it asks for a route to a public address to find its own
}
CPU_SEQUENCES = 16
CPU_ARGUMENTS = ("--dtype", "float32", "--enforce-eager", "--max-num-seqs", str(CPU_SEQUENCES))
CPU_CACHE_BYTES = 256 * 2**20
"""Of the key-value cache, which is touched whole at the start; vLLM would take nearly the machine's memory."""
FEW_CORES = 4
"""Up to so many, a process that waits for another by asking again and again takes what the other needs."""


def gpus() -> list[str]:
    """Return the names of the NVIDIA GPUs that can be used, without importing torch."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in {"", "-1"}:
        return []
    try:
        seen = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return re.findall(r"^GPU \d+: (.+?)(?: \(UUID.*)?$", seen.stdout, re.MULTILINE) if seen.returncode == 0 else []


def about(server: Endpoint) -> dict[str, object]:
    """Return what runs a server, for the origin of its answers: vLLM's version and GPUs, or an external address."""
    if server.is_external:
        return {"base_url": without_secrets(server.base_url)}
    try:
        with opener().open(f"{server.base_url.removesuffix('/v1')}/version", timeout=5) as answer:
            version = json.load(answer).get("version")
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        version = None
    return {"vllm": version, "gpus": gpus()}


def command(
    model: str, port: int, *, name: str, python: str, max_model_len: int, gpu: bool, extra: Sequence[str]
) -> list[str]:
    """Return the command line of the server; ``extra`` comes last and so wins over what is chosen here.

    The module is run rather than the ``vllm`` command, which looks its version up under a package name that the CPU
    build does not have. ``--generation-config vllm`` keeps sampling defaults that a model's repository may bring from
    changing answers.
    """
    line = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--served-model-name", name]
    line += ["--host", HOST, "--port", str(port), "--max-model-len", str(max_model_len)]
    line += ["--seed", "0", "--generation-config", "vllm", "--uvicorn-log-level", "warning"]
    if not gpu:
        # room for every prompt at once: vLLM 0.32 dies of a request with a seed whose prompt is computed in parts
        # ("CPU Generator does not use offset")
        line += [*CPU_ARGUMENTS, "--max-num-batched-tokens", str(CPU_SEQUENCES * max_model_len)]
        line += ["--kv-cache-memory-bytes", str(CPU_CACHE_BYTES)]
    return [*line, *extra]


def cpu_environment(cores: int) -> dict[str, str]:
    """Return variables for vLLM on few cores: engine and worker in one process, a core left to HTTP and the client.

    By default the two are processes that poll each other, and the worker has a thread on every core: on two cores half
    of the answers per second. On many cores that costs nothing, and vLLM's binding of threads to memory is worth more.
    """
    if cores > FEW_CORES:
        return {}
    return {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": str(max(1, cores - 1))}


@contextmanager
def serve(
    model: str,
    *,
    python: str,
    log_path: Path,
    startup_seconds: float,
    name: str | None = None,
    max_model_len: int = 1024,
    arguments: Sequence[str] = (),
) -> Iterator[Endpoint]:
    """Serve a model with vLLM on a free port of the loopback interface while the context lasts.

    Parameters
    ----------
    model : folder, or hub id.
    python : interpreter of the environment that holds vLLM.
    log_path : file that gets the server's output.
    startup_seconds : deadline of the start.
    name : what requests call the model; as ``model`` when empty.
    max_model_len : longest prompt and answer together, in tokens.
    arguments : further arguments of the server.

    Raises
    ------
    ServerError
        There is no such interpreter, or the server ended or was not ready in time.
    """
    if shutil.which(python) is None:
        raise ServerError(
            f"llm.python: {python} is no interpreter; `python3 envs/setup.py vllm` builds the environment, "
            "DND_VLLM_PYTHON names another one"
        )
    gpu = bool(gpus())
    line = partial(
        command, model, name=name or model, python=python, max_model_len=max_model_len, gpu=gpu, extra=arguments
    )
    variables = QUIET if gpu else QUIET | cpu_environment(len(os.sched_getaffinity(0)))
    with run_server(line, variables, log_path=log_path, startup_seconds=startup_seconds) as endpoint:
        yield endpoint
