import sys
import time
from pathlib import Path

import pytest

from dnd.backends import llm
from dnd.backends.llm import Answer, ChatClient, Request, ask
from dnd.backends.server import Endpoint, ServerEnded, ServerError, run_server
from dnd.settings import LlmSettings
from dnd.store import Store

FAKE = Path(__file__).with_name("fake_server.py")
CLOSED = Endpoint("http://127.0.0.1:9/v1", "none")  # the discard port: nothing listens


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    log = tmp_path_factory.mktemp("server") / "log"
    command = lambda port: [sys.executable, str(FAKE), str(port)]  # noqa: E731
    with run_server(command, {}, log_path=log, startup_seconds=30, grace_seconds=0.3) as found:
        yield found


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def request(text, seed=1, **values):
    return Request([{"role": "user", "content": text}], **{"temperature": 0.3, "seed": seed, "max_tokens": 8} | values)


def client(endpoint, weights="w", retries=0):
    return ChatClient(endpoint, "m", weights, retries=retries)


def test_answers_come_in_the_order_of_the_requests(endpoint, store):
    requests = [request(f"q{i}", seed=i) for i in range(40)]
    assert client(endpoint).ask(requests, 7, store) == [Answer(f"q{i} {i}") for i in range(40)]


def test_a_finished_answer_is_not_asked_again(endpoint, store):
    asked = [request("a"), request("b")]
    first = client(endpoint).ask(asked, 2, store)
    assert client(CLOSED).ask(asked[::-1], 2, store) == first[::-1]


@pytest.mark.parametrize("change", [{"seed": 2}, {"temperature": 0.4}, {"max_tokens": 9}])
def test_every_setting_is_part_of_what_was_asked(endpoint, store, change):
    client(endpoint).ask([request("a")], 1, store)
    with pytest.raises(ServerError):
        client(CLOSED).ask([request("a", **change)], 1, store)
    with pytest.raises(ServerError):
        client(CLOSED, weights="other").ask([request("a")], 1, store)


def test_a_failed_request_is_recorded_and_the_others_are_answered(endpoint, store):
    answers = client(endpoint).ask([request("a"), request("fail"), request("broken"), request("b")], 1, store)
    assert [answer.text for answer in answers] == ["a 1", None, None, "b 1"]
    assert answers[1].problem.startswith("BadRequestError") and "cannot" in answers[1].problem
    assert answers[2].problem.startswith("malformed reply")


def test_a_failure_is_tried_again_next_time(endpoint, store):
    asked = [request("fail"), request("a")]
    client(endpoint).ask(asked, 1, store)
    assert store.get(asked[0].key("w")) is None
    assert store.get(asked[1].key("w")) is not None


def test_an_answer_that_was_cut_off_says_so_also_from_the_store(endpoint, store):
    expected = [Answer("long 1", "cut off at max_tokens")]
    assert client(endpoint).ask([request("long")], 1, store) == expected
    assert client(CLOSED).ask([request("long")], 1, store) == expected


def test_equal_requests_are_asked_once(endpoint, store, monkeypatch):
    asked = []
    plain = ChatClient._ask_one

    async def counting(self, *arguments):
        asked.append(arguments)
        return await plain(self, *arguments)

    monkeypatch.setattr(ChatClient, "_ask_one", counting)
    answers = client(endpoint).ask([request("a"), request("b"), request("a")], 4, store)
    assert [answer.text for answer in answers] == ["a 1", "b 1", "a 1"]
    assert len(asked) == 2


def test_one_error_when_every_request_fails(endpoint, store):
    with pytest.raises(ServerError, match=r"all 2 requests to http.* failed.*cannot"):
        client(endpoint).ask([request("fail 1"), request("fail 2")], 4, store)


def test_a_wrong_key_is_one_error(endpoint, store):
    wrong = Endpoint(endpoint.base_url, "guess")
    with pytest.raises(ServerError, match="wrong key"):
        client(wrong).ask([request(f"q{i}") for i in range(5)], 1, store)


def test_a_server_that_is_gone_is_given_up_early(store, monkeypatch):
    asked = []
    plain = ChatClient._ask_one

    async def counting(self, *arguments):
        asked.append(arguments)
        return await plain(self, *arguments)

    monkeypatch.setattr(ChatClient, "_ask_one", counting)
    with pytest.raises(ServerError, match="in a row"):
        client(CLOSED).ask([request(f"q{i}") for i in range(1000)], 4, store)
    assert len(asked) < 50


def test_an_answer_is_kept_when_a_later_one_is_interrupted(endpoint, store, monkeypatch):
    plain = ChatClient._ask_one

    async def interrupted(self, opened, asked, failures):
        if asked.messages[0]["content"] == "c":
            raise KeyboardInterrupt
        return await plain(self, opened, asked, failures)

    monkeypatch.setattr(ChatClient, "_ask_one", interrupted)
    with pytest.raises(KeyboardInterrupt):
        client(endpoint).ask([request("a"), request("b"), request("c")], 1, store)
    monkeypatch.undo()
    assert client(CLOSED).ask([request("a"), request("b")], 1, store) == [Answer("a 1"), Answer("b 1")]


