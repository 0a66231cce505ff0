"""Cut-outs of renders, enlarged to full size as the workflow's attention crops are, with what can be seen in each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dnd.shapeworld.render import SIZE

SMALLEST = 12  # pixels of the shortest side of a cut-out


@dataclass(frozen=True)
class Views:
    """Enlarged cut-outs and what they show.

    images : float [n, 3, 64, 64] in [0, 1]
    masks : float [n, 1, 64, 64], coverage by the object
    visible : float [n], share of the whole object inside the cut-out
    covered : float [n], share of the cut-out that is object
    """

    images: Tensor
    masks: Tensor
    visible: Tensor
    covered: Tensor

    def outline_seen(self, share: float = 0.6) -> Tensor:
        """Return bool [n]: enough of the object is inside to tell its shape."""
        return self.visible >= share


def cut(images: Tensor, masks: Tensor, boxes: Tensor) -> Views:
    """Cut boxes out and enlarge them bilinearly to 64x64; the aspect ratio is not kept.

    Parameters
    ----------
    images : float [n, 3, 64, 64]
    masks : bool [n, 64, 64]
    boxes : float [n, 4], left, top, right, bottom in pixels.
    """
    left, top, right, bottom = boxes.T
    scale_x, scale_y = (right - left) / SIZE, (bottom - top) / SIZE
    zero = torch.zeros_like(left)
    theta = torch.stack(
        [
            torch.stack([scale_x, zero, (left + right) / SIZE - 1], dim=1),
            torch.stack([zero, scale_y, (top + bottom) / SIZE - 1], dim=1),
        ],
        dim=1,
    )
    grid = F.affine_grid(theta, [len(images), 1, SIZE, SIZE], align_corners=False)
    layers = torch.cat([images, masks[:, None].float()], dim=1)
    seen = F.grid_sample(layers, grid, mode="bilinear", padding_mode="border", align_corners=False)
    covered = seen[:, 3].mean((1, 2))
    whole = masks.float().sum((1, 2))
    visible = covered * (right - left) * (bottom - top) / whole
    return Views(seen[:, :3], seen[:, 3:], visible, covered)


def whole_boxes(count: int) -> Tensor:
    """Return boxes float [n, 4] of whole images."""
    return torch.tensor([0.0, 0.0, SIZE, SIZE]).repeat(count, 1)


def random_boxes(count: int, generator: torch.Generator) -> Tensor:
    """Draw rectangles of whole pixels anywhere: sides uniform from 12 to 64 pixels, half of them squares."""
    sides = SMALLEST + (SIZE - SMALLEST) * torch.rand(count, 2, generator=generator)
    square = torch.rand(count, generator=generator) < 0.5
    sides[square, 1] = sides[square, 0]
    corner = torch.rand(count, 2, generator=generator) * (SIZE - sides)
    return torch.cat([corner, corner + sides], dim=1).round()


def object_boxes(masks: Tensor, generator: torch.Generator) -> Tensor:
    """Draw rectangles about the objects of masks bool [n, 64, 64]: bounding boxes, each side moved by -4 to 6 px."""
    columns, rows = masks.any(1), masks.any(2)
    first = torch.stack([columns.float().argmax(1), rows.float().argmax(1)], dim=1)
    last = SIZE - torch.stack([columns.flip(1).float().argmax(1), rows.flip(1).float().argmax(1)], dim=1)
    slack = torch.rand(len(masks), 4, generator=generator) * 10 - 4
    return torch.cat([first - slack[:, :2], last + slack[:, 2:]], dim=1).clamp(0, SIZE).round()


def inside_boxes(masks: Tensor, generator: torch.Generator) -> Tensor:
    """Draw rectangles of 12 to 26 pixels a side whose centre lies on the object of masks bool [n, 64, 64]."""
    flat = masks.flatten(1).float()
    centre = torch.multinomial(flat, 1, generator=generator)[:, 0]
    sides = SMALLEST + 14 * torch.rand(len(masks), 2, generator=generator)
    corner = torch.stack([centre % SIZE, centre // SIZE], dim=1) + 0.5 - sides / 2
    corner = torch.minimum(corner.clamp(min=0), SIZE - sides)
    return torch.cat([corner, corner + sides], dim=1).round()


def background_boxes(masks: Tensor, generator: torch.Generator, tries: int = 24) -> Tensor:
    """Draw rectangles that hold as little of the object as can be found in ``tries`` attempts along the border.

    The object is large and near the middle, so the rectangles are strips and corners of 12 pixels or a little more.
    """
    count = len(masks)
    integral = F.pad(masks.float().cumsum(1).cumsum(2), (1, 0, 1, 0))
    best, least = whole_boxes(count), torch.full((count,), float("inf"))
    index = torch.arange(count)
    for _ in range(tries):
        long = SMALLEST + 40 * torch.rand(count, generator=generator) ** 2
        short = SMALLEST + 8 * torch.rand(count, generator=generator) ** 2
        upright = torch.rand(count, generator=generator) < 0.5
        sides = torch.stack([torch.where(upright, short, long), torch.where(upright, long, short)], dim=1)
        corner = torch.rand(count, 2, generator=generator) * (SIZE - sides)
        narrow = torch.where(upright, 0, 1)
        edge = torch.where(torch.rand(count, generator=generator) < 0.5, 0.0, 1.0)
        corner[index, narrow] = edge * (SIZE - sides[index, narrow])
        box = torch.cat([corner, corner + sides], dim=1).round()
        left, top, right, bottom = box.long().T
        inside = (
            integral[index, bottom, right]
            - integral[index, top, right]
            - integral[index, bottom, left]
            + integral[index, top, left]
        ) / ((right - left) * (bottom - top))
        better = (inside < least - 0.001) | (
            (inside <= 0.02) & (least <= 0.02) & (torch.rand(count, generator=generator) < 0.3)
        )
        best, least = torch.where(better[:, None], box, best), torch.where(better, inside, least)
    return best


def mixed_boxes(masks: Tensor, generator: torch.Generator) -> Tensor:
    """Return boxes [n, 4] as captioning needs them.

    45 % are whole images, 30 % lie about the object or anywhere, 15 % inside the object, 10 % in the background.
    """
    count = len(masks)
    counts = [round(share * count) for share in (0.45, 0.15, 0.15, 0.15)]
    first, second, third, fourth = torch.tensor(counts).cumsum(0).tolist()
    return torch.cat(
        [
            whole_boxes(first),
            object_boxes(masks[first:second], generator),
            random_boxes(third - second, generator),
            inside_boxes(masks[third:fourth], generator),
            background_boxes(masks[fourth:], generator),
        ]
    )
