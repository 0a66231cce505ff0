import json
import time

import pytest
from endpoints import KEY, ask, command, external, request

from dnd.backends import llm
from dnd.backends.chat import ChatClient
from dnd.backends.llm import check, endpoint, needs, session, weights
from dnd.backends.messages import Answer, image_part
from dnd.backends.server import ServerEnded, ServerError, run_server
from dnd.config.backends import LlmSettings
from dnd.io.store import Store


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with external(tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def model(tmp_path):
    """A folder that passes for an instruction-tuned model."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "chat_template.jinja").touch()
    return folder


def test_an_external_server_gets_the_key_of_its_variable(server, store, monkeypatch, tmp_path):
    settings = LlmSettings(model="m", base_url=server.base_url, api_key_env=KEY, concurrency=2)
    monkeypatch.setenv(KEY, server.key)
    assert ask([request("a")], settings, store, tmp_path / "log") == [Answer("a 1")]
    monkeypatch.delenv(KEY)
    with pytest.raises(ServerError, match="wrong key"):
        ask([request("b")], settings, store, tmp_path / "log")


def test_our_server_is_started_only_when_something_is_left_to_ask(server, store, monkeypatch, tmp_path):
    settings = LlmSettings(model="m", base_url=server.base_url, api_key_env=KEY)
    monkeypatch.setenv(KEY, server.key)
    first = ask([request("a"), request("b")], settings, store, tmp_path / "log")
    monkeypatch.setattr(llm, "serve", lambda *_, **__: pytest.fail("started a server"))
    own = LlmSettings(model="m")
    assert ask([request("b"), request("a")], own, store, tmp_path / "log") == first[::-1]
    assert ask([], own, store, tmp_path / "log") == []


@pytest.fixture
def crashing(monkeypatch, tmp_path, model):
    """Settings of a server of our own that the word "crash" kills, and a list that grows with every start of it."""
    starts = []

    def run(behaviour):
        def serve(folder, **_):
            starts.append(folder)
            return run_server(command(behaviour), {}, log_path=tmp_path / "log", startup_seconds=30, grace_seconds=0.3)

        monkeypatch.setattr(llm, "serve", serve)
        return LlmSettings(model=str(model), concurrency=4), starts

    return run


def test_a_server_that_is_killed_is_started_again_and_asked_the_rest(crashing, store, monkeypatch, tmp_path):
    settings, starts = crashing(f"crash={tmp_path / 'crashed'}")
    asked = []
    plain = ChatClient._ask_one

    async def counting(self, client, request, record):
        asked.append(request.messages[0]["content"])
        return await plain(self, client, request, record)

    monkeypatch.setattr(ChatClient, "_ask_one", counting)
    texts = [*(f"q{i}" for i in range(20)), "crash", *(f"q{i}" for i in range(20, 30))]
    answers = ask([request(text) for text in texts], settings, store, tmp_path / "log")
    assert answers == [Answer(f"{text} 1") for text in texts]
    assert len(starts) == 2
    assert len(asked) <= len(texts) + settings.concurrency  # again only what was on its way


@pytest.mark.parametrize("word", ["flagged", "fail", "too long", "turbo"])
def test_what_is_refused_ends_no_job_that_goes_on_where_another_was(server, store, monkeypatch, tmp_path, word):
    """Nothing but what is refused is left to ask then: by itself it would pass for a server that refuses all."""
    settings = LlmSettings(model="m", base_url=server.base_url, api_key_env=KEY, concurrency=1)
    monkeypatch.setenv(KEY, server.key)
    asked = [request("a"), request(word)]
    undisturbed = ask(asked, settings, Store(tmp_path / "other"), tmp_path / "log")
    ask(asked[:1], settings, store, tmp_path / "log")
    assert ask(asked, settings, store, tmp_path / "log") == undisturbed


def test_a_round_in_which_all_is_refused_ends_no_job(server, store, monkeypatch, tmp_path):
    settings = LlmSettings(model="m", base_url=server.base_url, api_key_env=KEY)
    monkeypatch.setenv(KEY, server.key)
    with session(settings, store, tmp_path / "log") as answer:
        assert answer([request("a")]) == [Answer("a 1")]
        assert [one.text for one in answer([request("fail"), request("flagged")])] == [None, None]
    with session(settings, store, tmp_path / "log") as answer:  # the same again, by another process
        answer([request("a")])
        assert [one.text for one in answer([request("fail"), request("flagged")])] == [None, None]


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


def test_the_interpreter_is_the_configuration_s_or_the_environment_s(monkeypatch, store, tmp_path, model):
    name = str(model)
    monkeypatch.setenv("DND_VLLM_PYTHON", str(tmp_path / "theirs"))
    with pytest.raises(ServerError, match="theirs"):
        ask([request("a")], LlmSettings(model=name), store, tmp_path / "log")
    with pytest.raises(ServerError, match="mine"):
        ask([request("a")], LlmSettings(model=name, python=str(tmp_path / "mine")), store, tmp_path / "log")
    monkeypatch.delenv("DND_VLLM_PYTHON")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dnd.config.shipped.__file__", str(tmp_path / "lib/dnd/shipped.py"))  # no checkout
    with pytest.raises(ServerError, match=r"\.venv-vllm/bin/python"):
        ask([request("a")], LlmSettings(model=name), store, tmp_path / "log")


@pytest.fixture
def started(monkeypatch, tmp_path):
    """A function that starts our own server in name only, and returns its arguments beyond the usual ones."""

    def start(*needed, **values):
        found = {}

        def serve(folder, **values):
            found.update(values, folder=folder)
            return run_server(command(), {}, log_path=tmp_path / "log", startup_seconds=30, grace_seconds=0.3)

        monkeypatch.setattr(llm, "serve", serve)
        with endpoint(LlmSettings(**values), tmp_path / "log", needed) as own:
            return own, found["arguments"]

    return start


def test_code_and_revision_of_a_model_reach_the_server_only_when_asked_for(started, model):
    assert started(model=str(model))[1] == []
    assert started(model=str(model), trust_remote_code=True)[1] == ["--trust-remote-code"]
    assert started(model=str(model), revision="v2")[1] == ["--revision", "v2"]


def test_the_user_s_arguments_come_last_and_win(started, model):
    own, arguments = started(
        "--limit-mm-per-prompt", "{}", model=str(model), server_arguments=["--x", "y"], max_model_len=99
    )
    assert arguments == ["--limit-mm-per-prompt", "{}", "--x", "y"]
    assert own.context == "llm.max_model_len 99"


def test_the_server_makes_room_for_as_many_images_as_a_question_shows():
    assert needs([request("a")]) == []
    shown = [image_part("x")] * 3
    option, value = needs([request("a"), request(shown), request(shown[:2])])
    assert (option, json.loads(value)) == ("--limit-mm-per-prompt", {"image": 3})


def test_structured_answers_are_kept_compact():
    option, value = needs([request("a", response_format={"type": "json_schema"})])
    assert option == "--structured-outputs-config"
    assert json.loads(value) == {"backend": "xgrammar", "disable_any_whitespace": True}


def test_a_template_of_the_user_s_is_part_of_what_was_asked(model, tmp_path):
    file = tmp_path / "mine.jinja"
    file.write_text("one")
    plain, chosen = LlmSettings(model=str(model)), ["--chat-template", str(file)]
    first = weights(LlmSettings(model=str(model), server_arguments=chosen))
    assert first == weights(LlmSettings(model=str(model), server_arguments=[f"--chat-template={file}", "--x"]))
    file.write_text("two")
    second = weights(LlmSettings(model=str(model), server_arguments=chosen))
    text = weights(LlmSettings(model=str(model), server_arguments=["--chat_template", "{{ messages }}"]))
    assert len({weights(plain), first, second, text}) == 4
    assert weights(plain) == weights(LlmSettings(model=str(model), server_arguments=["--x", "y"]))


def test_an_external_server_is_checked_by_its_list_of_models(server, monkeypatch):
    monkeypatch.setenv(KEY, server.key)
    assert check(server.base_url, KEY, "m") is None
    assert check(server.base_url, KEY, "unknown") == (
        f"llm.model unknown is unknown to llm.base_url {server.base_url}, which offers another, m"
    )


def test_a_check_tells_what_is_wrong_in_one_line(server, monkeypatch):
    monkeypatch.setenv(KEY, "guess-of-a-key")
    complaint = check(server.base_url, KEY, "m", "captions")
    assert f"captions.base_url {server.base_url} refuses the key in the environment variable {KEY}" in complaint
    assert "captions.api_key_env" in complaint and "guess" not in complaint and "\n" not in complaint
    monkeypatch.delenv(KEY)
    assert f"{KEY} (llm.api_key_env) is not set" in check(server.base_url, KEY, "m")
    assert "cannot be reached: [Errno 111]" in check("http://127.0.0.1:9/v1", KEY, "m")
    monkeypatch.setenv(KEY, server.key)
    assert "mostly ends in /v1" in check(server.base_url.removesuffix("/v1"), KEY, "m")
