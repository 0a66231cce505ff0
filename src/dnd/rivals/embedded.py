"""A list of concepts and the images of a probe as vectors of one embedder, for methods that compare the two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dnd.backends import embeddings
from dnd.backends.embedder import Embedder, TextEmbedder, TransformersTextEmbedder
from dnd.config.rivals import ConceptListRecipe
from dnd.rivals import concept_sets

CONCEPTS_AT_ONCE = 1024
"""Concepts whose scores are in memory at once: those of all, for all images, would not fit."""

Vectors = npt.NDArray[np.floating]


def embedders(recipe: ConceptListRecipe, store: str | Path) -> tuple[Embedder, TextEmbedder]:
    """Return what embeds images, which looks into the store first, and words."""
    return embeddings.load(recipe.embedder, store), TransformersTextEmbedder(recipe.embedder)


def concepts(recipe: ConceptListRecipe, texts: TextEmbedder) -> tuple[list[str], Vectors]:
    """Return the concepts of a recipe's list, and the unit vectors float64 [concepts, d] of its prompt with each.

    Raises
    ------
    ConceptSetError
        The file of concepts cannot be used.
    """
    names = concept_sets.read(recipe.concepts)
    prompts = [recipe.prompt.replace("{concept}", name) for name in names]
    return names, texts.embed_texts(prompts).astype(np.float64)


def parts(words: Vectors) -> list[Vectors]:
    """Return the vectors of concepts, so many at a time that their scores of all images fit into memory."""
    return np.split(words, range(CONCEPTS_AT_ONCE, len(words), CONCEPTS_AT_ONCE))


def of_images(images: Embedder, shards: Sequence[Path], names: Iterable[str]) -> dict[str, Vectors]:
    """Return image id -> unit vector float64 [d] of some images of a probe."""
    vectors = embeddings.of_places(images, ((name, None) for name in set(names)), shards)
    return {name: vector.astype(np.float64) for (name, _), vector in vectors.items()}
