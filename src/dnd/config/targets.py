"""What the configuration says of what is described: networks, their units, and the images they see."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, ValidationInfo, field_validator

from dnd.config.scenes import SceneSettings
from dnd.config.sections import LONGEST_SIDE, File, FileOrFolder, Folder, Name, Number, Settings, is_path, require_path

WEIGHTS = (".safetensors", ".pt", ".pth", ".tar", ".ckpt", ".bin")
"""Suffixes of a file of weights, as against a name."""
Side = Annotated[int, Field(le=LONGEST_SIDE)]
"""In pixels."""
Level = Annotated[int, Field(ge=0, le=255)]
"""Brightness, or that of a colour."""


Fit = Literal["crop", "squash", "letterbox"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]


class PreprocessSettings(Settings):
    """How an image becomes the network's input. What is left out is taken from where the weights were published."""

    size: Side | tuple[Side, Side] = Field(description="the input's side in pixels, or its height and width")
    fit: Fit = Field("crop", description="cut the centre, stretch the whole image, or pad it to the input's shape")
    resize: Side | None = Field(
        None, ge=1, description="length of the shorter side before the centre is cut; the input's own when empty"
    )
    interpolation: Interpolation = Field("bilinear", description="of the resize")
    channels: Literal["rgb", "bgr"] = Field("rgb", description="order in which the network takes the colours")
    mean: tuple[Number, ...] = Field((0.0, 0.0, 0.0), description="per channel, of values in [0, 1]; one value: grey")
    std: tuple[Number, ...] = Field((1.0, 1.0, 1.0), description="per channel, of values in [0, 1]")
    fill: Level | tuple[Level, Level, Level] = Field(
        0, description="letterbox: brightness or colour of the border, 0 to 255"
    )

    def problems(self) -> Iterator[str]:
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
            yield "`mean` and `std` must both have three values (colour) or one (grey)"
        if min(self.std) <= 0:
            yield f"`std` must be above zero, not {min(self.std)}"
        shorter = self.size if isinstance(self.size, int) else min(self.size)
        if shorter < 1 or (self.resize is not None and self.resize < shorter):
            yield "`size` must be above zero, and `resize` no smaller than its shorter side"


class BasisSettings(Settings):
    """Units other than the channels of a layer: latents of a sparse autoencoder, directions, attention heads."""

    kind: Literal["sae", "directions", "heads"] = Field(
        description="latents of a sparse autoencoder, rows of a matrix, or attention heads"
    )
    path: FileOrFolder | None = Field(
        None,
        description="sae, directions: file of the tensors (.safetensors, .npy, .npz, .pt); sae: also the folder that "
        "SAELens, dictionary_learning or ViT-Prisma has written",
    )
    activation: Literal["relu", "topk", "batchtopk", "jumprelu"] | None = Field(
        None, description="sae: what follows the encoder; when empty, what the file says"
    )
    k: int | None = Field(
        None, ge=1, description="topk: latents that stay active at a position; when empty, what the file says"
    )
    threshold: Number | None = Field(
        None, description="jumprelu, batchtopk: latents below it are zero; the file's tensor `threshold` when empty"
    )
    tensors: dict[
        Literal[
            "encoder",
            "bias",
            "decoder",
            "decoder_bias",
            "threshold",
            "magnitude_bias",
            "gate_bias",
            "gate_scale",
            "directions",
            "mean",
        ],
        str,
    ] = Field(default_factory=dict, description="names of tensors in the file, where they are not usual ones")
    subtract_decoder_bias: bool | None = Field(
        None, description="sae: take the decoder's bias off the input; when empty, what the file says"
    )
    normalize_activations: Literal["none", "layer_norm", "constant_norm_rescale"] | None = Field(
        None, description="sae: of the input, as SAELens and ViT-Prisma do it; when empty, what the file says"
    )
    rescale_acts_by_decoder_norm: bool | None = Field(
        None, description="sae: multiply latents by the norms of the decoder's rows; when empty, what the file says"
    )
    heads: int | None = Field(None, ge=1, description="heads: how many; the network's own number when empty")

    def problems(self) -> Iterator[str]:
        if self.kind != "heads" and self.path is None:
            yield f"kind {self.kind} needs `path`"

    def description_files(self) -> list[Path]:
        """Return the files in which a library may describe the autoencoder, beside its tensors or above checkpoints."""
        if self.kind != "sae" or self.path is None:
            return []
        folder = self.path if self.path.is_dir() else self.path.parent
        folders = [folder, folder.parent] if folder.name == "checkpoints" else [folder]
        files = [folder / name for folder in folders for name in ("cfg.json", "config.json")]
        return [file for file in files if file.is_file()]


