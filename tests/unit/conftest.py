"""What several tests need: archives of a probe."""

import json

import hypothesis
import pytest
from probing import picture, write_tar

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("untimed")


@pytest.fixture
def archives(tmp_path):
    """A probe of two archives with images, labels and other files."""
    folder = tmp_path / "archives"
    write_tar(
        folder / "train-1.tar",
        {
            "0003.png": picture(3),
            "0003.cls": b"7\n",
            "0003.json": b'{"caption": "a cat", "meta": {"id": 12}}',
            "./b/0004.jpg.png": picture(4),
        },
    )
    write_tar(
        folder / "deeper/train-0.tar",
        {
            "0001.cls": b"3",
            "0001.png": picture(1),
            "0001.json": b"not json",
            "notes.md": b"",
            "0002.seg.png": picture(20),
            "0002.PNG": picture(2),
            "0002.json": json.dumps({"caption": None, "meta": []}).encode(),
        },
    )
    return {"source": "webdataset", "path": folder}
