import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path

import pytest
from endpoints import FAKE, command, places, post, started

from dnd.backends import server, vllm
from dnd.backends.server import ServerEnded, ServerError, run_server


def run(tmp_path, *behaviours, startup_seconds=30.0, grace_seconds=0.3):
    return run_server(
        command(*behaviours),
        {},
        log_path=tmp_path / "server.log",
        startup_seconds=startup_seconds,
        grace_seconds=grace_seconds,
    )


def alive(number):
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def until(condition, seconds=20.0):
    """Wait for a condition; the deadline only bounds a failure."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_a_healthy_server_answers_to_its_key_alone(tmp_path):
    with run(tmp_path) as endpoint:
        assert post(endpoint, endpoint.key) == "hello 4"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            post(endpoint, "guess")
        assert endpoint.key not in repr(endpoint)


def test_every_server_has_its_own_port_and_key(tmp_path):
    with run(tmp_path / "a") as one, run(tmp_path / "b") as other:
        assert one.base_url != other.base_url
        assert one.key != other.key


def test_the_key_is_not_on_the_command_line(tmp_path):
    pids = tmp_path / "pids"
    with run(tmp_path, f"pids={pids}") as endpoint:
        for number in [*started(pids), os.getpid()]:
            assert endpoint.key.encode() not in Path(f"/proc/{number}/cmdline").read_bytes()


def test_a_job_s_numbers_of_threads_do_not_reach_the_server(tmp_path, monkeypatch):
    pids = tmp_path / "pids"
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # some of those that snakemake sets
        monkeypatch.setenv(name, "2")
    with run(tmp_path, f"pids={pids}"):
        given = Path(f"/proc/{started(pids)[0]}/environ").read_bytes()
    assert b"VLLM_API_KEY=" in given
    assert b"_NUM_THREADS" not in given


def test_all_processes_end_with_the_context(tmp_path):
    pids = tmp_path / "pids"
    with run(tmp_path, "child", f"pids={pids}"):
        numbers = started(pids)
        assert len(numbers) == 2
        assert all(map(alive, numbers))
    assert not any(map(alive, numbers))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_all_processes_end_when_the_body_fails(tmp_path, error):
    pids = tmp_path / "pids"
    with pytest.raises(error), run(tmp_path, "child", "stubborn", f"pids={pids}"):
        raise error
    assert not any(map(alive, started(pids)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_all_processes_end_when_ours_is_signalled(tmp_path, number):
    pids, ready = tmp_path / "pids", tmp_path / "ready"
    script = f"""
        import pathlib, signal, sys, time
        from dnd.backends.server import run_server
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start deaf to it
        command = lambda port: [sys.executable, {str(FAKE)!r}, str(port), "child", "pids={pids}"]
        log = pathlib.Path({str(tmp_path / "log")!r})
        with run_server(command, {{}}, log_path=log, startup_seconds=30, grace_seconds=0.3):
            pathlib.Path({str(ready)!r}).touch()
            time.sleep(600)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stderr=subprocess.DEVNULL)
    try:
        assert until(ready.exists, 60)
        numbers = started(pids)
        assert all(map(alive, numbers))
        process.send_signal(number)
        status = process.wait(30)
        assert until(lambda: not any(map(alive, numbers)))
    finally:
        process.kill()
    assert status == {signal.SIGTERM: 143, signal.SIGINT: -signal.SIGINT, signal.SIGKILL: -signal.SIGKILL}[number]


def test_a_server_that_dies_early_is_reported_with_the_end_of_its_log(tmp_path):
    with pytest.raises(ServerError, match=r"status 3.*\n.*no such model$"), run(tmp_path, "die"):
        pytest.fail("the server never ran")


def test_a_server_that_is_not_ready_in_time_is_ended(tmp_path):
    pids = tmp_path / "pids"
    with (
        pytest.raises(ServerError, match=r"llm\.startup_seconds"),
        run(tmp_path, "mute", "child", f"pids={pids}", startup_seconds=1.5),
    ):
        pytest.fail("the server was never ready")
    assert not any(map(alive, started(pids)))


def test_another_port_is_tried_when_ours_was_taken(tmp_path):
    taken = tmp_path / "taken"
    with run(tmp_path, f"taken={taken}") as endpoint:
        assert post(endpoint, endpoint.key) == "hello 4"
        assert taken.read_text() not in endpoint.base_url


def test_somebody_elses_server_on_our_port_is_not_taken_for_ours(tmp_path):
    with pytest.raises(ServerError, match="not ready"), run(tmp_path, "foreign", startup_seconds=1.5):
        pytest.fail("the server does not know our key")


def test_waiting_is_told(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(server, "PROGRESS_SECONDS", 0.1)
    caplog.set_level("INFO")
    with pytest.raises(ServerError), run(tmp_path, "mute", startup_seconds=0.6):
        pytest.fail("the server was never ready")
    assert "waiting for the language model's server: 0 of at most 1 s" in caplog.text


def test_the_handler_of_sigterm_is_put_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with run(tmp_path):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_server_leaves_nothing_in_the_folder_for_temporary_files(tmp_path, temporary, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with run(tmp_path, f"litter={tmp_path / 'litter'}"):
        left, settings = places(tmp_path / "litter")
        assert left.exists() and left.is_relative_to(temporary[0])
    assert not list(temporary[0].iterdir())
    assert settings == tmp_path / "settings" and settings.exists()


def test_nor_when_the_job_is_killed(tmp_path, temporary):
    script = f"""
        import pathlib, time
        from dnd.backends.server import run_server
        command = lambda port: [{sys.executable!r}, {str(FAKE)!r}, str(port), "child", "litter={tmp_path / "litter"}"]
        with run_server(command, {{}}, log_path=pathlib.Path("log"), startup_seconds=30, grace_seconds=0.3):
            print("ready", flush=True)
            time.sleep(600)
    """
    line = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        assert places(tmp_path / "litter")[0].exists()
        process.kill()
    assert until(lambda: not list(temporary[0].iterdir()))


def test_the_end_of_a_server_is_noticed(tmp_path):
    pids = tmp_path / "pids"
    with run(tmp_path, f"pids={pids}") as endpoint:
        endpoint.check()
        os.kill(started(pids)[0], signal.SIGKILL)

        def ended():
            try:
                endpoint.check()
            except ServerEnded as error:
                return "status 137" in str(error)
            return False

        assert until(ended)


@pytest.mark.parametrize("section", ["llm", "captions"])
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://me:s3cret@host:8000/v1", "http://(left out)@host:8000/v1"),
        ("https://host/v1?key=s3cret", "https://host/v1?key=(left out)"),
    ],
)
def test_an_address_is_told_without_its_password(section, url, told):
    endpoint = server.Endpoint(url, "k", section=section, api_key_env="KEY")
    assert str(endpoint) == f"{section}.base_url {told}"
    assert vllm.about(endpoint) == {"base_url": told}
    assert "s3cret" not in repr(endpoint)
