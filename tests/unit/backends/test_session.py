"""One server for many rounds of questions."""

import pytest
from endpoints import KEY, command, external, request

from dnd.backends import llm
from dnd.backends.llm import session
from dnd.backends.messages import Answer
from dnd.backends.server import ServerEnded, run_server
from dnd.config.backends import LlmSettings
from dnd.io.store import Store


@pytest.fixture
def own(monkeypatch, tmp_path):
    """Settings of a server of our own, and a list that grows with every start of it."""
    starts = []
    model = tmp_path / "model"
    model.mkdir()
    (model / "chat_template.jinja").touch()

    def run(behaviour="healthy"):
        def serve(folder, **_):
            starts.append(folder)
            return run_server(command(behaviour), {}, log_path=tmp_path / "log", startup_seconds=30, grace_seconds=0.3)

        monkeypatch.setattr(llm, "serve", serve)
        return LlmSettings(model=str(model), concurrency=1), starts

    return run


def test_one_server_answers_all_calls_and_none_is_started_for_what_is_known(own, tmp_path):
    settings, starts = own()
    notes = {}
    with session(settings, Store(tmp_path / "store"), tmp_path / "log", notes.__setitem__) as ask:
        assert ask([]) == []
        assert not starts
        assert ask([request("a"), request("b")]) == [Answer("a 1"), Answer("b 1")]
        assert ask([request("b"), request("c")]) == [Answer("b 1"), Answer("c 1")]
    assert len(starts) == 1
    assert "server" in notes
    with session(settings, Store(tmp_path / "store"), tmp_path / "log") as ask:
        assert ask([request("c"), request("a")]) == [Answer("c 1"), Answer("a 1")]
    assert len(starts) == 1


def test_a_server_that_ends_is_started_once_more_in_the_session(own, tmp_path):
    settings, starts = own(f"crash={tmp_path / 'crashed'}")
    with session(settings, Store(tmp_path / "store"), tmp_path / "log") as ask:
        assert ask([request("a")]) == [Answer("a 1")]
        assert ask([request("b"), request("crash"), request("c")]) == [Answer("b 1"), Answer("crash 1"), Answer("c 1")]
        assert ask([request("d")]) == [Answer("d 1")]
    assert len(starts) == 2


def test_a_server_that_ends_twice_is_an_error(own, tmp_path):
    settings, starts = own("crash")
    with (
        session(settings, Store(tmp_path / "store"), tmp_path / "log") as ask,
        pytest.raises(ServerEnded, match="ended at work with status 137"),
    ):
        ask([request("crash")])
    assert len(starts) == 2


def test_the_user_s_server_is_asked_with_the_user_s_key(monkeypatch, tmp_path):
    with external(tmp_path) as server:
        monkeypatch.setenv(KEY, server.key)
        settings = LlmSettings(model="m", base_url=server.base_url, api_key_env=KEY)
        with session(settings, Store(tmp_path / "store"), tmp_path / "log") as ask:
            assert ask([request("a")]) == [Answer("a 1")]
