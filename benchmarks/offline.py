"""Answer chat requests by vLLM without a server: run by the interpreter that has vLLM, ``python offline.py FILE``.

The file is JSON: ``engine``, arguments of the engine, and ``requests``, each with ``messages`` and ``sampling``. For
every line that stdin gives, all requests are answered in one batch, and seconds and answers written to stdout as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    """Answer until stdin ends."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what vLLM prints is no reply
    from vllm import LLM, SamplingParams

    asked = json.loads(Path(sys.argv[1]).read_text())
    engine = LLM(**asked["engine"])
    chats = [one["messages"] for one in asked["requests"]]
    sampling = [SamplingParams(**one["sampling"]) for one in asked["requests"]]
    print(json.dumps("ready"), file=replies, flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        found = engine.chat(chats, sampling, use_tqdm=False)
        seconds = time.perf_counter() - begun
        print(json.dumps([seconds, [one.outputs[0].text for one in found]]), file=replies, flush=True)


if __name__ == "__main__":
    main()
