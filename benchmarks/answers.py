"""Answers of the language model, as the concepts stage asks for them, beside vLLM's own offline batch."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.pairs import REPEATS, Result, paired
from benchmarks.world import World
from dnd.backends.chat import ChatClient
from dnd.backends.messages import Answer, Request
from dnd.backends.server import Endpoint
from dnd.backends.vllm import CPU_CACHE_BYTES, CPU_SEQUENCES, QUIET, gpus
from dnd.candidates import concepts
from dnd.io import schemas, tables
from dnd.io.store import Store

LEAST = 0.8
SAMPLES = 10
"""Questions about each unit, so many that the first and the last, which have the server to themselves, count little."""
SETTLE_SECONDS = 2.0
"""Before each measurement: an engine that has answered keeps a core busy for a second, in case more is asked."""
ONE_PROCESS = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}


def requests(world: World) -> list[Request]:
    """Return what the concepts stage first asks about the units of the first layer."""
    asked: list[Request] = []

    def ask(some: Sequence[Request]) -> list[Answer]:
        asked.extend(some)
        return [Answer(None, "not asked")] * len(some)

    captions = sorted((world.results / "first/concepts/captions").glob("*.parquet"))
    lines = tables.read(captions, schemas.CAPTIONS)
    units = concepts.unit_captions("first", "concepts", world.exemplars(range(64)), lines)
    concepts.propose(units, ask, world.plain.model_copy(update={"samples": SAMPLES}))
    return list({one.key(""): one for one in asked}.values())


def measure(world: World, server: Endpoint, repeats: int = REPEATS) -> Iterator[Result]:
    """Yield requests per second by our client and server, and by the offline batch, as vLLM runs it by default.

    Without a GPU also by one whose engine and worker are one process, as our server's are on few cores.
    """
    asked, settings = requests(world), world.llm
    client = ChatClient(server, settings.model, "bench", title="")

    def ours() -> tuple[float, list[str | None]]:
        time.sleep(SETTLE_SECONDS)
        with tempfile.TemporaryDirectory() as store:
            begun = time.perf_counter()
            found = client.ask(asked, settings.concurrency, Store(store))
            return time.perf_counter() - begun, [one.text for one in found]

    baselines: list[tuple[str, dict[str, str], float | None]] = [("answers", {}, LEAST)]
    if not gpus():
        baselines.append(("answers/in one process", ONE_PROCESS, None))
    for case, environment, least in baselines:
        with offline(world, asked, environment) as batch:
            pairs, (expected, found) = paired({"ours": ours, "baseline": batch}, repeats)
        same = sum(a == b for a, b in zip(expected, found, strict=True)) / len(found)
        assert same >= 0.95, f"only {same:.0%} of the answers agree"  # batches differ, and with them the last bits
        yield Result.of(case, "requests/s", len(asked), pairs, least)


@contextmanager
def offline(world: World, asked: Sequence[Request], environment: Mapping[str, str]) -> Iterator[Any]:
    """Yield what answers all requests by an engine without a server, and returns seconds and answers."""
    engine: dict[str, Any] = {"model": world.llm.model, "max_model_len": world.llm.max_model_len, "seed": 0}
    engine |= {"generation_config": "vllm"}
    if not gpus():
        engine |= {"dtype": "float32", "enforce_eager": True, "max_num_seqs": CPU_SEQUENCES}
        engine |= {"max_num_batched_tokens": CPU_SEQUENCES * world.llm.max_model_len}
        engine |= {"kv_cache_memory_bytes": CPU_CACHE_BYTES}
    given = [
        {
            "messages": list(one.messages),
            "sampling": {"temperature": one.temperature, "seed": one.seed, "max_tokens": one.max_tokens},
        }
        for one in asked
    ]
    (world.folder / "offline.json").write_text(json.dumps({"engine": engine, "requests": given}))
    command = [str(world.llm.python), str(Path(__file__).with_name("offline.py")), "offline.json"]
    with (
        (world.folder / "offline.log").open("w") as log,
        subprocess.Popen(
            command,
            cwd=world.folder,
            env={**os.environ, **QUIET, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        assert process.stdin and process.stdout
        if process.stdout.readline() != '"ready"\n':
            raise RuntimeError((world.folder / "offline.log").read_text()[-3000:])

        def batch() -> tuple[float, list[str]]:
            assert process.stdin and process.stdout
            time.sleep(SETTLE_SECONDS)
            process.stdin.write("\n")
            process.stdin.flush()
            seconds, answers = json.loads(process.stdout.readline())
            return seconds, answers

        try:
            yield batch
        finally:
            process.stdin.close()
