"""Which images choose and which judge."""

from hashlib import sha256

import numpy as np

from dnd.io import halves

NAMES = [f"{number:06d}.png" for number in range(4000)]


def test_the_half_of_an_image_follows_from_its_id_alone():
    every = dict(zip(NAMES, halves.choosing(NAMES), strict=True))
    some = NAMES[3000:100:-7]
    assert halves.choosing(some).tolist() == [every[name] for name in some] == [halves.chooses(name) for name in some]


def test_either_half_has_half_of_the_images():
    assert abs(halves.choosing(NAMES).mean() - 0.5) < 4 * 0.5 / np.sqrt(len(NAMES))


def test_the_halves_of_an_image_never_change():
    """An id whose digest begins with an even byte chooses: a run resumed by a later version has the same halves."""
    for name in ("a.png", "b/c.png", "ü.jpg"):
        assert halves.chooses(name) == (int(sha256(f"half/{name}".encode()).hexdigest()[:2], 16) % 2 == 0)


def test_the_control_images_are_of_both_halves():
    """The controls are the images of the smallest hashes of their ids, which must not decide the half."""
    controls = sorted(NAMES, key=lambda name: sha256(name.encode()).digest())[:1000]
    assert 0.4 < halves.choosing(controls).mean() < 0.6


def test_no_images_have_no_halves():
    assert halves.choosing([]).tolist() == []
