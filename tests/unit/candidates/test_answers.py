import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnd.candidates.answers import LONGEST, fault, length_fault, normalise, tidy, without_stutter


@pytest.mark.parametrize(
    ("answer", "concept"),
    [
        ("Red Stars", "red stars"),
        ("red stars.", "red stars"),
        ("Concept: red stars", "red stars"),
        ("The concept is:\n\nRed stars\n", "red stars"),
        ("red stars\nNote: most of them", "red stars"),
        ('"Red stars."', "red stars"),
        ("“red  stars”", "red stars"),
        ("**Red stars**", "red stars"),
        ("1. red stars", "red stars"),
        ("- red\tstars", "red stars"),
        ("<think>one two: three</think>red stars", "red stars"),
        ("<think>cut off", None),
        ("colourful, knitted fabric", "colourful, knitted fabric"),
        ("3d shapes", "3d shapes"),
        ("one two three four five", "one two three four five"),
        ("one two three four five six", None),
        ("", None),
        (" \n\t", None),
        ("Concept:", None),
        ("123.", None),
        ("red red red", None),
        ("red red stars", "red red stars"),
        ("red\x00\x1bstars", "red stars"),
        ("Well, it is red.\n</think>\nred stars", "red stars"),
        ('{"concept": "Red stars."}', "red stars"),
        ('{\n  "concept": "red stars"\n}\n', "red stars"),
        ('```json\n{"concept": "red stars"}\n```', "red stars"),
        ('Here it is: {"concept": "red stars"} I hope it helps.', "red stars"),
        ('<think>{"concept": "circles"}</think>{"concept": "red stars"}', "red stars"),
        ('{"reason": "{most}", "concept": "red stars"}', "red stars"),
        ('{"answer": {"concept": "red stars"}}', "red stars"),
        ('[{"concept": "red stars"}]', "red stars"),
        ("{'concept': 'red stars'}", "red stars"),
        ('{"concept": "red stars"', "red stars"),
        ('{"concept": "red stars', "red stars"),
        ('{"concept": "\\u2605 red stars"}', "\u2605 red stars"),
        ('{"concept": ""}', None),
        ('{"concept": null}', None),
        ('{"concept": ["red stars", "circles"]}', "red stars"),
        ('{"concept": []}', None),
        ('{"answer": "red stars"}', "red stars"),
        ('{"why": "red", "answer": "stars"}', None),
        ("{}", None),
        ("```\nred stars\n```", "red stars"),
        ("red {stars}", "red {stars}"),
        ("<|channel|>final<|message|>red circle<|return|>", "red circle"),
        (
            "<|channel|>analysis<|message|>It: red<|end|><|start|>assistant<|channel|>final<|message|>Red star",
            "red star",
        ),
        ('<|channel|>final <|constrain|>json<|message|>{"concept": "red star"}<|return|>', "red star"),
        ("<|channel|>analysis<|message|>cut off", None),
        ("analysisThey all: red.assistantfinalred circle", "red circle"),
        ("<|channel>thought\nAll red<channel|>red circle<turn|>", "red circle"),
        ("<unused94>thought\nAll red<unused95>red circle", "red circle"),
        ("<thought>one two: three</thought>red stars", "red stars"),
        ("<thought>cut off", None),
        ("[THINK]one two[/THINK]red stars", "red stars"),
        ("\u25c1think\u25b7one\u25c1/think\u25b7red stars", "red stars"),
        ("<seed:think>one two</seed:think>red stars", "red stars"),
        ("red circle</s>", "red circle"),
        ("red circle</s><s>[INST] and now?", "red circle"),
        ("red circle<|im_end|>\n<|im_start|>user\nand now?", "red circle"),
        ("<|start_header_id|>assistant<|end_header_id|>\n\nred circle<|eot_id|>", "red circle"),
        ("<start_of_turn>model\nred circle<end_of_turn>", "red circle"),
        ("<\uff5cAssistant\uff5c>red circle<\uff5cend\u2581of\u2581sentence\uff5c>", "red circle"),
        ('{"concept": "red circle<|endoftext|>"}', "red circle"),
        ("<answer>red circle</answer>", "red circle"),
        ("They share a colour. <answer>red</answer> It is red.", "red"),
        ("<concept>red circle</concept>", "red circle"),
        ("<b>Red</b> circle", "red circle"),
        ("\\boxed{red}", "red"),
        ("The answer is: $\\boxed{\\text{red circle}}$.", "red circle"),
        ('{"concept": "\\boxed{red}"}', "red"),
        ('{"concept": "\\\\boxed{red}"}', "red"),
        ("<|return|>", None),
        ("<|header_start|>assistant<|header_end|>\n\nred circle<|eot|>", "red circle"),
        ("<|start_of_role|>assistant<|end_of_role|>red circle<|end_of_text|>", "red circle"),
        ("assistant<|im_sep|>red circle<|im_end|>", "red circle"),
        ("final<|message|>red circle<|return|>", "red circle"),
        ("<seed:bos>assistant\nred circle<seed:eos>", "red circle"),
        ("<|START_THINKING|>all red<|END_THINKING|><|START_RESPONSE|>red circle<|END_RESPONSE|>", "red circle"),
        ("<|thinking|>all red<|/thinking|>red circle", "red circle"),
        ("<|begin_of_thought|>all red<|end_of_thought|><|begin_of_solution|>red circle", "red circle"),
        ("<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nWhat? [/INST] red circle </s>", "red circle"),
        ("<<SYS>>red circle<</SYS>>", "red circle"),
        ("[TOOL_CALLS]red circle", "red circle"),
        ("[|assistant|]red circle[|endofturn|]", "red circle"),
        ("red circle [end of text]", "red circle"),
        ("[CLS] red circle [SEP]", "red circle"),
        ("<0x0A>red circle<0x0A>", "red circle"),
        ("\u2581red\u2581circle", "red circle"),
        ("\\text{red circle}", "red circle"),
        ("$\\mathbf{red}$", "red"),
        ("\\(\\textbf{Red \\emph{bright} circle}\\)", "red bright circle"),
        ("\\[\n\\boxed{\\text{red \\textit{and} blue}}\n\\]", "red and blue"),
        ("$$\n\\fbox{red\\ \\& blue}\n$$", "red & blue"),
        ('{"concept": "\\text{red circle}"}', "red circle"),
        ('{"concept": "\\\\textbf{red circle}"}', "red circle"),
        ('{"concept": "\\mathrm{red}"}', "red"),
        ("**Red** circle", "red circle"),
        ("The answer is **red circle**.", "the answer is red circle"),
        ("`red` *circle*", "red circle"),
        ("**`red`** circle", "red circle"),
        ("__Red__ ~~blue~~ circle", "red blue circle"),
        ("snow\\_white \\& dwarfs", "snow_white & dwarfs"),
        ("~~~\nred circle\n~~~", "red circle"),
        ("leaves < stems", "leaves < stems"),
        ("snow_white and rose_red", "snow_white and rose_red"),
        ("5*3 grids * stars", "5*3 grids * stars"),
        ("*.txt and *.png files", ".txt and *.png files"),
        ("back`tick` signs", "back`tick` signs"),
        ("$5 and $10 bills", "$5 and $10 bills"),
        ("\\ backslashes", "\\ backslashes"),
        ("{curly} braces", "{curly} braces"),
        ("[square] brackets", "[square] brackets"),
        ("[NO_ENTRY] signs", "[no_entry] signs"),
        ("exit signs [EXIT_NOW]", "exit signs [exit_now]"),
        ("[|x|] absolute values", "[|x|] absolute values"),
        ("[/AVAILABLE_TOOLS][|user|]red circle", "red circle"),
        ("[end] signs", "[end] signs"),
        ("clock at 12:30", "clock at 12:30"),
        ("3:2 pictures", "3:2 pictures"),
        ("1: red circle", "red circle"),
        ("model", "model"),
        ("final scores", "final scores"),
        ("analysis charts", "analysis charts"),
        ("the assistant<|im_end|>", "the assistant"),
        ("<3 hearts", "<3 hearts"),
    ],
)
def test_an_answer_becomes_a_concept_or_is_malformed(answer, concept):
    assert normalise(answer, max_words=5) == concept


