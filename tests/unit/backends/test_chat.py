import asyncio
import gc
import json

import pytest
from endpoints import CLOSED, client, external, fake, request

from dnd.backends import chat
from dnd.backends.chat import AllFailed, ChatClient, Unanswered
from dnd.backends.messages import Answer, image_part, text_part
from dnd.backends.server import Endpoint, ServerEnded, ServerError
from dnd.io.store import Store

FORMAT = {"type": "json_schema", "json_schema": {"name": "concept", "schema": {"type": "object"}}}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    with fake(tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def logged(tmp_path):
    """A server and a function that returns what it has been asked."""
    file = tmp_path / "asked"
    with fake(tmp_path, f"log={file}") as found:
        yield found, lambda: [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_answers_come_in_the_order_of_the_requests(endpoint, store):
    requests = [request(f"q{i}", seed=i) for i in range(40)]
    assert client(endpoint).ask(requests, 7, store) == [Answer(f"q{i} {i}") for i in range(40)]


def test_a_finished_answer_is_not_asked_again(endpoint, store):
    asked = [request("a"), request("b")]
    first = client(endpoint).ask(asked, 2, store)
    assert client(CLOSED).ask(asked[::-1], 2, store) == first[::-1]


@pytest.mark.parametrize("change", [{"seed": 2}, {"temperature": 0.4}, {"max_tokens": 9}, {"response_format": FORMAT}])
def test_every_setting_is_part_of_what_was_asked(endpoint, store, change):
    client(endpoint).ask([request("a")], 1, store)
    with pytest.raises(ServerError):
        client(CLOSED).ask([request("a", **change)], 1, store)
    with pytest.raises(ServerError):
        client(CLOSED, weights="other").ask([request("a")], 1, store)


def test_a_failed_request_is_recorded_and_the_others_are_answered(endpoint, store):
    answers = client(endpoint).ask([request("a"), request("fail"), request("broken"), request("b")], 1, store)
    assert [answer.text for answer in answers] == ["a 1", None, None, "b 1"]
    assert answers[1].problem == "BadRequestError: cannot"
    assert answers[2].problem.startswith("malformed reply")


@pytest.mark.parametrize("word", ["garbage", "latin", "nested", "empty", "broken"])
def test_a_malformed_reply_is_recorded_and_the_others_are_answered(endpoint, store, word):
    answers = client(endpoint, retries=1).ask([request("a"), request(word), request("b")], 1, store)
    assert [answer.text for answer in answers] == ["a 1", None, "b 1"]
    assert answers[1].problem.startswith("malformed reply") and not answers[1].again
    assert store.get(request(word).key("w")) is None


def test_a_malformed_reply_is_tried_again(endpoint, store):
    asked = [request("stutter a"), request("stutter b")]
    assert client(endpoint, retries=1).ask(asked, 1, store) == [Answer("stutter a 1"), Answer("stutter b 1")]


@pytest.mark.parametrize(
    ("word", "answer"), [("surrogate", Answer("a ? star")), ("other half", Answer("? \U0001f600 ?"))]
)
def test_what_cannot_be_written_is_made_valid(endpoint, store, tmp_path, word, answer):
    assert client(endpoint).ask([request(word)], 1, store) == [answer]
    assert client(CLOSED).ask([request(word)], 1, store) == [answer]


def test_words_of_the_server_can_be_written_too(endpoint, store):
    answers = client(endpoint).ask([request("a"), request("decline half"), request("spoilt")], 1, store)
    assert [answer.problem for answer in answers[1:]] == [
        "refused: I cannot help with that?",
        "BadRequestError: bad ? word",
    ]


@pytest.mark.parametrize("item", [b"no JSON", b'"a star"', b"[1, null]", b'["a"]', b'["a", 3]', b"\xff", b"null"])
def test_a_damaged_answer_is_told_asked_again_and_replaced(endpoint, store, caplog, item):
    name = request("a").key("w")
    store.put(name, item)
    assert client(endpoint).ask([request("a")], 1, store) == [Answer("a 1")]
    assert f"{name} is damaged" in caplog.text
    assert client(CLOSED).ask([request("a")], 1, store) == [Answer("a 1")]


def test_an_answer_that_was_stored_with_half_a_pair_can_be_written(store):
    store.put(request("a").key("w"), b'["a \\ud800 star", null]')
    assert client(CLOSED).ask([request("a")], 1, store) == [Answer("a ? star")]


def test_a_failure_is_tried_again_next_time(endpoint, store):
    asked = [request("fail"), request("a")]
    client(endpoint).ask(asked, 1, store)
    assert store.get(asked[0].key("w")) is None
    assert store.get(asked[1].key("w")) is not None


@pytest.mark.parametrize("word", ["exhausted", "faulty", "unpaid", "revoked", "unloaded"])
def test_what_fails_for_the_server_s_reasons_fails_and_the_rest_is_kept(endpoint, store, word):
    asked = [request("a"), request(word), request("b"), request("fail")]
    with pytest.raises(
        Unanswered, match=r"1 of 4 requests to .* failed; the last: .*\. What was answered is kept"
    ) as error:
        client(endpoint).ask(asked, 1, store)
    assert [answer.text for answer in error.value.answers] == ["a 1", None, "b 1", None]
    assert [answer.again for answer in error.value.answers] == [False, True, False, False]
    assert client(CLOSED).ask([request("a"), request("b")], 1, store) == [Answer("a 1"), Answer("b 1")]


def test_what_is_not_answered_in_time_fails(endpoint, store):
    hasty = ChatClient(endpoint, "m", "w", retries=0, timeout=0.3)
    with pytest.raises(Unanswered, match=r"1 of 2 requests .* no answer in time"):
        hasty.ask([request("a"), request("silent")], 1, store)


@pytest.mark.parametrize("word", ["fail", "huge", "odd", "flagged", "forbidden", "too long", "old llama"])
def test_what_is_refused_by_its_own_fault_is_recorded(endpoint, store, word):
    asked = [request("a"), *(request(f"{word} {i}") for i in range(5)), request("b")]
    answers = client(endpoint).ask(asked, 1, store)
    assert [answer.text for answer in answers] == ["a 1", *[None] * 5, "b 1"]
    assert all(answer.problem and not answer.again for answer in answers[1:-1])


@pytest.mark.parametrize(("lives", "concurrency"), [(10, 8), (1, 1), (25, 26)])
def test_a_server_that_dies_midway_fails_and_is_asked_the_rest_when_it_is_back(tmp_path, store, lives, concurrency):
    asked = [request(f"q{i}") for i in range(26)]
    with external(tmp_path, f"mortal={lives}") as theirs, pytest.raises(Unanswered) as error:
        client(theirs).ask(asked, concurrency, store)
    kept = sum(store.get(question.key("w")) is not None for question in asked)
    assert kept == sum(answer.text is not None for answer in error.value.answers)
    assert max(0, lives - concurrency) < kept <= lives  # what was on its way when it died is lost
    log = tmp_path / "asked"
    with external(tmp_path, f"log={log}") as theirs:
        assert client(theirs).ask(asked, concurrency, store) == [Answer(f"q{i} 1") for i in range(26)]
    assert len(log.read_text().splitlines()) == 26 - kept


def test_what_a_server_refuses_is_laid_to_it_only_when_it_refuses_a_plain_question_too(endpoint, store, caplog):
    refused = [request("flagged"), request("too long")]
    answers = client(endpoint).ask_doubted(refused, 2, store)
    assert [answer.text for answer in answers] == [None, None]
    assert "a plain question does not fail" in caplog.text
    with pytest.raises(AllFailed):
        client(endpoint, plain=request("fail")).ask_doubted(refused, 2, store)


@pytest.mark.parametrize("behaviour", ["spent=4", "poor=9"])
@pytest.mark.parametrize(("questions", "concurrency"), [(12, 2), (10, 8), (300, 3)])
def test_a_server_that_comes_to_refuse_everything_fails_and_is_asked_the_rest(
    tmp_path, store, behaviour, questions, concurrency
):
    """As one does whose credit is used up: such refusals are no fault of the questions'."""
    asked = [request(f"q{i}") for i in range(questions)]
    log = tmp_path / "asked"
    with (
        external(tmp_path, behaviour, f"log={log}") as theirs,
        pytest.raises(
            Unanswered, match=r"come to refuse everything.*(limit exceeded|too low)\. What was answered is kept"
        ),
    ):
        client(theirs).ask(asked, concurrency, store)
    assert len(log.read_text().splitlines()) < 60  # it is found out soon
    with external(tmp_path) as theirs:
        assert client(theirs).ask(asked, concurrency, store) == [Answer(f"q{i} 1") for i in range(questions)]


def test_an_answer_that_was_cut_off_says_so_also_from_the_store(endpoint, store):
    expected = [Answer("long 1", "cut off at max_tokens")]
    assert client(endpoint).ask([request("long")], 1, store) == expected
    assert client(CLOSED).ask([request("long")], 1, store) == expected


def test_thoughts_without_an_answer_are_a_failure_that_is_not_kept(endpoint, store):
    for model in ("m", "reasoner"):  # servers differ in what they call thoughts
        answers = client(endpoint, model).ask([request("thoughts"), request("long thoughts"), request("a")], 1, store)
        assert answers == [
            Answer(None, "no answer but thoughts"),
            Answer(None, "no answer but thoughts within max_tokens"),
            Answer("a 1"),
        ]
    assert store.get(request("thoughts").key("w")) is None


def test_a_refusal_is_told(endpoint, store):
    answers = client(endpoint).ask([request("decline"), request("a")], 1, store)
    assert answers[0] == Answer(None, "refused: I cannot help with that.")


def test_equal_requests_are_asked_once(logged, store):
    endpoint, asked = logged
    answers = client(endpoint).ask([request("a"), request("b"), request("a")], 4, store)
    assert [answer.text for answer in answers] == ["a 1", "b 1", "a 1"]
    assert len(asked()) == 2


def test_nothing_is_remembered_without_a_store(logged):
    endpoint, asked = logged
    for _ in range(2):
        assert client(endpoint).ask([request("a")], 1, None) == [Answer("a 1")]
    assert len(asked()) == 2


def test_one_error_when_every_request_fails(endpoint, store):
    with pytest.raises(AllFailed, match=r"all 2 requests to our own server http.* failed.*cannot"):
        client(endpoint).ask([request("fail 1"), request("fail 2")], 4, store)


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

    async def interrupted(self, opened, asked, record):
        if asked.messages[0]["content"] == "c":
            raise KeyboardInterrupt
        return await plain(self, opened, asked, record)

    monkeypatch.setattr(ChatClient, "_ask_one", interrupted)
    with pytest.raises(KeyboardInterrupt):
        client(endpoint).ask([request("a"), request("b"), request("c")], 1, store)
    monkeypatch.undo()
    gc.collect()  # asyncio logs the interrupted task here: while another test parses code, Python 3.11 fails at that
    assert client(CLOSED).ask([request("a"), request("b")], 1, store) == [Answer("a 1"), Answer("b 1")]


def test_failures_at_the_end_of_a_server_are_laid_to_it_and_not_to_the_requests(endpoint, store, monkeypatch):
    """It is found ended only after the last request: none of them may count as one that cannot be answered."""
    looks = iter([None])

    def check():
        if next(looks, "ended") == "ended":
            raise ServerEnded("ended at work")

    monkeypatch.setattr(chat, "WATCH_SECONDS", 600)
    dying = Endpoint(endpoint.base_url, endpoint.key, check)
    with pytest.raises(ServerEnded):
        client(dying).ask([request("a"), request("fail")], 1, store)
    assert client(CLOSED).ask([request("a")], 1, store) == [Answer("a 1")]


def test_it_can_be_asked_from_a_notebook_whose_event_loop_runs(endpoint, store):
    async def cell():
        return client(endpoint).ask([request("a")], 1, store)

    assert asyncio.run(cell()) == [Answer("a 1")]


def test_a_proxy_is_not_asked_for_our_own_server(endpoint, store, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    assert client(endpoint).ask([request("a")], 1, store) == [Answer("a 1")]
    theirs = Endpoint("http://llm.example/v1", endpoint.key, api_key_env="THEIRS")  # on another machine
    with pytest.raises(ServerError, match=r"cannot be reached: .*'127.0.0.1', 9"):  # the proxy
        client(theirs).ask([request("b")], 1, store)


def test_pictures_are_sent_as_they_are_and_known_by_their_names(logged, store):
    endpoint, asked = logged
    content = [text_part("two:"), image_part("one"), image_part("other")]
    seen = []

    def pictures(name):
        seen.append(name)
        return f"data:image/jpeg;base64,{name}"

    question = request(content, pictures=pictures)
    assert client(endpoint).ask([question], 1, store) == [
        Answer("two: data:image/jpeg;base64,one data:image/jpeg;base64,other 1")
    ]
    assert seen == ["one", "other"]
    assert asked()[0]["messages"][0]["content"][1] == {
        "type": "image_url",
        "image_url": {"url": "data:image/jpeg;base64,one"},
    }
    assert client(CLOSED).ask([question], 1, store)[0].text.startswith("two:")
    assert len(seen) == 2  # nothing was read for what is known
    assert request([text_part("two:"), image_part("third")]).key("w") != question.key("w")


@pytest.mark.parametrize("model", ["plain", "old"])
def test_a_server_without_structured_answers_is_told_once_and_asked_for_text(logged, store, caplog, model):
    endpoint, asked = logged
    questions = [request(f"q{i}", response_format=FORMAT) for i in range(12)]
    answers = client(endpoint, model).ask(questions, 3, store)
    assert answers == [Answer(f"q{i} 1") for i in range(12)]
    refused = [body for body in asked() if "response_format" in body]
    assert 1 <= len(refused) <= 3  # at most those in flight at the beginning
    assert len(asked()) == 12 + len(refused)
    assert len([line for line in caplog.messages if "does without response_format" in line]) == 1
    assert client(CLOSED).ask(questions, 3, store) == answers


def test_structured_answers_are_asked_for_where_the_server_can(logged, store):
    endpoint, asked = logged
    assert client(endpoint).ask([request("a", response_format=FORMAT)], 1, store) == [Answer('{"concept": "a"}')]
    assert [body["response_format"] for body in asked()] == [FORMAT]


def test_newer_models_of_openai_are_asked_in_their_words(logged, store, caplog):
    endpoint, asked = logged
    assert client(endpoint, "modern").ask([request("a"), request("b")], 1, store) == [Answer("a 1"), Answer("b 1")]
    assert asked()[-1]["max_completion_tokens"] == 8
    assert not {"max_tokens", "temperature"} & set(asked()[-1])
    assert len(asked()) == 4  # the first question three times, the second once
    assert "does without temperature" in caplog.text


def test_a_server_that_has_answered_may_refuse_one_question(tmp_path, store):
    with external(tmp_path) as theirs:
        answers = client(theirs).ask([request("a"), request("flagged"), request("b")], 1, store)
    assert answers == [Answer("a 1"), Answer(None, "PermissionDeniedError: flagged by moderation"), Answer("b 1")]


def test_an_error_inside_a_reply_of_status_200_is_that_error(endpoint, store):
    answers = client(endpoint).ask([request("a"), request("relayed refusal"), request("b")], 1, store)
    assert [answer.text for answer in answers] == ["a 1", None, "b 1"]
    assert answers[1].problem == "PermissionDeniedError: flagged upstream"


@pytest.mark.parametrize(("word", "told"), [("relayed fault", "is overloaded"), ("broken off", "went away")])
def test_a_servers_fault_inside_a_reply_of_status_200_is_asked_again(endpoint, store, word, told):
    with pytest.raises(Unanswered, match=told):
        client(endpoint).ask([request("a"), request(word)], 1, store)
    assert store.get(request(word).key("w")) is None


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]"])
def test_a_proxy_is_not_asked_for_a_server_of_the_users_on_this_machine(tmp_path, store, monkeypatch, proxy, host):
    for name in ("http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.setenv("NO_PROXY", "")
    with external(tmp_path) as server:
        named = Endpoint(server.base_url.replace("127.0.0.1", host), server.key, api_key_env=server.api_key_env)
        assert client(named).ask([request("a")], 1, store) == [Answer("a 1")]


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "gopher://127.0.0.1:9"])
def test_a_proxy_that_cannot_be_used_is_told(store, monkeypatch, proxy):
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(ServerError, match=r"proxy of the environment .* or the server in NO_PROXY"):
        client(Endpoint("http://llm.example/v1", "none", api_key_env="KEY")).ask([request("a")], 1, store)
