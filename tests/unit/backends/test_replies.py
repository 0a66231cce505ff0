"""What is made of a server's reply, without a server."""

import openai
import pytest
from endpoints import CLOSED

from dnd.backends import replies
from dnd.backends.messages import Answer


def reply(finish_reason="stop", **message):
    return {"choices": [{"message": message, "finish_reason": finish_reason}]}


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        (reply(content="a red star"), Answer("a red star")),
        (reply(content="a \ud800 star"), Answer("a ? star")),
        (reply(content="a re", finish_reason="length"), Answer("a re", "cut off at max_tokens")),
        (reply(content=None, reasoning="Well"), Answer(None, "no answer but thoughts")),
        (
            reply(reasoning_content="Well", finish_reason="length"),
            Answer(None, "no answer but thoughts within max_tokens"),
        ),
        (reply(content="", refusal="No,\nnot that."), Answer(None, "refused: No, not that.")),
        (reply(content=None, finish_reason="content_filter"), Answer(None, "refused: content filter")),
        (reply(content=None), Answer("")),
    ],
)
def test_what_a_reply_says(given, answer):
    assert replies.answer(given) == answer


@pytest.mark.parametrize(
    "given", [None, "text", [], {}, {"choices": []}, {"choices": [None]}, {"choices": [{}]}, reply(content=3)]
)
def test_what_is_no_reply_is_one_of_the_errors_of_malformed_ones(given):
    with pytest.raises(replies.MALFORMED):
        replies.answer(given)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ({"message": "flagged", "code": 403}, openai.PermissionDeniedError, 403),
        ({"message": "slow down", "code": "429"}, openai.RateLimitError, 429),
        ({"message": "overloaded", "status": 502}, openai.InternalServerError, 502),
        ({"message": "unpaid", "code": 402}, openai.APIStatusError, 402),
        ({"message": "odd", "code": "some_word"}, openai.InternalServerError, 500),
        ({"message": "odd", "code": 200}, openai.InternalServerError, 500),
        ({"message": "bad", "type": "invalid_request_error"}, openai.BadRequestError, 400),
        ("overloaded", openai.InternalServerError, 500),
    ],
)
def test_an_error_inside_a_reply_has_the_class_of_its_status(body, kind, status):
    for given in ({"error": body}, {"choices": [{"error": body, "message": {}}]}):
        error = replies.error_inside(given, CLOSED)
        assert type(error) is kind and error.status_code == status


@pytest.mark.parametrize("given", [None, [], {}, {"error": None}, reply(content="a"), {"choices": 3}])
def test_other_replies_have_no_error_inside(given):
    assert replies.error_inside(given, CLOSED) is None