class TargetSettings(Settings):
    """A network whose units are described."""

    source: Literal["torchvision", "timm", "transformers", "python"] = Field(description="where the network comes from")
    factory: Name = Field(
        description="the model's name (torchvision, timm), hub id or folder (transformers), "
        "`package.module:function` or `file.py:function`, where a method of a class is `Class.method` (python)"
    )
    arguments: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of the factory")
    weights: Name | None = Field(
        None,
        description="torchvision: weights enum; timm: `pretrained`; all but transformers: file of a state dict "
        "(safetensors, .pt); when empty the network is as its factory makes it, from seed 0",
    )
    revision: str | None = Field(None, description="hub revision")
    architecture: str | None = Field(
        None, description="transformers: class of the network; the one that the weights were published with when empty"
    )
    random_weights: bool = Field(
        False, description="transformers: weights that the files lack stay random, from seed 0; an error when false"
    )
    trust_remote_code: bool = Field(False, description="transformers: run code from the model's repository")
    dtype: Literal["float32", "float16", "bfloat16"] = Field("float32", description="precision of the network")
    preprocess: File | PreprocessSettings | None = Field(
        None, description="mapping as below or JSON file of one; the published preprocessing when empty"
    )
    layout: Literal["auto", "NCHW", "NHWC", "NTC", "TNC", "NCT", "NC", "NCDHW", "NDHWC"] = Field(
        "auto",
        description="axes of the layers' outputs: N images, C units, H x W positions, T tokens, D frames of a video or "
        "slices of a volume, which are averaged",
    )
    prefix_tokens: int | None = Field(
        None, ge=0, description="tokens before those of the image (class token, registers); found out when empty"
    )
    suffix_tokens: int | None = Field(
        None, ge=0, description="tokens behind those of the image (detection tokens, prompts); found out when empty"
    )
    token_order: File | None = Field(
        None,
        description="JSON file of a list, where the image's tokens do not lie row by row: for each position row by row "
        "its token, counted from the image's first; found out when empty",
    )
    basis: BasisSettings | None = Field(None, description="units other than the channels of the layers")
    known_answers: File | None = Field(
        None, description="JSON of what units are known to respond to, for evaluation and `dnd fit-verdict`"
    )
    class_names: dict[str, File] = Field(
        default_factory=dict,
        description="layer whose units are classes -> text file of their names, one per line: the known answers of a "
        "layer that has no others",
    )

    @field_validator("factory", "weights")
    @classmethod
    def _paths_exist(cls, value: str | None, info: ValidationInfo) -> str | None:
        if info.field_name == "weights":
            if value is not None and value.endswith(WEIGHTS):
                require_path(Path(value), info, "file")
        elif value is not None and info.data.get("source") == "python" and (file := file_of(value)):
            require_path(file, info, "file")
        elif value is not None and info.data.get("source") == "transformers" and is_path(value):
            require_path(Path(value), info, "folder")
        return value

    def plain(self) -> dict[str, JsonValue]:
        """Return what makes the network as plain values: without what its units are judged by."""
        return self.model_dump(mode="json", exclude={"known_answers", "class_names"})

    def files(self) -> list[Path]:
        """Return the local files and folders that the network is made from; what is not there is not among them."""
        hub = self.factory if self.source == "transformers" else None
        named: list[object] = [hub, self.weights, self.preprocess, self.token_order, *self.arguments.values()]
        if self.basis is not None:
            named += [self.basis.path, *self.basis.description_files()]
        return [Path(value) for value in named if isinstance(value, str | Path) and os.path.exists(value)]


def file_of(factory: str) -> Path | None:
    """Return the file of a factory `file.py:function`, None for a `package.module:function`."""
    name = factory.rpartition(":")[0]
    return Path(name) if name.endswith(".py") else None


SOURCE_KEYS = {
    "folder": {"path", "label"},
    "webdataset": {"path", "image", "label"},
    "huggingface": {"path", "dataset", "subset", "split", "revision", "image", "label"},
    "parquet": {"path", "image", "label"},
    "manifest": {"path", "image", "label"},
    "union": {"members"},
    "shapeworld": {"images", "scenes"},
}
"""Source of a probe -> the keys that belong to it alone; others belong to all."""


class AnnotationSettings(Settings):
    """What is known of a probe's images: the concepts they show, and at which pixels."""

    source: Literal["shapeworld", "broden", "labels"] = Field(
        description="renders of the shape world, which know their scenes; a data set in Broden's layout; or the labels "
        "of the probe's images"
    )
    path: Folder | None = Field(
        None,
        description="broden: the folder with `index.csv`, `label.csv` and `images`; a probe of source `folder` has the "
        "images that the index lists",
    )
    categories: list[str] = Field(default_factory=list, description="broden: categories that count; all when empty")
    parents: File | None = Field(
        None, description="labels: table of two columns, parted by a tab, a label and what it is a kind of"
    )

    def problems(self) -> Iterator[str]:
        if (self.source == "broden") != (self.path is not None):
            yield "source broden, and no other, needs `path`"
        if self.source != "broden" and self.categories:
            yield f"source {self.source} takes no `categories`"
        if self.source != "labels" and self.parents is not None:
            yield f"source {self.source} takes no `parents`"


