import json
from pathlib import Path

import pytest

from dnd.backends.messages import image_part, text_part
from dnd.candidates.answers import normalise
from dnd.candidates.prompts import PromptError, image_messages, messages, read_prompt

PROMPTS = Path(__file__).parents[3] / "config/prompts"


def test_the_shipped_prompt_ends_with_the_captions_one_per_line():
    template = read_prompt(PROMPTS / "concept.yaml")
    filled = messages(template, ["a red star", "two\nlines", "{{ captions }}"])
    assert [message["role"] for message in filled] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert filled[-1]["content"] == "a red star\ntwo lines\n{{ captions }}"
    assert "red star" not in json.dumps(filled[:-1])
    for shot in filled[2:-1:2]:
        assert normalise(shot["content"]) == shot["content"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("role: user", "list of messages"),
        ("- role: user\n  text: hello", "`role` and `content`"),
        ("- role: robot\n  content: '{{ captions }}'", "robot"),
        ("- role: user\n  content: nothing of them", "captions"),
        ("- role: user\n  content: '{{ captoins }}'", "captoins"),
        ("- role: user\n  content: '{{ captions'", "end of"),
        ("- role: user\n  content: [1", "not YAML"),
        ("- role: user\n  content: 3", "not text"),
    ],
)
def test_a_wrong_prompt_is_named_with_its_mistake(tmp_path, content, complaint):
    path = tmp_path / "prompt.yaml"
    path.write_text(content)
    with pytest.raises(PromptError) as error:
        read_prompt(path)
    assert str(path) in str(error.value)
    assert complaint in str(error.value)


def test_the_shipped_prompt_of_images_shows_each_between_the_question_s_words():
    filled = image_messages(read_prompt(PROMPTS / "concept-images.yaml", "images"), ["one", "two", "three"])
    assert [message["role"] for message in filled] == ["user"]
    first, *pictures, last = filled[0]["content"]
    assert pictures == [image_part("one"), image_part("two"), image_part("three")]
    assert first["text"].startswith("These images") and last["text"].startswith("Name the one visual concept")


def test_a_template_may_number_its_images_and_show_them_in_several_messages():
    template = [
        {"role": "system", "content": "There are {{ images | length }}."},
        {"role": "user", "content": "{% for image in images %}{{ loop.index }}: {{ image }}{% endfor %}"},
        {"role": "user", "content": "Again {{ images[1] }}"},
    ]
    assert image_messages(template, ["a", "b"]) == [
        {"role": "system", "content": "There are 2."},
        {"role": "user", "content": [text_part("1:"), image_part("a"), text_part("2:"), image_part("b")]},
        {"role": "user", "content": [text_part("Again"), image_part("b")]},
    ]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("- role: user\n  content: '{{ captions }}'", "'captions' is undefined; a template is given the list `images`"),
        ("- role: user\n  content: '{{ images[0] }}'", "no message shows the `images`"),
        (
            "- role: system\n  content: '{{ images | join }}'",
            "message 0: only a message of the role user can show `images`",
        ),
    ],
)
def test_a_wrong_prompt_of_images_is_named_with_its_mistake(tmp_path, content, complaint):
    path = tmp_path / "prompt.yaml"
    path.write_text(content)
    with pytest.raises(PromptError) as error:
        read_prompt(path, "images")
    assert str(error.value) == f"{path}: {complaint}"
