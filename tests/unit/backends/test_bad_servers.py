"""What a user is told who gives a language model's server, key, model or template that does not do."""

import json
from dataclasses import replace

import httpx
import openai
import pytest
from endpoints import CLOSED, KEY, ask, client, external, fake, request

from dnd.backends import failures, llm
from dnd.backends.messages import Answer
from dnd.backends.server import Endpoint, ServerError
from dnd.config.backends import LlmSettings
from dnd.config.load import ConfigError, load
from dnd.io.store import Store


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with external(tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def complaint(server, store, monkeypatch, tmp_path):
    """A function that asks an external server and returns what the error says."""
    monkeypatch.setenv(KEY, server.key)

    def told(questions=("a", "b"), **values):
        settings = LlmSettings(**{"model": "m", "base_url": server.base_url, "api_key_env": KEY} | values)
        with pytest.raises(ServerError) as error:
            ask([request(text) for text in questions], settings, store, tmp_path / "log")
        return str(error.value)

    return told


def test_a_server_that_cannot_be_reached(complaint, monkeypatch):
    monkeypatch.setattr("dnd.backends.chat.RETRIES", 0)
    monkeypatch.setattr(llm, "ChatClient", lambda *arguments: client_without_retries(*arguments))
    assert complaint(base_url="http://127.0.0.1:9/v1") == (
        "all 2 requests to llm.base_url http://127.0.0.1:9/v1 failed; "
        "the last: cannot be reached: [Errno 111] Connect call failed ('127.0.0.1', 9)"
    )
    assert "cannot be reached: [Errno -2] Name or service not known" in complaint(base_url="http://no.invalid/v1")


def client_without_retries(server, model, weights):
    return client(server, model, weights)


def test_a_wrong_key_ends_the_first_question_and_is_not_told(complaint, server, monkeypatch, tmp_path):
    monkeypatch.setenv(KEY, "guess-of-a-key")
    told = complaint(questions=[f"q{i}" for i in range(500)], concurrency=1)
    assert told.startswith(
        f"llm.base_url {server.base_url} refuses the key in the environment variable {KEY} (llm.api_key_env): wrong key"
    )
    assert "guess" not in told and "sk-" not in told


def test_a_wrong_key_is_found_out_with_one_request_each(tmp_path, store):
    log = tmp_path / "asked"
    with external(tmp_path, f"log={log}") as theirs:
        wrong = Endpoint(theirs.base_url, "guess", api_key_env=KEY)
        with pytest.raises(ServerError, match="refuses the key"):
            client(wrong).ask([request(f"q{i}") for i in range(100)], 3, store)
        client(theirs).ask([request("a")], 1, store)
    assert len(log.read_text().splitlines()) == 1  # what carries a wrong key is not even read


def test_a_key_that_is_missing(complaint, monkeypatch):
    monkeypatch.delenv(KEY)
    assert f"wants a key, and the environment variable {KEY} (llm.api_key_env) is not set" in complaint()


def test_a_model_that_the_server_does_not_know(complaint, server):
    expected = f"is unknown to llm.base_url {server.base_url}, which offers another, m"
    assert complaint(model="unknown") == f"llm.model unknown {expected}"
    assert complaint(model="turbo") == f"llm.model turbo {expected}"  # some say so with status 400


def test_an_address_without_its_version(complaint, server):
    told = complaint(base_url=server.base_url.removesuffix("/v1"))
    assert "Not Found (such an address mostly ends in /v1)" in told


def test_an_external_model_without_a_chat_template(complaint, server):
    assert complaint(model="forgetful") == (
        "llm.model forgetful has no chat template: choose an instruction-tuned model, or start "
        f"llm.base_url {server.base_url} with a template"
    )


def test_a_model_that_takes_no_system_message(complaint):
    assert "llm.model gemma takes other roles than the prompt has" in complaint(model="gemma")


def test_a_model_that_cannot_see(server, store):
    shown = request([{"type": "image_url", "image_url": {"url": "x"}}], pictures=lambda name: f"data:{name}")
    with pytest.raises(ServerError, match=r"llm\.model blind cannot be shown images: blind is not a multimodal"):
        client(server, "blind").ask([shown], 1, store)


def test_a_prompt_that_is_too_long_is_recorded_and_the_others_are_answered(tmp_path, store):
    with fake(tmp_path) as own:
        bounded = Endpoint(own.base_url, own.key, context="llm.max_model_len 256")
        answers = client(bounded).ask([request("too long"), request("a"), request("too much")], 1, store)
    problem = "prompt is longer than the model's context (llm.max_model_len 256)"
    assert answers == [Answer(None, problem), Answer("a 1"), Answer(None, problem)]
    assert store.get(request("too long").key("w")) is None


def test_prompts_that_are_all_too_long(complaint):
    told = complaint(questions=["too long a", "too long b"])
    assert told.startswith("all 2 requests to llm.base_url")
    assert told.endswith("the last: prompt is longer than the model's context (256 tokens)")


@pytest.mark.parametrize(
    "url", ["localhost:8000/v1", "http://", "ftp://host/v1", "http://host:port/v1", "http://[x/v1"]
)
def test_what_is_no_address_is_refused_with_the_configuration(url):
    with pytest.raises(ConfigError, match=r"config.yaml: llm.base_url: .*such as http://host:8000/v1, not"):
        load({"llm": {"model": "m", "base_url": url}}, "config.yaml")


def test_a_password_is_in_no_message_about_an_address():
    with pytest.raises(ConfigError) as error:
        load({"llm": {"model": "m", "base_url": "http://me:s3cret@host:port/v1?key=s3cret"}}, "config.yaml")
    assert "http://(left out)@host:port/v1?key=(left out)" in str(error.value)
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("secret", ["me:s3cret-w0rd@", "an0ther-s3cret@"])
def test_a_password_of_the_address_is_in_no_message_that_repeats_it(server, store, secret, caplog):
    """A server that tells in its words, as many do, what it was asked for and by whom."""
    url = server.base_url.replace("http://", f"http://{secret}") + "/nowhere"
    held = replace(server, base_url=url)
    words = f"the user {secret.removesuffix('@')} may not read {url}"
    with pytest.raises(ServerError) as error:
        client(held, model="unknown").ask([request("a"), request("b")], 1, store)
    body = {"message": words}
    refusal = openai.APIError(words, httpx.Request("POST", url), body=body)
    assert "s3cret" not in str(error.value) + caplog.text + failures.said(refusal, held)


def test_the_key_is_in_no_message_that_repeats_it(store):
    held = Endpoint(CLOSED.base_url, "secret-key", api_key_env=KEY)
    with pytest.raises(ServerError) as error:
        client(held).ask([request("a")], 1, store)
    assert "secret-key" not in str(error.value) + repr(held) + str(held)


@pytest.mark.parametrize(
    ("files", "arguments"),
    [
        ({"tokenizer_config.json": {"chat_template": "{{ messages }}"}}, []),
        ({"tokenizer_config.json": {"chat_template": [{"name": "default", "template": "x"}]}}, []),
        ({"chat_template.jinja": {}}, []),
        ({"chat_template.json": {}}, []),
        ({"tekken.json": {}}, []),
        ({"config.json": {"model_type": "paligemma"}}, []),
        ({}, ["--chat-template", "mine.jinja"]),
        ({}, ["--chat_template=mine.jinja"]),
        ({}, ["--tokenizer-mode", "mistral"]),
    ],
)
def test_a_model_with_a_chat_template_passes(tmp_path, files, arguments):
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    llm.require_chat_template(str(tmp_path), LlmSettings(model="m", server_arguments=arguments))


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"tokenizer_config.json": {"chat_template": None}, "config.json": {"model_type": "gpt2"}},
        {"tokenizer_config.json": [], "config.json": 3},
    ],
)
def test_a_model_without_a_chat_template_is_told_before_the_server_is_started(tmp_path, monkeypatch, files):
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    monkeypatch.setattr(llm, "serve", lambda *_, **__: pytest.fail("started a server"))
    with (
        pytest.raises(ServerError) as error,
        llm.endpoint(LlmSettings(model=str(tmp_path), server_arguments=["--dtype", "float32"]), tmp_path / "log"),
    ):
        pytest.fail("there is nothing to talk to")
    assert str(error.value) == (
        f"llm.model {tmp_path} has no chat template: choose an instruction-tuned model, or set a template through "
        "llm.server_arguments (`--chat-template FILE`)"
    )
