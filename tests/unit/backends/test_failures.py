"""What a failed request means: to be asked again, the fault of this one, or of all."""

import httpx
import openai
import pytest
from endpoints import KEY

from dnd.backends import failures
from dnd.backends.server import Endpoint

SERVER = Endpoint("http://host:8000/v1", "secret-key", api_key_env=KEY)
SENT = {"max_tokens": 8, "temperature": 0.3, "seed": 1, "response_format": {}}


def refusal(status, message, **body):
    kinds = {400: openai.BadRequestError, 401: openai.AuthenticationError, 404: openai.NotFoundError}
    response = httpx.Response(status, request=httpx.Request("POST", SERVER.base_url))
    kind = kinds.get(status, openai.InternalServerError if status >= 500 else openai.APIStatusError)
    return kind(message, response=response, body={"message": message, **body})


@pytest.mark.parametrize(
    ("status", "message", "is_its_own"),
    [
        (400, "cannot", True),
        (413, "payload too large", True),
        (451, "not here", True),
        (402, "insufficient credits", False),
        (429, "slow down", False),
        (500, "internal error", False),
        (500, "the request exceeds the available context size", True),
    ],
)
def test_a_refusal_is_the_requests_fault_or_the_servers(status, message, is_its_own):
    assert failures.is_of_the_request(refusal(status, message)) is is_its_own


@pytest.mark.parametrize(
    ("message", "setting"),
    [
        ("Unsupported parameter: 'max_tokens' is not supported with this model.", "max_tokens"),
        ("'temperature' does not support 0.3 with this model.", "temperature"),
        ("guided decoding is not available", "response_format"),
        ("'max_tokens' is not supported beyond the context length", None),
        ("temperature must be at most 2", None),
        ("cannot", None),
    ],
)
def test_a_setting_that_a_server_does_not_know(message, setting):
    assert failures.unknown_setting(refusal(400, message), SENT) == setting
    assert failures.unknown_setting(refusal(400, message), {}) is None
    assert failures.unknown_setting(refusal(500, message), SENT) is None


def test_no_request_can_succeed_without_a_key_or_the_model():
    def told(error):
        return failures.verdict(error, SERVER, "m", ["another"])

    assert "refuses the key in the environment variable" in told(refusal(401, "no"))
    for error in (refusal(404, "no"), refusal(400, "no", code="model_not_found"), refusal(400, "no", param="model")):
        assert told(error) == "llm.model m is unknown to llm.base_url http://host:8000/v1, which offers another"
    assert told(refusal(400, "Invalid model: m")) == told(refusal(404, "no"))
    assert "takes other roles than the prompt has" in told(refusal(400, "System role not supported"))
    assert told(refusal(400, "temperature must be at most 2")) is None


def test_a_servers_words_are_one_line_without_keys():
    words = f"the key {SERVER.key},\nalso known as sk-ab*****yz, " + "is wrong " * 100
    told = failures.said(refusal(401, words), SERVER)
    assert told.startswith("the key ..., also known as ... is wrong")
    assert len(told) == failures.LONGEST + len("...")


def test_many_models_are_counted():
    told = failures.unknown_model(SERVER, "m", [f"model-{number}" for number in range(12)])
    assert told.endswith("model-8, model-9 and 2 more")
