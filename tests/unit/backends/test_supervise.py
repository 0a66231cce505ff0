"""The script by itself; what a server that it runs leaves behind is tested with the server."""

import subprocess
import sys
from pathlib import Path

import pytest

from dnd.backends import supervise


def start(folder, code):
    line = [sys.executable, "-I", supervise.__file__, "0.3", str(folder), sys.executable, "-c", code]
    return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.parametrize(
    ("code", "status"),
    [("", 0), ("import sys; sys.exit(3)", 3), ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137)],
)
def test_the_status_is_the_commands(tmp_path, code, status):
    folder = tmp_path / "temporary"
    folder.mkdir()
    with start(folder, code) as process:
        assert process.wait(30) == status
    assert not folder.exists()


@pytest.mark.parametrize("deaf", [False, True])
def test_the_end_of_standard_input_ends_the_command(tmp_path, deaf):
    folder = tmp_path / "temporary"
    folder.mkdir()
    ignored = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " if deaf else ""
    with start(folder, f"{ignored}import os, time; print(os.getpid(), flush=True); time.sleep(600)") as process:
        number = process.stdout.readline().strip()
        process.stdin.close()
        assert process.wait(30) != 0
    assert not Path(f"/proc/{number}").exists() and not folder.exists()
