"""Sizes of screens, and where pictures of them are kept."""

from pathlib import Path

SCREENSHOTS = Path(__file__).with_name("screenshots")
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
