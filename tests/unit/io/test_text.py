import pytest

from dnd.io.text import valid


@pytest.mark.parametrize(
    ("text", "expected"), [("a red star", "a red star"), ("\ud83d\ude00", "??"), ("é\udcff😀", "é?😀"), ("", "")]
)
def test_valid_text_can_be_written(text, expected):
    assert valid(text) == expected
