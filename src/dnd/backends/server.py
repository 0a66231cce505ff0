"""Start the language model's server (vLLM, OpenAI-compatible), and make sure that it ends."""

from __future__ import annotations

import http.client
import ipaddress
import json
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from dnd.backends import server_folders
from dnd.config.redaction import without_secrets

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
PROGRESS_SECONDS = 5.0
GRACE_SECONDS = 10.0
TAIL_LINES = 25
NOISE = re.compile(r"nanobind: | - (leaked|\.\.\. skipped) |See https://nanobind")
"""What vLLM's libraries say last when it ends, whatever it ends of."""
ATTEMPTS = 3
PORT_TAKEN = "ddress already in use"
"""What a server says when a process bound the port between our look for a free one and the server's start."""
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


class ServerError(RuntimeError):
    """The server did not start, ended early or cannot be reached; the message says why and where its log is."""


class ServerEnded(ServerError):
    """The server was ready and has ended since, while there still was something to ask."""


@dataclass(frozen=True)
class Endpoint:
    """Where an OpenAI-compatible server listens. The key is kept out of ``repr`` and so out of logs.

    Attributes
    ----------
    base_url : address, which may hold a password or a key; :attr:`address` does not.
    check : raises :class:`ServerEnded` when the server has ended; of a server that is not ours nothing is known.
    section : part of the configuration that names the server and its model.
    api_key_env : environment variable with the key of a server of the user's; None for our own.
    context : the key that limits prompts, and its value, where that is known.
    """

    base_url: str = field(repr=False)
    key: str = field(repr=False)
    check: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)
    section: str = "llm"
    api_key_env: str | None = None
    context: str = ""

    @property
    def is_external(self) -> bool:
        """Whether the configuration gives the server, and we did not start it."""
        return self.api_key_env is not None

    @property
    def is_on_loopback(self) -> bool:
        """Whether the server runs on this machine, which a proxy does not reach."""
        host = urllib.parse.urlsplit(self.base_url).hostname or ""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return host.rpartition(".")[2] == "localhost" or host in ("ip6-localhost", "ip6-loopback")
        address = getattr(address, "ipv4_mapped", None) or address
        return address.is_loopback or address.is_unspecified

    @property
    def address(self) -> str:
        """The address as it may be told: without passwords and keys."""
        return str(without_secrets(self.base_url))

    def __str__(self) -> str:
        return f"{self.section}.base_url {self.address}" if self.is_external else f"our own server {self.address}"


def gpus() -> list[str]:
    """Return the names of the NVIDIA GPUs that can be used, without importing torch."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in {"", "-1"}:
        return []
    try:
        seen = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return re.findall(r"^GPU \d+: (.+?)(?: \(UUID.*)?$", seen.stdout, re.MULTILINE) if seen.returncode == 0 else []


def about(server: Endpoint) -> dict[str, Any]:
    """Return what runs a server, for the origin of its answers: vLLM's version and GPUs, or an external address."""
    if server.is_external:
        return {"base_url": server.address}
    try:
        with _opener().open(f"{server.base_url.removesuffix('/v1')}/version", timeout=5) as answer:
            version = json.load(answer).get("version")
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        version = None
    return {"vllm": version, "gpus": gpus()}


def vllm_command(
    model: str, port: int, *, name: str, python: str, max_model_len: int, gpu: bool, extra: Sequence[str]
) -> list[str]:
    """Return the command line of the server; ``extra`` comes last and so wins over what is chosen here.

    The module is run rather than the ``vllm`` command, which looks its version up under a package name that the CPU
    build does not have. ``--generation-config vllm`` keeps sampling defaults that a model's repository may bring from
    changing answers.
    """
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--served-model-name", name]
    command += ["--host", HOST, "--port", str(port), "--max-model-len", str(max_model_len)]
    command += ["--seed", "0", "--generation-config", "vllm", "--uvicorn-log-level", "warning"]
    if not gpu:
        # room for every prompt at once: vLLM 0.32 dies of a request with a seed whose prompt is computed in parts
        # ("CPU Generator does not use offset")
        command += [*CPU_ARGUMENTS, "--max-num-batched-tokens", str(CPU_SEQUENCES * max_model_len)]
        command += ["--kv-cache-memory-bytes", str(CPU_CACHE_BYTES)]
    return [*command, *extra]


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

    def command(port: int) -> list[str]:
        return vllm_command(
            model, port, name=name or model, python=python, max_model_len=max_model_len, gpu=gpu, extra=arguments
        )

    variables = QUIET if gpu else QUIET | cpu_environment(len(os.sched_getaffinity(0)))
    with run_server(command, variables, log_path=log_path, startup_seconds=startup_seconds) as endpoint:
        yield endpoint


