"""Dense attribute supervision of vision transformers, which learn shapes slowly from captions alone."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from dnd.shapeworld.world import ATTRIBUTES, SHAPE
from training.views import Views

WIDTH, LAYERS, HEADS, MLP, PATCH = 128, 4, 4, 384, 8
_NAMES = list(ATTRIBUTES)


class Reader(nn.Module):
    """Linear heads that read attributes off a transformer's tokens; only used in training.

    Every patch token gives the share of object in its patch and all attribute values, the class token all values.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.head_patches = nn.Linear(width, 1 + sum(SHAPE))
        self.head_whole = nn.Linear(width, sum(SHAPE))


def dense_loss(reader: Reader, tokens: Tensor, views: Views, labels: Tensor) -> Tensor:
    """Return the loss of reading attributes from tokens [n, 1 + patches, width], class token first.

    Only what a view shows is asked for: object attributes of patches that are mostly object, the background of the
    others, the shape where the outline is seen.

    Parameters
    ----------
    views : the pictures, with masks on any device.
    labels : attribute indices int64 [n, 4].
    """
    where = tokens.device
    side = round((tokens.shape[1] - 1) ** 0.5)
    share = F.avg_pool2d(views.masks.to(where), views.masks.shape[-1] // side).flatten(1)  # [n, patches]
    covered, outline = views.covered.to(where), views.outline_seen(0.7).to(where)
    labels = labels.to(where)
    patches = reader.head_patches(tokens[:, 1:]).float()
    whole = reader.head_whole(tokens[:, 0]).float()
    total = F.binary_cross_entropy_with_logits(patches[..., 0], share.clamp(0, 1))
    on_object = share > 0.5
    patch_parts, whole_parts = patches[..., 1:].split(SHAPE, dim=2), whole.split(SHAPE, dim=1)
    for i, name in enumerate(_NAMES):
        asked = ~on_object if name == "background" else on_object
        seen = covered < 0.9 if name == "background" else covered > 0.1
        if name == "shape":
            asked, seen = asked & outline[:, None], seen & outline
        target = labels[:, i, None].expand_as(share)
        total = total + F.cross_entropy(patch_parts[i][asked], target[asked])
        total = total + F.cross_entropy(whole_parts[i][seen], labels[seen, i])
    return total
