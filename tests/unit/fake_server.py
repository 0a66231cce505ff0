"""A stand-in for vLLM that answers ``/health``, ``/v1/models`` and chat completions; arguments: port and behaviours.

It answers what the last message says, pictures as their data URLs, and the seed. Words of the message make it fail in
the ways of real servers, with their words (``WORDS``), and so do names of models (``MODELS``).

Behaviours: ``die`` ends at once with a message; ``mute`` never gets healthy; ``child`` starts a child that ignores
SIGTERM; ``stubborn`` ignores SIGTERM itself; ``pids=FILE`` writes the numbers of its processes to a file; ``foreign``
knows no key; ``taken=FILE`` finds its port taken the first time, when there is no such file yet; ``crash=FILE`` is
killed by a request with the word "crash" as long as there is no such file, which it then writes; ``crash`` always;
``log=FILE`` writes what it is asked, one request a line; ``mortal=N`` ends after N answers; ``spent=N`` and
``poor=N`` refuse everything after N, with status 403 and 400; ``terse`` answers with two
words that depend on what it is asked; ``litter=FILE`` leaves a socket with as long a name as vLLM's in the folder for
temporary files and a file in its home folder, and writes where these are to a file.
"""

import hashlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, behaviours = int(sys.argv[1]), sys.argv[2:]

OFFERED = ["m", "another"]
WORDS = {
    "fail": (400, {"message": "cannot"}),
    "too long": (
        400,
        {
            "message": "This model's maximum context length is 256 tokens. However, your prompt contains at least 257 "
            "input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the "
            "input prompt. (parameter=input_tokens, value=257)",
            "type": "BadRequestError",
            "code": 400,
        },
    ),
    "too much": (400, {"message": "Please shorten it.", "code": "context_length_exceeded"}),
    "flagged": (403, {"message": "flagged by moderation"}),
    "forbidden": (451, {"message": "not here"}),
    "huge": (413, {"message": "payload too large"}),
    "odd": (422, {"message": "unprocessable"}),
    "old llama": (500, {"message": "the request exceeds the available context size. try increasing it"}),
    "spoilt": (400, {"message": "bad \udc80 word"}),
    "exhausted": (429, {"message": "slow down"}),
    "faulty": (500, {"message": "internal error"}),
    "unpaid": (402, {"message": "insufficient credits"}),
    "revoked": (401, {"message": "this key has expired"}),
    "unloaded": (404, {"message": "the model has been unloaded"}),
}
"""A word of the message -> status and error."""
MODELS = {
    "forgetful": (
        400,
        "As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat template if "
        "the tokenizer does not define one.",
    ),
    "gemma": (400, "System role not supported"),
    "turbo": (400, "Invalid model: turbo", "model"),
}
"""A name of a model -> status, message and, where it is told, the parameter that is at fault."""
REFUSED = {
    "plain": {"response_format": "Invalid parameter: 'response_format' of type 'json_schema' is not supported here."},
    "old": {"response_format": "guided decoding is not available"},
    "modern": {
        "max_tokens": "Unsupported parameter: 'max_tokens' is not supported with this model. "
        "Use 'max_completion_tokens' instead.",
        "temperature": "Unsupported value: 'temperature' does not support 0.3 with this model. "
        "Only the default (1) value is supported.",
    },
}
"""A name of a model -> settings that it refuses, and in which words."""
JSON = [("Content-Type", "application/json")]


def slowly(send, parts):
    """Send parts, ten a second, until nobody listens."""
    try:
        for part in parts:
            send(part)
            time.sleep(0.1)
    except OSError:
        pass


def packed(megabytes, compress):
    """So many megabytes of blanks around an answer, compressed."""
    blanks = b" " * 2**20
    answer = b'{"choices": [{"message": {"content": "found"}, "finish_reason": "stop"}]}'
    return b"".join(map(compress.compress, [blanks] * megabytes)) + compress.compress(answer) + compress.flush()


def gzipped(megabytes):
    return packed(megabytes, zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16))


