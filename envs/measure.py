"""Run a command and say how long it took and how much memory it and all it started needed at most.

    python envs/measure.py -- COMMAND [ARGUMENT ...]

Every half second the memory of the whole process tree is summed: the proportional set size, which counts shared pages
once, where Linux tells it, else the resident set size. Exit code and signals are the command's. Needs only the
standard library, and Linux for the memory.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

INTERVAL_SECONDS = 0.5


def tree(root: int, known: set[int]) -> set[int]:
    """Return the living processes under ``root``, and those of ``known`` whose parent has gone meanwhile."""
    children, living = defaultdict(list), set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # the fields after the name, which may hold anything: state, parent, ...
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            children[int(parent)].append(int(entry.name))
            living.add(int(entry.name))
    found, waiting = set(), [root, *(known & living)]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children[pid]
    return found & living


def kibibytes(pid: int) -> int:
    """Return the proportional set size of one process, or its resident set size, or 0 when it has gone."""
    for name, label in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        try:
            for line in Path(f"/proc/{pid}/{name}").read_text().splitlines():
                if line.startswith(label):
                    return int(line.split()[1])
        except (OSError, ValueError):
            continue
    return 0


def main() -> int:
    command = sys.argv[2:] if sys.argv[1:2] == ["--"] else sys.argv[1:]
    if not command:
        print(__doc__, file=sys.stderr)
        return 2
    begun, peak, pids = time.monotonic(), 0, set()
    try:
        # a session of its own, so that a terminal's Ctrl-C arrives once: through the handler below
        process = subprocess.Popen(command, start_new_session=True)
    except OSError as error:
        print(f"measure: {command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    signal.signal(signal.SIGINT, lambda caught, _: os.killpg(process.pid, caught))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda caught, _: process.send_signal(caught))
    while process.poll() is None:
        if Path("/proc").is_dir():
            pids = tree(process.pid, pids)
            peak = max(peak, sum(map(kibibytes, pids)))
        try:
            process.wait(INTERVAL_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    seconds = time.monotonic() - begun
    print(f"measure: {seconds:.0f} s, at most {peak / 2**20:.2f} GiB of memory", file=sys.stderr, flush=True)
    code = process.returncode
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
