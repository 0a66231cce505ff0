"""What the released driver of Describe-and-Dissect does other than this project to maps and scores.

``docs/compat.md`` lists the switches of a recipe. All of these are pure functions; a stage calls one where its setting
says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from dnd.target.outputs import TargetError

Grey = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
TOKEN_PICTURE = (16, 16, 3)
"""Shape that the driver gives a class token of a ViT-B: rows, columns, colours."""


def wrapped(heat: Tensor) -> Grey:
    """Return a map as the driver's 8-bit picture: values times 255, cut to integers, modulo 256.

    Anything above one wraps around: 1.2 becomes 50, and 3.0 becomes 253. Bytes stay as they are, and what is not finite
    becomes zero.

    Parameters
    ----------
    heat : float or uint8 [...].

    Source: ``ToPILImage`` of torchvision on the raw map in ``get_attention_crops``.
    """
    values = heat.cpu().numpy()
    if values.dtype == np.uint8:
        return np.asarray(values)
    scaled = np.trunc(values.astype(np.float32) * np.float32(255))
    return (np.nan_to_num(scaled, nan=0, posinf=0, neginf=0).astype(np.int64) % 256).astype(np.uint8)


def enlarged(grey: Grey, shape: tuple[int, int]) -> Grey:
    """Return a picture uint8 [h, w] at another height and width, bicubic: Pillow's default, which the driver uses."""
    return np.asarray(Image.fromarray(grey).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def token_map(token: Tensor) -> Tensor:
    """Return a class token float [768] read as a picture of 16 x 16 pixels in three colours, in grey: uint8 [16, 16].

    The driver takes it for the heat map of every unit of a layer called ``encoder``.

    Raises
    ------
    TargetError
        The token has another width.
    """
    rows, columns, colours = TOKEN_PICTURE
    if token.numel() != rows * columns * colours:
        raise TargetError(f"has a class token of {token.numel()} channels; `token_maps` needs 768")
    picture = Image.fromarray(wrapped(token.reshape(TOKEN_PICTURE)))
    return torch.from_numpy(np.array(picture.convert("L")))


def without_holes(mask: Mask) -> Mask:
    """Return a mask [h, w] whose holes are filled, with what lies in them: only outer contours are left.

    Source: ``RETR_EXTERNAL`` in ``get_attention_crops``.
    """
    from scipy.ndimage import binary_fill_holes

    return np.asarray(binary_fill_holes(mask), np.bool_)


def among_best(activations: Sequence[npt.NDArray[np.float32]], best: int) -> list[Mask]:
    """Return which images of each candidate are among so many of the most exciting ones of all candidates.

    Equal activations by candidate, then by sample.

    Source: ``rank_images``, ``top_K_param`` = 10.
    """
    joined = np.concatenate(activations)
    chosen = np.zeros(len(joined), np.bool_)
    chosen[np.argsort(-joined, kind="stable")[:best]] = True
    return np.split(chosen, np.cumsum([len(values) for values in activations])[:-1])


def topk_compare(rank_scores: Sequence[float], similarities: Sequence[float]) -> list[float]:
    """Return similarity x (number of candidates - place by rank score), the best of N candidates having place 0.

    Equal rank scores by candidate. A similarity of -1 stands for a candidate without an image among the best; of two
    such, the one of better rank ends up lower.

    Source: the loop at the end of ``describe_neurons.py``.
    """
    order = sorted(range(len(rank_scores)), key=lambda i: (rank_scores[i], i))
    factor = {candidate: len(order) - place for place, candidate in enumerate(order)}
    return [factor[i] * similarity for i, similarity in enumerate(similarities)]


def combined(variant: str, candidates: Sequence[Mapping[str, float]]) -> list[float]:
    """Return the score of each candidate of a unit by a scoring function of the released code; higher is better.

    Parameters
    ----------
    variant : ``mean`` or ``topk-sq-mean``, both with their sign changed; ``topk-compare``, what the driver computes
        whatever it is told; ``image-products``, which only the paper's table of ratings knows, read as the similarity.
    candidates : ``mean_rank``, ``rank_score`` and ``image_similarity`` of each.

    Source: ``scoring_function.py``.
    """
    match variant:
        case "mean":
            return [-candidate["mean_rank"] for candidate in candidates]
        case "topk-sq-mean":
            return [-candidate["rank_score"] for candidate in candidates]
        case "topk-compare":
            return topk_compare(
                *([candidate[key] for candidate in candidates] for key in ("rank_score", "image_similarity"))
            )
        case "image-products":
            return [candidate["image_similarity"] for candidate in candidates]
    raise ValueError(f"no scoring function {variant!r}")
