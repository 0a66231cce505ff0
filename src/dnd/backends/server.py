"""Run an OpenAI-compatible server, and make sure that it ends."""

from __future__ import annotations

import http.client
import ipaddress
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


class ServerError(RuntimeError):
    """The server did not start, ended early or cannot be reached; the message says why and where its log is."""


class ServerEnded(ServerError):
    """The server was ready and has ended since, while there still was something to ask."""


@dataclass(frozen=True)
class Endpoint:
    """Where an OpenAI-compatible server listens. The key is kept out of ``repr`` and so out of logs.

    Attributes
    ----------
    base_url : address, which may hold a password or a key; the text of this object does not.
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

    def __str__(self) -> str:
        address = without_secrets(self.base_url)
        return f"{self.section}.base_url {address}" if self.is_external else f"our own server {address}"


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


def opener() -> urllib.request.OpenerDirector:
    """Return what opens addresses without a proxy, which has no business on the loopback."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _answers(port: int, path: str, key: str = "") -> bool:
    """Ask once; a server that does not know our key is somebody else's."""
    request = urllib.request.Request(f"http://{HOST}:{port}{path}", headers={"Authorization": f"Bearer {key}"})
    try:
        with opener().open(request, timeout=5) as answer:
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