RAW = {
    "drip": (200, JSON, itertools.repeat(b" ")),
    "trickle": (200, itertools.repeat(("X-More", "1")), []),
    "around": (302, [("Location", "?again"), *JSON], itertools.repeat(b" ")),
    "bomb": (200, [*JSON, ("Content-Encoding", "gzip")], lambda: [gzipped(100)]),
    "deflated": (200, [*JSON, ("Content-Encoding", "deflate")], lambda: [packed(100, zlib.compressobj(1))]),
    "errant": (500, [*JSON, ("Content-Encoding", "gzip")], lambda: [gzipped(100)]),
    "flood": (200, JSON, lambda: itertools.repeat(b" " * 2**20, 100)),
    "zipped": (200, [*JSON, ("Content-Encoding", "gzip")], lambda: [gzipped(1)]),
    "torn": (200, [*JSON, ("Content-Encoding", "gzip")], [b"no gzip at all"]),
    "strange": (200, [*JSON, ("Content-Encoding", "br")], [b"?"]),
    "wall": (400, JSON, [json.dumps({"error": {"message": "*a" * 50_000, "code": "x*" * 50_000}}).encode()]),
    "masks": (422, JSON, [json.dumps({"detail": "cannot " + "a" * 100_000 + "***"}).encode()]),
}
"""A word of the message -> status, headers and parts of the body of a reply that is slow, large or packed."""


BODIES = {"garbage": b'{"choices": [', "latin": b'{"choices": "\xe9"}', "nested": b"[" * 100_000, "empty": b""}
BODIES |= {
    "relayed refusal": b'{"error": {"message": "flagged upstream", "code": 403}}',
    "relayed fault": b'{"error": {"message": "upstream is overloaded", "code": 502}}',
    "broken off": b'{"choices": [{"error": {"message": "it went away", "code": 503}, "message": {}}]}',
}
"""A word of the message -> body of a reply that is said to be JSON and is none."""
COLOURS, SHAPES = ["red", "blue", "green", "yellow"], ["star", "ring", "square", "cross"]
stuttered = set()
ENDS = {
    "mortal": None,
    "spent": (403, {"message": "key limit exceeded"}),
    "poor": (400, {"message": "your credit balance is too low"}),
}
"""A behaviour -> status and error of what it says after so many answers; None says nothing ever again."""
end, _, lives = next((one.partition("=") for one in behaviours if one.partition("=")[0] in ENDS), ("", "", ""))
left = threading.Semaphore(int(lives or 0))
"""Answers until then."""


