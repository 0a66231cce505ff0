"""Run a command for as long as whoever started this script lives, then end it and everything it started.

Started by ``dnd.backends.server`` as the leader of a new process group, with a pipe as standard input whose other end
the caller holds and never writes to. The kernel closes that end when the caller ends for whatever reason, SIGKILL
included, so the end of the pipe means: stop. The command's folder for temporary files is removed with it. Only the
standard library, so that it starts at once.

Usage: supervise.py GRACE_SECONDS FOLDER COMMAND [ARGUMENT ...]
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress


def main() -> int:
    """Return the command's exit status, when it ends by itself."""
    grace, folder, command = float(sys.argv[1]), sys.argv[2], sys.argv[3:]
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # meant for the command; this process stays to see it end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_default_signals)
    while child.poll() is None:
        readable, _, _ = select.select([sys.stdin], [], [], 0.2)
        if readable and not os.read(0, 1):
            os.killpg(0, signal.SIGTERM)
            deadline = time.monotonic() + grace
            while child.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            break
    status = child.poll()
    _kill_others()
    shutil.rmtree(folder, ignore_errors=True)
    return 1 if status is None else status if status >= 0 else 128 - status


def _default_signals() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _kill_others() -> None:
    """Kill what is left of this group and return when it is gone, so that whoever waits for us need not wait for it."""
    if not os.path.isdir("/proc/self"):  # no way to tell the others apart
        os.killpg(0, signal.SIGKILL)
    while others := _others():
        for number in others:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        time.sleep(0.02)


def _others() -> list[int]:
    group, ours = os.getpgrp(), os.getpid()
    numbers = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != ours:
            with suppress(OSError):  # ended meanwhile
                if os.getpgid(int(name)) == group and not _ended(name):
                    numbers.append(int(name))
    return numbers


def _ended(number: str) -> bool:
    with open(f"/proc/{number}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] in {"Z", "X"}


if __name__ == "__main__":
    sys.exit(main())
