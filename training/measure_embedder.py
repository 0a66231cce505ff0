"""Held-out measurements of the embedder: does it find captions, values and concepts?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor, arange

from dnd.shapeworld import grammar
from dnd.shapeworld.world import ATTRIBUTES, conjunction, scene_at
from training.measure import ABSTRACT, Labels, area_under_curve, members


def retrieval(image_embeddings: Tensor, text_embeddings: Tensor) -> float:
    """Return top-1 accuracy of picking text ``i`` for image ``i`` among all, for unit vectors [n, d] each."""
    best = (image_embeddings @ text_embeddings.T).argmax(1)
    return round(float((best == arange(len(best))).float().mean()), 4)


def distinct_retrieval(
    image_embeddings: Tensor,
    embed_texts: Callable[[Sequence[str]], Tensor],
    captions: Sequence[str | None],
    among: int = 64,
) -> float:
    """Return the mean top-1 accuracy of finding an image's caption among ``among`` captions of distinct meaning.

    Parameters
    ----------
    image_embeddings : unit vectors [n, d].
    captions : one for each image; images of None are left out.
    """
    groups: list[list[int]] = []
    group: dict[bytes, int] = {}
    for i, caption in enumerate(captions):
        meaning = None if caption is None else grammar.parse(caption)
        if meaning is not None:
            group.setdefault(meaning.tobytes(), i)
        if len(group) == among:
            groups.append(list(group.values()))
            group = {}
    shares = [retrieval(image_embeddings[rows], embed_texts([captions[i] or "" for i in rows])) for rows in groups]
    return round(float(np.mean(shares)), 4) if shares else float("nan")


def embedder_quality(
    embed_images: Callable[[Tensor], Tensor],
    embed_texts: Callable[[Sequence[str]], Tensor],
    images: Tensor,
    labels: Labels,
    seed: int = 0,
) -> dict[str, float]:
    """Score an embedder on whole images float [n, 3, 64, 64] in [0, 1] of attribute indices [n, 4].

    Returns
    -------
    ``retrieval``: top-1 among 64 distinct captions. By attribute: accuracy of the nearest of the phrases of its values
    (``red objects``). ``concepts_auc``: mean area under the curve of ranking images by their cosine with a concept's
    phrase, over the ``ABSTRACT`` concepts; ``concepts_auc_worst``: the least.
    """
    rng = np.random.default_rng(seed)
    seen = embed_images(images)
    captions = [grammar.caption(scene_at(row), rng) for row in labels]
    figures = {"retrieval": distinct_retrieval(seen, embed_texts, captions)}
    for i, (name, values) in enumerate(ATTRIBUTES.items()):
        near = (seen @ embed_texts([grammar.phrase((value,)) for value in values]).T).argmax(1).numpy()
        figures[name] = round(float((near == labels[:, i]).mean()), 4)
    scores = (seen @ embed_texts([grammar.phrase(words) for words in ABSTRACT]).T).double().numpy()
    areas = [area_under_curve(scores[:, j], members(conjunction(words), labels)) for j, words in enumerate(ABSTRACT)]
    figures["concepts_auc"] = round(float(np.mean(areas)), 4)
    figures["concepts_auc_worst"] = round(min(areas), 4)
    return figures
