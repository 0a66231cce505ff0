"""Target networks: name their layers, and read activations of units from a forward pass."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from dnd.backends.batches import BatchSize, in_batches, prepared
from dnd.config.targets import BasisSettings
from dnd.io import faults
from dnd.target import basis as bases
from dnd.target import census as censuses
from dnd.target import tokens
from dnd.target.basis import Basis
from dnd.target.census import Census
from dnd.target.outputs import Form, TargetError, arranged, layout_of, tensor_of, watched
from dnd.target.preprocess import Preprocess
from dnd.target.tokens import Told
from dnd.target.units import SIGNS, Reading

R = TypeVar("R")
T = TypeVar("T")

COMPILED = "_orig_mod"
"""Where torch.compile's wrapper keeps the network; what it puts into the names of layers and weights."""
ALONE = "is called for each image alone, and can only be described where it is handed all images at once"
SCRIPTED = "is TorchScript, which shows none of its modules: describe the network that it was made of"
UNCALLED = "is not called when the network sees an image"
"""Why a module cannot be described."""
SURVEYED = 2
"""Images that show what a module returns; more than one, so that one for all images or for each is seen as such."""


class Called(NamedTuple):
    """How a network calls a module.

    Attributes
    ----------
    calls : how often for a few images.
    shape : of what it returned last for one image; empty where that is no tensor, or the module is never called.
    units : how many can be described; None when none.
    problem : why none can be described, else empty.
    """

    calls: int
    shape: tuple[int, ...]
    units: int | None
    problem: str


class _Enough(Exception):
    """Ends a forward pass when all that was asked for has been read."""