def test_an_external_server_gets_the_key_of_its_variable(endpoint, store, monkeypatch, tmp_path):
    settings = LlmSettings(model="m", base_url=endpoint.base_url, api_key_env="OUR_KEY", concurrency=2)
    monkeypatch.setenv("OUR_KEY", endpoint.key)
    assert ask([request("a")], settings, store, tmp_path / "log") == [Answer("a 1")]
    monkeypatch.delenv("OUR_KEY")
    with pytest.raises(ServerError, match="wrong key"):
        ask([request("b")], settings, store, tmp_path / "log")


def test_our_server_is_started_only_when_something_is_left_to_ask(endpoint, store, monkeypatch, tmp_path):
    settings = LlmSettings(model="m", base_url=endpoint.base_url, api_key_env="OUR_KEY")
    monkeypatch.setenv("OUR_KEY", endpoint.key)
    first = ask([request("a"), request("b")], settings, store, tmp_path / "log")
    monkeypatch.setattr(llm, "serve", lambda *_, **__: pytest.fail("started a server"))
    own = LlmSettings(model="m")
    assert ask([request("b"), request("a")], own, store, tmp_path / "log") == first[::-1]
    assert ask([], own, store, tmp_path / "log") == []


def test_failures_at_the_end_of_a_server_are_laid_to_it_and_not_to_the_requests(endpoint, store, monkeypatch):
    """It is found ended only after the last request: none of them may count as one that cannot be answered."""
    looks = iter([None])

    def check():
        if next(looks, "ended") == "ended":
            raise ServerEnded("ended at work")

    monkeypatch.setattr(llm, "WATCH_SECONDS", 600)
    dying = Endpoint(endpoint.base_url, endpoint.key, check)
    with pytest.raises(ServerEnded):
        client(dying).ask([request("a"), request("fail")], 1, store)
    assert client(CLOSED).ask([request("a")], 1, store) == [Answer("a 1")]


@pytest.fixture
def crashing(monkeypatch, tmp_path):
    """Settings of a server of our own that the word "crash" kills, and a list that grows with every start of it."""
    starts = []

    def run(behaviour):
        def serve(model, **_):
            starts.append(model)
            command = lambda port: [sys.executable, str(FAKE), str(port), behaviour]  # noqa: E731
            return run_server(command, {}, log_path=tmp_path / "log", startup_seconds=30, grace_seconds=0.3)

        monkeypatch.setattr(llm, "serve", serve)
        return LlmSettings(model=str(tmp_path), concurrency=4), starts

    return run


def test_a_server_that_is_killed_is_started_again_and_asked_the_rest(crashing, store, monkeypatch, tmp_path):
    settings, starts = crashing(f"crash={tmp_path / 'crashed'}")
    asked = []
    plain = ChatClient._ask_one

    async def counting(self, client, request, failures):
        asked.append(request.messages[0]["content"])
        return await plain(self, client, request, failures)

    monkeypatch.setattr(ChatClient, "_ask_one", counting)
    texts = [*(f"q{i}" for i in range(20)), "crash", *(f"q{i}" for i in range(20, 30))]
    answers = ask([request(text) for text in texts], settings, store, tmp_path / "log")
    assert answers == [Answer(f"{text} 1") for text in texts]
    assert len(starts) == 2
    assert len(asked) <= len(texts) + settings.concurrency  # again only what was on its way


def test_a_server_that_ends_twice_is_one_error_and_what_it_answered_is_kept(crashing, store, tmp_path):
    settings, starts = crashing("crash")
    settings = settings.model_copy(update={"concurrency": 1})
    begun = time.monotonic()
    with pytest.raises(ServerEnded, match="ended at work with status 137"):
        ask([request("a"), request("crash"), request("b")], settings, store, tmp_path / "log")
    assert time.monotonic() - begun < 60  # a request alone would be tried five times for 300 seconds
    assert len(starts) == 2
    kept, _ = crashing("healthy")
    assert ask([request("a")], kept, store, tmp_path / "log") == [Answer("a 1")]
    assert len(starts) == 2


def test_the_interpreter_is_the_configuration_s_or_the_environment_s(monkeypatch, store, tmp_path):
    monkeypatch.setenv("DND_VLLM_PYTHON", str(tmp_path / "theirs"))
    with pytest.raises(ServerError, match="theirs"):
        ask([request("a")], LlmSettings(model=str(tmp_path)), store, tmp_path / "log")
    with pytest.raises(ServerError, match="mine"):
        ask([request("a")], LlmSettings(model=str(tmp_path), python=str(tmp_path / "mine")), store, tmp_path / "log")
    monkeypatch.delenv("DND_VLLM_PYTHON")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ServerError, match=r"\.venv-vllm/bin/python"):
        ask([request("a")], LlmSettings(model=str(tmp_path)), store, tmp_path / "log")