@contextmanager
def run_server(
    command: Callable[[int], Sequence[str]],
    environment: Mapping[str, str],
    *,
    log_path: Path,
    startup_seconds: float,
    grace_seconds: float = GRACE_SECONDS,
) -> Iterator[Endpoint]:
    """Run any OpenAI-compatible server that has ``/health`` and takes its key from ``VLLM_API_KEY``.

    The server and all it starts form a process group of their own under a small supervisor. They are ended when the
    context is left, by whatever way: normally, by an exception, SIGINT or SIGTERM (which is turned into ``SystemExit``
    meanwhile), or by the death of this process, which the supervisor notices even after SIGKILL. What they leave in the
    folder for temporary files, which is their own, goes with them.

    Parameters
    ----------
    command : port -> command line.
    environment : added to our own; what our own sets already stays.
    grace_seconds : between asking the server to end and killing it.

    Raises
    ------
    ServerError
        The server ended or was not ready in time, or there is no folder for its temporary files.
    """
    key = secrets.token_urlsafe(24)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    variables = {**environment, **_own_environment(), "VLLM_API_KEY": key}
    with _sigterm_raises():
        for attempt in range(ATTEMPTS):
            port = _free_port()
            try:
                folder = server_folders.make_temporary()
            except OSError as error:
                raise ServerError(str(error)) from None
            folders = {"TMPDIR": str(folder), **server_folders.home(folder)}
            process = _start([str(part) for part in command(port)], variables | folders, log_path, grace_seconds)
            try:
                try:
                    _wait_until_ready(process, port, key, log_path, startup_seconds)
                except ServerError:
                    if attempt + 1 < ATTEMPTS and PORT_TAKEN in log_path.read_text(errors="replace"):
                        log.info("another process took port %d meanwhile; starting again on another one", port)
                        continue
                    raise
                yield Endpoint(f"http://{HOST}:{port}/v1", key, check=partial(_check, process, log_path))
                return
            finally:
                _end(process, grace_seconds)
                shutil.rmtree(folder, ignore_errors=True)  # for a supervisor that had to be killed


def _start(
    line: Sequence[str], environment: Mapping[str, str], log_path: Path, grace: float
) -> subprocess.Popen[bytes]:
    script = Path(__file__).with_name("supervise.py")
    supervisor = [sys.executable, "-I", str(script), str(grace), environment["TMPDIR"]]
    with log_path.open("wb") as output:
        return subprocess.Popen(
            [*supervisor, *line],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
        )


def _own_environment() -> dict[str, str]:
    """Our environment without what would lead the server's interpreter to our packages, or change its memory.

    Nor does a server get a job's numbers of threads, which snakemake sets: vLLM binds its own to cores, and more of
    MKL's on one core wait for each other (a tenth of the answers per second).
    """
    unwanted = {"PYTHONPATH", "PYTHONHOME", "VLLM_CPU_KVCACHE_SPACE"}
    return {k: v for k, v in os.environ.items() if k not in unwanted and not k.endswith("_NUM_THREADS")}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, key: str, log_path: Path, seconds: float) -> None:
    begun = time.monotonic()
    said = begun
    while True:
        if process.poll() is not None:
            raise ServerError(f"the language model's server ended with status {process.returncode}. {_tail(log_path)}")
        if _answers(port, "/health") and _answers(port, "/v1/models", key):
            log.info("the language model's server is ready after %.0f s", time.monotonic() - begun)
            return
        now = time.monotonic()
        if now - begun > seconds:
            raise ServerError(
                f"the language model's server was not ready after {seconds:.0f} s "
                f"(llm.startup_seconds in the configuration). {_tail(log_path)}"
            )
        if now - said >= PROGRESS_SECONDS:
            log.info("waiting for the language model's server: %.0f of at most %.0f s", now - begun, seconds)
            said = now
        time.sleep(0.1)


def _check(process: subprocess.Popen[bytes], log_path: Path) -> None:
    if process.poll() is not None:
        raise ServerEnded(
            f"the language model's server ended at work with status {process.returncode}. {_tail(log_path)}"
        )


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy has no business on the loopback


def _answers(port: int, path: str, key: str = "") -> bool:
    """Ask once; a server that does not know our key is somebody else's."""
    request = urllib.request.Request(f"http://{HOST}:{port}{path}", headers={"Authorization": f"Bearer {key}"})
    try:
        with _opener().open(request, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, http.client.HTTPException):
        return False


def _tail(path: Path) -> str:
    lines = [line for line in path.read_text(errors="replace").splitlines() if not NOISE.match(line)][-TAIL_LINES:]
    return f"The end of its log, {path}:\n" + "\n".join(f"    {line}" for line in lines)


def _end(process: subprocess.Popen[bytes], grace: float) -> None:
    """Let the supervisor end the group; kill the group should that not work."""
    with suppress(OSError):
        assert process.stdin is not None
        process.stdin.close()
    try:
        process.wait(grace + 5)
    except subprocess.TimeoutExpired:
        log.warning("the language model's server did not end when asked; killing it")
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Let SIGTERM raise SystemExit, so that contexts are left; only in the main thread, which handles signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