@dataclass(frozen=True)
class Target:
    """A network in evaluation mode, its preprocessing, and what its units are.

    Attributes
    ----------
    told : what the settings say of outputs.
    basis : of units other than channels.
    sign : ``positive``, or ``negative`` to read activations with the other sign.
    """

    model: nn.Module
    preprocess: Preprocess
    device: torch.device
    told: Told = field(default=Told(), compare=False)
    basis: BasisSettings | None = None
    sign: str = "positive"
    _bases: dict[str, Basis] = field(default_factory=dict, repr=False, compare=False)
    _forms: dict[tuple[str, tuple[int, ...], int], Form] = field(default_factory=dict, repr=False, compare=False)
    _calls: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the network's weights."""
        return next((weight.dtype for weight in self.model.parameters() if weight.is_floating_point()), torch.float32)

    @cached_property
    def census(self) -> Census:
        """What tells places among tokens; it takes a pass of its own, so never ask for it inside another."""
        return censuses.taken(self.model, self.forward, self.preprocess.image, self.preprocess.size)

    def module(self, layer: str) -> nn.Module:
        """Return the module of a dotted name.

        Raises
        ------
        TargetError
            There is none; the message lists the names on the level where the search ended.
        """
        module = self.model
        for i, part in enumerate(layer.split(".")):
            children = {name: child for name, child in module._modules.items() if child is not None}  # a name for each
            if part not in children:
                raise TargetError(
                    f"no module {layer!r}: {'.'.join(layer.split('.')[:i]) or 'the model'} has {sorted(children)}"
                )
            module = children[part]
        return module

    def modules(self, layers: Iterable[str]) -> dict[str, nn.Module]:
        """Return the modules of dotted names, by these; errors are those of :meth:`module`."""
        return {layer: self.module(layer) for layer in layers}

    @torch.inference_mode()
    def read(self, inputs: Tensor, layers: Sequence[str], take: Callable[[str, Reading], R]) -> dict[str, R]:
        """Run inputs [n, channels, h, w] through the network and return layer -> what ``take`` makes of its units.

        ``take`` is called while the network runs, so that what a later module does to the output in its place cannot
        be seen, and only what it returns is kept. Of a module that is called several times the last call counts. What
        comes after the last of the layers is not run.

        Raises
        ------
        TargetError
            The network does not take such inputs, a layer is not called, or its output has no units.
        """
        last_calls = self.calls(layers, inputs[0])
        results: dict[str, R] = {}
        calls = Counter[str]()

        def after(layer: str, module: nn.Module, args: tuple[object, ...], output: object) -> None:
            calls[layer] += 1
            if calls[layer] == last_calls[layer]:
                try:
                    reading = self.reading(layer, module, self._read_from(args, output), len(inputs))
                    results[layer] = take(layer, reading)
                except TargetError as error:
                    raise TargetError(f"layer {layer!r} {error}") from None
                if len(results) == len(last_calls):
                    raise _Enough

        with watched(self.modules(last_calls), after), suppress(_Enough):
            self.forward(inputs)
        if missing := sorted(last_calls.keys() - results.keys()):
            raise TargetError(f"layer {missing[0]!r} is called more often for some images than for others")
        return results

    @torch.inference_mode()
    def survey(self, layers: Iterable[str], image: Tensor) -> dict[str, Called]:
        """Return how the network calls layers when it sees an image [channels, h, w], in the order of first calls.

        Layers that are never called come last.

        Raises
        ------
        TargetError
            The network does not take the image, or there is no such layer.
        """
        layers = list(layers)
        calls, last = Counter[str](), dict[str, object]()

        def before(layer: str, module: nn.Module, args: tuple[object, ...]) -> None:
            calls[layer] += 1  # takes its place before its children, although it ends later

        def after(layer: str, module: nn.Module, args: tuple[object, ...], output: object) -> None:
            seen = self._read_from(args, output)
            tensor = tensor_of(seen)  # whose values are not needed
            last[layer] = seen if tensor is None else torch.empty_like(tensor, device="meta")

        with watched(self.modules(layers), after, before):
            self.forward(image.expand(SURVEYED, *image.shape))
        return {layer: self._called(layer, calls[layer], last.get(layer)) for layer in dict.fromkeys([*calls, *layers])}

    def _called(self, layer: str, calls: int, seen: object) -> Called:
        """How a layer was called so often, and what its units were last read from."""
        module, tensor = self.module(layer), tensor_of(seen)
        shape = () if tensor is None else tuple(tensor.shape[1:])
        if not calls:
            return Called(0, (), None, SCRIPTED if isinstance(module, torch.jit.ScriptModule) else UNCALLED)
        try:
            return Called(calls, shape, self.reading(layer, module, seen, SURVEYED).units, "")
        except TargetError as error:
            alone = tensor is not None and tensor.shape[:1] == (1,) and calls % SURVEYED == 0
            return Called(calls, shape, None, ALONE if alone else str(error))

    def calls(self, layers: Iterable[str], image: Tensor) -> dict[str, int]:
        """Return how often the network calls layers for an image [channels, h, w]; a TargetError tells of no units."""
        layers = list(layers)
        if new := [layer for layer in layers if layer not in self._calls]:
            for layer, called in self.survey(new, image).items():
                if called.problem:
                    raise TargetError(f"layer {layer!r} {called.problem}")
                self._calls[layer] = called.calls
        return {layer: self._calls[layer] for layer in layers}

    def _read_from(self, args: tuple[object, ...], output: object) -> object:
        """What the units of a module are read from: what it returns or, of attention heads, what it is given."""
        seen = next(iter(args), None) if bases.reads_input(self.basis) else output
        tensor = tensor_of(seen)
        return tensor.dequantize() if tensor is not None and tensor.is_quantized else seen

    def forward(self, inputs: Tensor) -> object:
        """Run inputs through the network; a TargetError says that it does not take them, or how else it fails."""
        # what torch.compile has made of the network or of parts calls no hooks
        compiled = "torch._dynamo" in sys.modules
        try:
            with torch.compiler.set_stance("force_eager") if compiled else nullcontext():
                return self.model(inputs.to(self.device, self.dtype, non_blocking=True))
        except (_Enough, TargetError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # of the network's own code, and of torch's
            shape = "x".join(map(str, inputs.shape[1:]))
            if not faults.is_of_shape(error):
                where = faults.in_users_code(error)
                wrong = f", {where}" if where else f": {faults.told(error)}"
                raise TargetError(f"the network fails on an image of {shape}{wrong}") from error
            if len(inputs) > 1 and self._takes(inputs[:1]):  # traced for one image, say
                raise TargetError(
                    f"the network takes one image of {shape}, not {len(inputs)} at once: {faults.told(error)}"
                ) from error
            raise TargetError(
                f"the network does not take an image of {shape} (channels x height x width), which is what "
                f"`preprocess` makes (size, and one mean and std for each channel): {faults.told(error)}"
            ) from error

    def _takes(self, inputs: Tensor) -> bool:
        try:
            with suppress(_Enough):
                self.forward(inputs)
        except TargetError:
            return False
        return True

    def form(self, layer: str, output: object, images: int) -> Form:
        """Return how a layer's output for some images is to be read.

        Raises
        ------
        TargetError
            It holds tokens of which nothing tells which place of the image they show.
        """
        tensor, size = tensor_of(output), self.preprocess.size
        if tensor is None or not censuses.in_question(tensor, size):
            return Form(self.told.layout, size)
        key = layer, tuple(tensor.shape), images
        if key not in self._forms:
            told = self.told
            if bases.reads_input(self.basis) and told.layout == "auto" and tensor.ndim == 3:  # the input of nn.Linear
                told = told._replace(layout="NTC" if len(tensor) == images else "TNC")
            self._forms[key] = tokens.form(self.census, told, *key)
        return self._forms[key]

    def axes(self, layer: str, module: nn.Module, tensor: Tensor, images: int) -> str:
        """Return what the axes of a layer's output tensor for some images are, such as ``NCHW``.

        Raises
        ------
        TargetError
            They cannot be told apart, or are not what the settings say.
        """
        known = self.told.layout != "auto"
        form = Form(self.told.layout, self.preprocess.size) if known else self.form(layer, tensor, images)
        return layout_of(tensor, module, images, form)

    def reading(self, layer: str, module: nn.Module, output: object, images: int) -> Reading:
        """Return the units of a module's output or, where the basis says so, input; a TargetError where it has none."""
        channels = arranged(output, module, images, self.form(layer, output, images))
        if self.basis is None:
            return Reading(channels, None, SIGNS[self.sign])
        if layer not in self._bases:
            self._bases[layer] = bases.load(self.basis, self.model, layer, self.device)
        basis, count = self._bases[layer], channels.positions.shape[2]
        if basis.channels != count:
            raise TargetError(f"has {count} channels; its basis {self.basis.path} is made for {basis.channels}")
        return Reading(channels, basis, SIGNS[self.sign])


def fixed_batches(
    items: Iterable[T], load: Callable[[T], Tensor], size: BatchSize, run: Callable[[list[T], Tensor], R]
) -> Iterator[tuple[list[T], R]]:
    """Yield items with what ``run`` makes of them and of their inputs [size, ...].

    The last batch is filled up with zeros; the size is halved when the device runs out of memory: see
    :func:`dnd.backends.batches.in_batches`.
    """

    def with_input(item: T) -> tuple[T, npt.NDArray[np.float32]]:
        return item, load(item).numpy()  # torch would start threads of its own beside ours

    def stacked(part: Sequence[tuple[T, npt.NDArray[np.float32]]], shape: int) -> tuple[list[T], Tensor]:
        arrays = [array for _, array in part]
        empty = [np.zeros_like(arrays[0])] * (shape - len(part))
        inputs = torch.from_numpy(np.stack(arrays + empty))
        return [item for item, _ in part], inputs.pin_memory() if torch.cuda.is_available() else inputs

    loaded = prepared(with_input, items, size.items)
    for part, result in in_batches(loaded, size, lambda batch, _: run(*batch), stacked):
        yield [item for item, _ in part], result


def pooled_of(target: Target, layer: str, inputs: Tensor, pooling: str) -> Tensor:
    """Return the pooled activations float32 [n, units] of a layer for inputs [n, channels, h, w], on the CPU."""
    return target.read(inputs, [layer], lambda _, reading: reading.pooled(pooling).cpu())[layer]


def responses(
    target: Target, layer: str, images: Sequence[Image.Image], pooling: str, size: BatchSize
) -> npt.NDArray[np.float32]:
    """Return the pooled activations float32 [n, units] of a layer for whole images."""

    def run_batch(part: Sequence[Image.Image], inputs: Tensor) -> Tensor:
        return pooled_of(target, layer, inputs, pooling)[: len(part)]

    return torch.cat([pooled for _, pooled in fixed_batches(images, target.preprocess.image, size, run_batch)]).numpy()
