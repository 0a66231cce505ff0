"""The plot of a verdict's reliability."""

from PIL import Image

from dnd.evaluation.metrics.reliability import reliability
from dnd.evaluation.reliability_plot import draw


def test_the_plot_shows_what_it_is_given_and_is_the_same_again(tmp_path):
    known = reliability([0.15, 0.95, 0.95], [0, 1, 1])
    for name in ("first.png", "again.png"):
        draw({"3 units": known}, tmp_path / name)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    draw({"3 units": reliability([0.15, 0.95, 0.95], [1, 0, 1])}, tmp_path / "other.png")
    assert (tmp_path / "other.png").read_bytes() != (tmp_path / "first.png").read_bytes()
    with Image.open(tmp_path / "first.png") as image:
        assert image.format == "PNG"
        points = sum(count for count, colour in image.convert("RGB").getcolors(1 << 20) if colour == (0x1B, 0x6C, 0xA8))
    assert points > 0
