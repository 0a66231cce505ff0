"""A checkpoint as PyTorch 0.2 under Python 2 wrote it, of which the weights of Places365 are one."""

import pickle
import struct

import torch

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
SIZES = {"short": 2, "int": 4, "long": 4}


class _Storage:
    """Where a tensor's values are; in the file they come after the pickles."""

    def __init__(self, values):
        self.values = values


class _Pickler(pickle._Pickler):
    """Writes text as Python 2's byte strings, and tensors as references to storages of a GPU."""

    dispatch = pickle._Pickler.dispatch.copy()

    def __init__(self, file):
        super().__init__(file, protocol=2)
        self.storages = {}

    def save_str(self, text):
        self.write(b"U" + bytes([len(text)]) + text.encode("ascii"))
        self.memoize(text)

    dispatch[str] = save_str

    def persistent_id(self, one):
        if not isinstance(one, _Storage):
            return None
        key = str(len(self.storages))
        self.storages[key] = one.values
        return "storage", torch.cuda.FloatStorage, key, "cuda:0", one.values.numel(), None

    def save(self, one, save_persistent_id=True):
        if isinstance(one, torch.Tensor):
            arguments = _Storage(one), 0, tuple(one.shape), tuple(one.stride())
            self.save_reduce(torch._utils._rebuild_tensor, arguments, obj=one)
        else:
            super().save(one, save_persistent_id)


def write(path, content):
    """Write plain values and float32 tensors."""
    with path.open("wb") as file:
        for head in (MAGIC, PROTOCOL, {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": SIZES}):
            pickle.dump(head, file, 2)
        pickler = _Pickler(file)
        pickler.dump(content)
        _Pickler(file).dump(list(pickler.storages))
        for values in pickler.storages.values():
            file.write(struct.pack("<q", values.numel()) + values.contiguous().numpy().tobytes())
