"""Requests and stand-in servers for the tests of whatever asks a chat model."""

import json
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from dnd.backends import llm
from dnd.backends.chat import ChatClient
from dnd.backends.messages import Request
from dnd.backends.server import Endpoint, run_server

FAKE = Path(__file__).with_name("fake_server.py")
CLOSED = Endpoint("http://127.0.0.1:9/v1", "none")  # the discard port: nothing listens
KEY = "DND_TEST_KEY"


def command(*behaviours):
    return lambda port: [sys.executable, str(FAKE), str(port), *behaviours]


def fake(folder, *behaviours):
    """Run a stand-in as a server of our own."""
    return run_server(command(*behaviours), {}, log_path=folder / "server.log", startup_seconds=30.0, grace_seconds=0.3)


@contextmanager
def external(folder, *behaviours):
    """Run a stand-in as a server of the user's, whose key is in the variable ``KEY``, and of whose end nobody tells."""
    with fake(folder, *behaviours) as own:
        yield Endpoint(own.base_url, own.key, api_key_env=KEY)


def request(text, seed=1, **values):
    return Request([{"role": "user", "content": text}], **{"temperature": 0.3, "seed": seed, "max_tokens": 8} | values)


def client(endpoint, model="m", weights="w", retries=0, plain=None):
    return ChatClient(endpoint, model, weights, retries=retries, plain=plain)


def ask(requests, settings, store, log_path):
    """Return the answers of one session with the server of a configuration."""
    with llm.session(settings, store, log_path) as answers:
        return answers(requests)


def post(endpoint, key):
    """Ask a server of our own by hand, and return its answer."""
    request = urllib.request.Request(
        f"{endpoint.base_url}/chat/completions",
        json.dumps({"messages": [{"role": "user", "content": "hello"}], "seed": 4}).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["choices"][0]["message"]["content"]


def started(file):
    """The numbers of the processes that a server with ``pids=FILE`` has started."""
    return [int(number) for number in file.read_text().split()]


def places(file):
    """Where a server with ``litter=FILE`` has left its litter: in the folder for temporary files, and in its home."""
    return [Path(line) for line in file.read_text().splitlines()]