def test_the_longest_concept_is_a_setting():
    assert normalise("a b c", max_words=2) is None
    assert normalise("a b", max_words=2) == "a b"


def test_a_caption_that_loops_is_said_once():
    assert without_stutter("a red red red red star") == "a red star"
    assert without_stutter("on the wall on the wall on the wall again") == "on the wall again"
    assert without_stutter("a red red star") == "a red red star"


words = st.lists(st.sampled_from(["red", "stars", "on", "a", "dotted", "étoile", "3d"]), min_size=1, max_size=5)


@given(words, st.sampled_from(["{}", "```json\n{}\n```", "Sure! {} Done.", "<think>{{</think>\n{}"]), st.integers(0, 4))
def test_the_same_concept_is_read_whatever_stands_around_its_json(found, around, indent):
    concept = " ".join(found)
    answer = around.format(json.dumps({"why": "{", "concept": concept}, indent=indent or None))
    assert tidy(answer) == concept


@given(st.text())
def test_any_value_is_read_as_the_same_text_would_be(text):
    if "{" not in text and "concept" not in text and "think>" not in text and "```" not in text:
        assert tidy(json.dumps({"concept": text})) == tidy(text)


@given(st.text() | st.text(alphabet="{}[]\":,concept \\n'`<think>/"))
def test_any_answer_becomes_one_printable_line(text):
    concept = tidy(text)
    assert concept == " ".join(concept.split()).lower() or not concept.isascii()  # some letters have no lower case
    assert all(mark.isprintable() for mark in concept)
    if normalise(text) is not None:
        assert 1 <= len(concept.split()) <= 5


