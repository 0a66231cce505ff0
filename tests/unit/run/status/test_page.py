"""How far a run is, in words and as a page."""

import re
from pathlib import Path

import pytest

from dnd.run import tasks
from dnd.run.status import page as status
from dnd.run.status import progress


@pytest.fixture
def failed(plan):
    """A run that has not begun, but for a job that failed, whose log has a name that no page may believe."""
    found = progress.look(plan)
    found.failures.append(progress.Failure("captions", "captions.parquet", Path("logs/<b>.log")))
    return found


def test_the_words_name_stages_speed_and_failures(failed):
    stage = next(stage for stage in failed.stages if stage.rule == "captions")
    stage.done, stage.items, stage.timed, stage.timed_items, stage.seconds = 1, 30, 1, 30, 6.0
    failed.running, failed.unseen, stage.left = True, ["scores"], 600
    lines = status.text(failed).splitlines()
    assert (
        lines[0] == "test: not started, 1 of 19 jobs done, about 10 min left, plus scores, whose speed is not known yet"
    )
    (line,) = (line for line in lines if line.startswith("captions"))
    assert line.split() == ["captions", "1/2", "30", "5.00", "captions/s", "10", "min"]
    assert lines[-2:] == ["failed: captions, captions.parquet", "  see logs/<b>.log"]


def test_the_page_stands_alone_and_loads_itself_only_while_the_run_is_at_work(failed):
    page = status.page(failed, 10)
    assert "&lt;b&gt;" in page and "<b>" not in page
    assert "default-src 'none'; style-src 'sha256-" in page
    assert not re.search(r"<script|https?://|\bsrc=|\bstyle=|<link", page)
    assert 'http-equiv="refresh"' not in page
    failed.running = True
    assert '<meta http-equiv="refresh" content="10">' in status.page(failed, 10)


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, ""), (42, "42 s"), (600, "10 min"), (7200, "2.0 h"), (259200, "3.0 d")]
)
def test_durations_are_said_in_their_own_unit(seconds, words):
    assert status.duration(seconds) == words


def test_the_command_writes_the_page(plan, monkeypatch, capsys):
    monkeypatch.setattr(tasks, "read", lambda files: plan)
    assert status.main(["config.yaml"]) == 0
    assert "test: not started, 0 of 19 jobs done" in capsys.readouterr().out
    assert "not started" in Path("results/test/status.html").read_text()
    monkeypatch.undo()
    assert status.main(["nothing.yaml"]) == 2