def terse(text):
    """A concept of two words."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"{COLOURS[digest[0] % 4]} {SHAPES[digest[1] % 4]}"


def shown(message):
    """What a message says: text, and pictures as their URLs."""
    content = message["content"]
    if isinstance(content, str):
        return content
    return " ".join(part["text"] if part["type"] == "text" else part["image_url"]["url"] for part in content)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path == "/health":
            return self.reply(503 if "mute" in behaviours else 200, {})
        known = self.headers["Authorization"] == f"Bearer {os.environ['VLLM_API_KEY']}" and "foreign" not in behaviours
        if not known:
            return self.refuse()
        if self.path != "/v1/models":
            return self.reply(404, {"detail": "Not Found"})
        return self.reply(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in OFFERED]})

    def raw(self, status, headers, parts):
        """Send a reply whose end is that of the connection."""
        self.close_connection = True
        self.send_response(status)
        write = self.wfile.write
        if isinstance(headers, itertools.repeat):
            self.flush_headers()
            return slowly(write, (f"{name}: {value}\r\n".encode() for name, value in headers))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if isinstance(parts, itertools.repeat):
            return slowly(write, parts)
        try:
            for part in parts() if callable(parts) else parts:
                write(part)
        except OSError:  # nobody listens any more
            pass

    def refuse(self):
        key = (self.headers["Authorization"] or "").removeprefix("Bearer ")
        return self.reply(401, {"error": {"message": f"wrong key: {key}, also known as sk-{key[:2]}*****{key[-2:]}"}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != f"Bearer {os.environ['VLLM_API_KEY']}":
            return self.refuse()
        if self.path != "/v1/chat/completions":
            return self.reply(404, {"detail": "Not Found"})
        if log := next((one.removeprefix("log=") for one in behaviours if one.startswith("log=")), None):
            with open(log, "a") as file:
                file.write(json.dumps(body) + "\n")
        text, model = shown(body["messages"][-1]), body.get("model", "")
        if "crash" in text:
            for behaviour in behaviours:
                mark, _, file = behaviour.partition("=")
                if mark == "crash" and not (file and os.path.exists(file)):
                    if file:
                        open(file, "w").close()
                    os.kill(os.getpid(), signal.SIGKILL)
        if model in MODELS:
            status, message, *parameter = MODELS[model]
            return self.reply(status, {"error": {"message": message, "param": next(iter(parameter), None)}})
        if model.startswith("unknown"):
            return self.reply(404, {"error": {"message": f"The model `{model}` does not exist.", "code": 404}})
        for setting, message in REFUSED.get(model, {}).items():
            if setting in body:
                return self.reply(400, {"error": {"message": message, "param": setting}})
        if model == "blind" and "data:" in text:
            return self.reply(400, {"error": {"message": "blind is not a multimodal model"}})
        for word, reply in RAW.items():
            if word in text:
                return self.raw(*reply)
        for word, (status, error) in WORDS.items():
            if word in text:
                return self.reply(status, {"error": error})
        if "silent" in text:
            threading.Event().wait()
        if "stutter" in text and text not in stuttered:
            stuttered.add(text)
            return self.reply(200, BODIES["garbage"])
        for word, data in BODIES.items():
            if word in text:
                return self.reply(200, data)
        if end and not left.acquire(blocking=False):
            if ENDS[end] is None:
                os.kill(os.getpid(), signal.SIGKILL)
            status, error = ENDS[end]
            return self.reply(status, {"error": error})
        if "broken" in text:
            return self.reply(200, {"id": "x", "object": "chat.completion", "created": 0, "model": "m"})
        message = {"role": "assistant", "content": f"{text} {body.get('seed')}"}
        if "response_format" in body:
            message["content"] = json.dumps({"concept": text})
        if "terse" in behaviours:
            message["content"] = terse(json.dumps(body["messages"]))
        if "surrogate" in text:
            message["content"] = "a \ud800 star"
        if "other half" in text:
            message["content"] = "\udc00 \U0001f600 \udfff"
        if "thoughts" in text:
            message |= {"content": None, "reasoning" if model == "reasoner" else "reasoning_content": "Well ..."}
        if "decline" in text:
            message |= {"content": None, "refusal": "I cannot help with that" + ("\udfff" if "half" in text else ".")}
        choice = {"index": 0, "finish_reason": "length" if "long" in text else "stop", "message": message}
        return self.reply(
            200, {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
        )


if "die" in behaviours:
    print('no such model\nnanobind: leaked 2 types!\n - leaked type "a"\n - ... skipped remainder', flush=True)
    sys.exit(3)
for behaviour in behaviours:
    if behaviour.startswith("taken=") and not os.path.exists(behaviour.removeprefix("taken=")):
        with open(behaviour.removeprefix("taken="), "w") as file:
            file.write(str(port))
        sys.exit("OSError: [Errno 98] Address already in use")
numbers = [os.getpid()]
if "stubborn" in behaviours:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "child" in behaviours:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    numbers.append(subprocess.Popen([sys.executable, "-S", "-c", code]).pid)
for behaviour in behaviours:
    if behaviour.startswith("pids="):
        with open(behaviour.removeprefix("pids="), "w") as file:
            file.write(" ".join(map(str, numbers)))
    if behaviour.startswith("litter="):
        places = [os.path.join(tempfile.gettempdir(), str(uuid.uuid4())), os.path.expanduser("~/settings")]
        socket.socket(socket.AF_UNIX).bind(places[0])
        open(places[1], "w").close()
        with open(behaviour.removeprefix("litter="), "w") as file:
            file.write("\n".join(places))
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