def test_deeply_nested_answers_are_no_concept_and_no_error():
    assert normalise('{"a":' * 5000) is None
    assert normalise("[" * 5000 + '{"concept": "red stars"}') == "red stars"


def test_what_keeps_an_answer_from_being_a_concept():
    assert fault("red stars", 5) is None
    assert fault("", 5) == "no words"
    assert fault("one two three", 2) == "3 words, more than 2"
    assert fault("red red red", 5) == "says 'red' 3 times"


@pytest.mark.parametrize("answer", ["a" * 100_000, "red " + "s" * 500, "星" * 501, '{"concept": "' + "b" * 9000 + '"}'])
@pytest.mark.parametrize("most", [5, 1000, None])
def test_a_concept_has_a_limit_of_characters_too(answer, most):
    concept = tidy(answer)
    assert f"{len(concept)} characters, more than {LONGEST}" == fault(concept, most) == length_fault(concept, most)
    assert fault(tidy("r" * LONGEST), most) is None


@pytest.mark.parametrize(
    "mark",
    [
        "{",
        '{"a":',
        '{"',
        "1. ",
        "\n",
        '"concept":"',
        "`" * 3,
        "- ",
        "<",
        "<|",
        "\\boxed{",
        "\\a{",
        "</a",
        "*a",
        " ",
        "model ",
    ],
)
def test_a_long_answer_is_read_at_once(mark):
    begun = time.process_time()
    tidy(mark * (2_000_000 // len(mark)))
    assert time.process_time() - begun < 5  # minutes where each mark is searched from anew


def test_a_concept_after_long_thoughts_is_still_read():
    assert normalise("<think>" + "so many words " * 100_000 + "</think>red stars") == "red stars"
