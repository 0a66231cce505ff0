"""Replies that are slow, large or packed: each request has a limit of time and of bytes."""

import asyncio
import time
import tracemalloc

import openai
import pytest
from endpoints import KEY, fake, request

from dnd.backends import llm
from dnd.backends.chat import ChatClient, Unanswered
from dnd.backends.limits import MOST_BYTES
from dnd.backends.messages import Answer


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with fake(tmp_path_factory.mktemp("server")) as found:
        yield found


def answers(server, *texts, timeout=60.0, retries=0):
    client = ChatClient(server, "m", "w", timeout=timeout, retries=retries, title="")
    return client.ask([request(text) for text in ("first", *texts)], 1, None)[1:]


@pytest.mark.parametrize("word", ["drip", "trickle", "around"])
@pytest.mark.parametrize("retries", [0, 1])
def test_a_slow_reply_is_not_waited_for_without_end(server, word, retries):
    """Each byte comes soon enough, the whole reply never."""
    begun = time.monotonic()
    with pytest.raises(Unanswered, match="no answer in time"):
        answers(server, word, timeout=0.5, retries=retries)
    assert 0.5 * (1 + retries) <= time.monotonic() - begun < 10


@pytest.mark.parametrize("word", ["bomb", "deflated", "errant", "flood"])
def test_a_reply_has_a_limit_of_bytes_whatever_it_is_packed_in(server, word):
    tracemalloc.start()
    found = answers(server, word)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == [Answer(None, f"UnreadableReply: reply has more than {MOST_BYTES:,} bytes")]
    assert most < 5 * MOST_BYTES  # of 100 MiB


def test_a_packed_reply_of_common_size_is_read(server):
    assert answers(server, "zipped") == [Answer("found")]


@pytest.mark.parametrize(
    ("word", "told"), [("torn", "reply is damaged: "), ("strange", "reply is packed as 'br', which was not asked for")]
)
def test_a_reply_that_cannot_be_unpacked_is_told(server, word, told):
    (found,) = answers(server, word)
    assert found.problem.startswith(f"UnreadableReply: {told}")


@pytest.mark.parametrize(("word", "kind"), [("wall", "BadRequestError"), ("masks", "UnprocessableEntityError")])
def test_a_long_error_is_read_at_once(server, word, kind):
    begun = time.monotonic()
    (found,) = answers(server, word)
    assert time.monotonic() - begun < 5
    assert found.problem.startswith(f"{kind}: ") and len(found.problem) < 400


def test_other_requests_go_on_beside_a_slow_one(server):
    client = ChatClient(server, "m", "w", timeout=2.0, retries=0, title="")
    with pytest.raises(Unanswered, match="1 of 21 requests") as error:
        client.ask([request("drip"), *(request(f"q{i}") for i in range(20))], 2, None)
    assert error.value.answers[1:] == [Answer(f"q{i} 1") for i in range(20)]


@pytest.mark.parametrize(
    ("body", "told"), [(b" ", "no answer in time"), (b" " * 2**20, "reply has more than")], ids=["slow", "large"]
)
def test_a_check_of_a_server_has_the_limits_too(monkeypatch, body, told):
    async def endless(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        try:
            while True:
                writer.write(body)
                await writer.drain()
                await asyncio.sleep(0.05)
        except OSError:
            pass

    async def asked():
        async with await asyncio.start_server(endless, "127.0.0.1", 0) as listening:
            url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
            return await asyncio.to_thread(llm.check, url, KEY, "m")

    monkeypatch.setattr(llm, "CHECK_SECONDS", 1.0 if len(body) == 1 else 30.0)
    assert told in asyncio.run(asked())


def test_the_limits_are_the_client_s_own_in_every_request(server):
    """A time that a single request is given holds for the whole of its reply."""

    async def asked():
        async with ChatClient(server, "m", "w", retries=0)._client() as client:
            body = {"model": "m", "messages": [{"role": "user", "content": "drip"}]}
            with pytest.raises(openai.APITimeoutError):
                await client.with_options(timeout=0.5).post("/chat/completions", cast_to=object, body=body)

    begun = time.monotonic()
    asyncio.run(asked())
    assert time.monotonic() - begun < 10
