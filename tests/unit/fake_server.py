"""A stand-in for vLLM that answers ``/health`` and chat completions; arguments: port and behaviours.

Behaviours: ``die`` ends at once with a message; ``mute`` never gets healthy; ``child`` starts a child that ignores
SIGTERM; ``stubborn`` ignores SIGTERM itself; ``pids=FILE`` writes the numbers of its processes to a file; ``foreign``
knows no key; ``taken=FILE`` finds its port taken the first time, when there is no such file yet; ``crash=FILE`` is
killed by a request with the word "crash" as long as there is no such file, which it then writes; ``crash`` always.
"""

import json
import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, behaviours = int(sys.argv[1]), sys.argv[2:]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path == "/health":
            return self.reply(503 if "mute" in behaviours else 200, {})
        known = self.headers["Authorization"] == f"Bearer {os.environ['VLLM_API_KEY']}" and "foreign" not in behaviours
        return self.reply(200 if known else 401, {})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != f"Bearer {os.environ['VLLM_API_KEY']}":
            return self.reply(401, {"error": {"message": "wrong key"}})
        text = body["messages"][-1]["content"]
        if "crash" in text:
            for behaviour in behaviours:
                mark, _, file = behaviour.partition("=")
                if mark == "crash" and not (file and os.path.exists(file)):
                    if file:
                        open(file, "w").close()
                    os.kill(os.getpid(), signal.SIGKILL)
        if "fail" in text:
            return self.reply(400, {"error": {"message": "cannot"}})
        if "broken" in text:
            return self.reply(200, {"id": "x", "object": "chat.completion", "created": 0, "model": "m"})
        choice = {
            "index": 0,
            "finish_reason": "length" if "long" in text else "stop",
            "message": {"role": "assistant", "content": f"{text} {body['seed']}"},
        }
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
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
