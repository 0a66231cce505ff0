import pytest

from dnd.backends.thoughts import one_line, without_thoughts


def test_thoughts_are_taken_off():
    assert without_thoughts("<think>a</think>b<think>c") == "b"
    assert without_thoughts("plain") == "plain"


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ("<thought>hm</thought>a red\n star</s>", "a red star"),
        ("<|channel|>final<|message|>a <i>red</i> star<|return|>", "a red star"),
        ("<|im_start|>assistant\na star<|im_end|>\n<|im_start|>user\na circle", "a star"),
        ("</s>", ""),
        ("a star: red", "a star: red"),
    ],
)
def test_a_caption_is_one_line_without_control_text(answer, line):
    assert one_line(answer) == line