class ProbeSettings(Settings):
    """The images whose activations are looked at."""

    source: Literal["folder", "webdataset", "huggingface", "parquet", "manifest", "union", "shapeworld"] = Field(
        description="a folder of images, tar files, a dataset of the hub or on disk, Parquet files with image bytes, "
        "a table of image files, several probes together, or renders written to disk first"
    )
    path: Path | None = Field(
        None,
        description="folder: where the images are, at any depth; webdataset, parquet: a file or a folder of them; "
        "huggingface: a dataset on disk; manifest: a .csv or .tsv file",
    )
    dataset: Name | None = Field(None, description="huggingface: hub id, in place of `path`")
    subset: str | None = Field(None, description="huggingface: the dataset's configuration")
    split: str | None = Field(None, description="huggingface: such as `validation`")
    revision: str | None = Field(None, description="huggingface: hub revision")
    members: list[str] = Field(default_factory=list, description="union: names of other probes")
    image: str | None = Field(
        None,
        description="column of images (huggingface, parquet; `image` when empty) or of their paths as seen from the "
        "table (manifest; `path` when empty); webdataset: suffix of the images, such as `jpg`, or several, of "
        "which the first that is there counts: `jpg;png`; any when empty",
    )
    label: str | None = Field(
        None,
        description="column of labels; webdataset: suffix of the files that hold them, such as `cls`, or "
        "`json.FIELD`, or several: `cls;txt`; folder: `folder`, the first folder's name is the label",
    )
    limit: int | None = Field(
        None, ge=1, description="the first so many images, by their ids, duplicates and unreadable ones included"
    )
    sample: int | None = Field(
        None, ge=1, description="a random sample of so many of these, the same for the same `seed`"
    )
    part: str | None = Field(
        None,
        pattern=r"^[0-9]{1,8}/[0-9]{1,8}$",
        description="one of several parts without a common image, such as `1/2`, to see how stable descriptions are",
    )
    images: int = Field(1600, ge=1, description="shapeworld: how many images to render")
    seed: int = Field(
        4, ge=0, description="of `sample`; shapeworld: stream of renders, of which 4 is for demonstrations"
    )
    scenes: SceneSettings | None = Field(
        None, description="shapeworld: which scenes are rendered; every value equally often when empty"
    )
    shards: int = Field(2, ge=1, le=99_999, description="into how many files and jobs the images are split")
    annotations: AnnotationSettings | None = Field(
        None, description="concepts of the images, for methods that need them; renders of the shape world know theirs"
    )

    @field_validator("path")
    @classmethod
    def _path_exists(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        source = info.data.get("source")
        if path is not None:
            kind = {"folder": "folder", "huggingface": "folder", "manifest": "file"}.get(str(source))
            require_path(path, info, kind, str(source))
        return path

    def problems(self) -> Iterator[str]:
        if self.annotations is not None and (self.annotations.source == "shapeworld") > (self.source == "shapeworld"):
            yield "annotations of source shapeworld are those of a probe of source shapeworld"
        if self.annotations is not None and self.annotations.source == "labels" and not (self.label or self.members):
            yield "annotations of source labels need `label`"
        if self.source == "huggingface" and (self.path is None) == (self.dataset is None):
            yield "source huggingface needs either `path` or `dataset`"
        if self.source in ("folder", "webdataset", "parquet", "manifest") and self.path is None:
            yield f"source {self.source} needs `path`"
        if self.source == "union" and (len(self.members) < 2 or len(set(self.members)) < len(self.members)):
            yield "source union needs two or more `members`, each once"
        for key in sorted(set().union(*SOURCE_KEYS.values()) - SOURCE_KEYS[self.source]):
            if getattr(self, key) != type(self).model_fields[key].get_default(call_default_factory=True):
                yield f"source {self.source} takes no `{key}`"
        if self.part is not None:
            number, parts = map(int, self.part.split("/"))
            if not 1 <= number <= parts:
                yield f"`part` is {self.part}, expected a number from 1, and how many parts there are"
        if self.dataset is None and self.revision:
            yield "`revision` is that of a `dataset` of the hub"
        if self.source == "folder" and self.label not in (None, "folder"):
            yield "`label` of source folder is `folder` or empty"
        if self.source == "manifest" and self.path and self.path.suffix.lower() not in (".csv", ".tsv"):
            yield "`path` of source manifest is a .csv or .tsv file"
