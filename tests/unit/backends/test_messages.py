import pytest
from endpoints import request

from dnd.backends import messages
from dnd.backends.messages import image_part, picture_names, text_part

SHOWN = [text_part("two:"), image_part("one"), image_part("other")]


def test_what_was_answered_before_there_were_formats_is_still_known():
    """Stores outlive versions; this is the digest of the parts that were a question then."""
    assert request("a").key("w") == messages.key("llm", "w", [{"role": "user", "content": "a"}], 0.3, 1, 8)


def test_pictures_stand_in_a_message_by_name():
    assert picture_names({"role": "user", "content": SHOWN}) == ["one", "other"]
    assert picture_names({"role": "user", "content": "one"}) == []


def test_pictures_are_put_in_when_a_request_is_sent():
    question = request(SHOWN, pictures=lambda name: f"data:{name}")
    (message,) = question.arguments()["messages"]
    assert picture_names(message) == ["data:one", "data:other"]
    assert message["role"] == "user" and message["content"][0] == text_part("two:")
    assert question.messages[0]["content"] == SHOWN


def test_a_request_whose_pictures_nobody_has_is_an_error():
    with pytest.raises(LookupError, match="no picture 'one'"):
        request(SHOWN).arguments()


def test_what_a_server_does_not_know_is_not_sent():
    assert set(request("a").arguments()) == {"messages", "temperature", "seed", "max_tokens"}
    sent = request("a", response_format={"type": "json_object"}).arguments({"max_tokens", "seed"})
    assert set(sent) == {"messages", "temperature", "max_completion_tokens", "response_format"}
