"""Files that run code when they are unpickled in full, as somebody may plant them."""

import io
import pickletools
import zipfile

import torch


class Harmful:
    """Makes a file when it is unpickled: what tests look for afterwards."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


def plant(path, mark):
    """Write a state dict that makes the file ``mark`` when it is unpickled."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"weight": torch.ones(2), "more": Harmful(mark)}, path)


def plant_stumbling(path, mark):
    """Write one on which a safe reader stumbles with a TypeError before it comes to what is unsafe."""
    path.parent.mkdir(parents=True, exist_ok=True)
    named = str(mark).encode()
    program = b"\x80\x02ccollections\nOrderedDict\n)RNb0"  # an OrderedDict whose state is None
    program += b"cio\nopen\nX" + len(named).to_bytes(4, "little") + named + b"X\x01\x00\x00\x00w\x86R0}."
    pickletools.dis(program, io.StringIO())  # it is a pickle
    torch.save({}, path)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, program if name.endswith("data.pkl") else content)
