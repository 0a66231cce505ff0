"""Train the embedded models from nothing, measure them and write their card.

``python -m training`` trains them in an order in which each finds what it builds on. A training ends after
the minutes that its module's constants say, on whatever machine. It is checkpointed in the work folder: one that was
stopped goes on when asked again, and one that was finished is skipped for as long as its result is there.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

MODELS = Path("resources/shapeworld")
TARGETS = ("target", "target-tuning", "target-test-1", "target-test-2", "target-test-3")
RENDERS = 24000
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "2000000000", "MALLOC_TRIM_THRESHOLD_": "4000000000"}
"""Let glibc keep freed memory: getting the same pages back from the kernel at every step takes half of its time."""

log = logging.getLogger("training")


def training_pool(work: Path) -> Any:
    """Return the renders that all models learn from."""
    from training.pool import pool

    return pool("train", RENDERS, work)


def make_pools(work: Path) -> None:
    """Render the training images and the held-out ones."""
    from training.held_out import held_out

    training_pool(work)
    held_out(work)


def train_judge(work: Path) -> None:
    """Train the judge."""
    from training import judge

    judge.save_judge(judge.train(training_pool(work), work).cpu(), MODELS / "judge")


def train_autoencoder(work: Path) -> None:
    """Train the generator's autoencoder, and encode the training images with it."""
    import torch

    from training import autoencoder

    data = training_pool(work)
    model = autoencoder.train(data, work)
    latents = autoencoder.encode(model, torch.from_numpy(data.images)) * model.config.scaling_factor
    torch.save(latents.half(), work / "latents.pt")
    model.save_pretrained(work / "vae")


def train_generator(work: Path) -> None:
    """Train the generator on the latents; the judge draws its learning curve."""
    import torch

    from training import autoencoder, generator
    from training.judge import load_judge
    from training.measure import judge_pipeline

    reader = load_judge(MODELS / "judge")
    vae = autoencoder.load_autoencoder(work / "vae")
    latents = torch.load(work / "latents.pt", weights_only=True)
    pipeline = generator.train(training_pool(work), latents, vae, work, lambda drawn: judge_pipeline(drawn, reader))
    generator.save_generator(pipeline, MODELS / "generator")


def train_target(name: str, work: Path) -> None:
    """Train a target network and plant its units."""
    from training import target

    model = target.train(training_pool(work), work, name)
    target.save_target(model, MODELS / name, target.NETWORKS[name].planted)


def train_captioner(work: Path) -> None:
    """Train the captioner."""
    from training import captioner

    model, tools = captioner.train(training_pool(work), work)
    captioner.save_captioner(model, tools, MODELS / "captioner")


def train_embedder(work: Path) -> None:
    """Train the embedder, beginning with the captioner's vision tower."""
    from training import captioner, embedder

    blip, _ = captioner.load_captioner(MODELS / "captioner")
    model, tools = embedder.train(training_pool(work), work, blip.vision_model)
    embedder.save_embedder(model, tools, MODELS / "embedder")


def train_summariser(work: Path) -> None:
    """Train the summariser, which needs no images."""
    from training import summariser

    summariser.train(work, MODELS / "summariser")


def train_sentences(work: Path) -> None:
    """Train the sentence encoder, which needs no images."""
    from training import sentences

    model, tools = sentences.train(work)
    sentences.save_sentences(model, tools, MODELS / "sentences")


def train_proposer(work: Path) -> None:
    """Train the proposer, which needs no images either."""
    from training import proposer

    proposer.train(work, MODELS / "proposer")


def train_describer(work: Path) -> None:
    """Train MILAN's describer on annotated units of ``target`` and ``target-tuning``."""
    from training import describer

    describer.save(*describer.train(training_pool(work), MODELS, work), MODELS / "describer")


@dataclass(frozen=True)
class Stage:
    """A training, and the folder of what it made; None where it leaves its result in the work folder."""

    train: Callable[[Path], None]
    result: Path | None = None


STAGES = {
    "pools": Stage(make_pools),
    "judge": Stage(train_judge, MODELS / "judge"),
    "autoencoder": Stage(train_autoencoder),
    "generator": Stage(train_generator, MODELS / "generator"),
    **{name: Stage(partial(train_target, name), MODELS / name) for name in TARGETS},
    "captioner": Stage(train_captioner, MODELS / "captioner"),
    "embedder": Stage(train_embedder, MODELS / "embedder"),
    "summariser": Stage(train_summariser, MODELS / "summariser"),
    "proposer": Stage(train_proposer, MODELS / "proposer"),
    "sentences": Stage(train_sentences, MODELS / "sentences"),
    "describer": Stage(train_describer, MODELS / "describer"),
}
"""Name -> training, in the order of running."""


def run(names: Sequence[str], work: Path) -> None:
    """Train what is not finished yet, and leave a stamp for what is."""
    for name in names:
        stage, stamp = STAGES[name], work / f"{name}.done"
        if stamp.exists() and (stage.result is None or stage.result.exists()):
            log.info("%s: finished before; delete %s to train it again", name, stamp)
            continue
        log.info("%s: begins", name)
        stage.train(work)
        stamp.touch()


def measure(names: Sequence[str], work: Path) -> None:
    """Measure the shipped models on held-out renders; figures go to the work folder."""
    from training import card
    from training.held_out import MEASURES

    for name in names:
        if name in MEASURES:
            log.info("%s: measured", name)
            card.write_json(work / f"measures-{name}.json", MEASURES[name](MODELS, work))


def write_card(work: Path) -> None:
    """Write the models' card from the figures in the work folder and in the repository."""
    from training import card

    card.gather(work, MODELS)
    card.write(MODELS)
    log.info("wrote %s", MODELS / card.NAME)


def keep_memory() -> None:
    """Start this program again, once, with an allocator that keeps its memory, where the C library is glibc."""
    if platform.libc_ver()[0] == "glibc" and not ALLOCATOR.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | ALLOCATOR)


def main() -> None:
    """Train, measure and write the card from the command line."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".training"), help="folder of checkpoints and figures")
    parser.add_argument("--only", nargs="+", choices=STAGES, metavar="NAME", help=f"some of {', '.join(STAGES)}")
    parser.add_argument("--measure", action="store_true", help="measure the shipped models and write the card")
    parser.add_argument("--card", action="store_true", help="only write the card anew from known figures")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    names = chosen.only or list(STAGES)
    if not chosen.card:
        keep_memory()
        import torch

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
        chosen.work.mkdir(parents=True, exist_ok=True)
        if not chosen.measure:
            run(names, chosen.work)
        measure(names, chosen.work)
    write_card(chosen.work)


if __name__ == "__main__":
    main()
