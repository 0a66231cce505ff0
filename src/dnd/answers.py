"""What a language model's answer says: the one concept in it, or why there is none."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Any

LONGEST = 500
"""Characters of a concept at most: more than the 77 tokens that text encoders of image generators read."""
SEARCHED = 20 * LONGEST
"""Characters of an answer, without thoughts, that are searched for a concept."""
REPEATS = 3
"""An answer that says one word so often, or a caption that says the same words so often in a row, is degenerate."""

_QUOTES = "\"'`*_\u201c\u201d\u2018\u2019\u00ab\u00bb"
_NUMBERING = re.compile(r"^(?:[-\u2022\u2013\u2014#>]+|[*](?!\*)|\(?\d{1,2}[.)])\s+")
_THOUGHT = r"(?:\w+:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis|scratchpad)"
_THOUGHTS = re.compile(
    rf"[<\[\u25c1]{_THOUGHT}[>\]\u25b7]|<\|begin_of_thought\|>|<unused\d+>thought\b|"
    r"<\|channel\|?>\s*(?!final\b)\w+|\Aanalysis(?-i:(?=[A-Z]))",
    re.IGNORECASE,
)
"""Where thoughts begin: tags in any brackets (DeepSeek, Magistral, Kimi), channels (gpt-oss, Gemma)."""
_ANSWER = re.compile(
    rf"[<\[\u25c1]/{_THOUGHT}[>\]\u25b7]|<\|end_of_thought\|>|<unused95>|<channel\|>|assistantfinal|"
    r"<\|channel\|>\s*final\b[^\n<]{0,40}(?:<\|constrain\|>[^\n<]{0,40})?<\|message\|>|"
    r"<answer>|<\|begin_of_(?:solution|box)\|>",
    re.IGNORECASE,
)
"""Where thoughts end and the answer begins."""
_CONTROL = re.compile(
    r"<(?:\|?(?:im_start|start_header_id|start_of_turn|start|turn)\|?)>\s*(?:(?:assistant|model|user|system)\b)?|"
    r"<[|\uff5c][^<>|\uff5c\n]{1,40}[|\uff5c]?>|<[^<>|\uff5c\s]{1,40}[|\uff5c]>|"
    r"<(?:s|eos|eot|eod|eop|bos|pad|unk|mask|image|unused\d+|(?:start|end)_of_\w{1,20})>|\[/?INST\]|<br ?/?>|"
    r"</(?!(?:b|i|u|em|strong|code|mark|span)>)[a-z][\w:.-]{0,40}>",
    re.IGNORECASE,
)
"""What parts a model's turns, and ends of tags that stand around an answer; nothing of a concept goes on behind it."""
_TAG = re.compile(r"</?[a-z][\w:.-]{0,40}>", re.IGNORECASE)
_BOX = re.compile(r"(?:\\f?b|\x08)oxed\s*\{((?:[^{}]|\{[^{}]*\})*)")
"""LaTeX's frame around an answer; in JSON, whose ``\\b`` is a backspace, without its beginning."""
_LATEX = re.compile(r"\\[a-z]+\s*\{([^{}]*)\}", re.IGNORECASE)
_FENCE = re.compile(r"\s*```\w*\s*")
_STUTTER = re.compile(rf"\b(\w+(?: \w+){{0,3}}?)(?: \1\b){{{REPEATS - 1},}}")
_LOOSE = re.compile(r"""["']concept["']\s*:\s*(?:"((?:[^"\\]|\\.)*)|'((?:[^'\\]|\\.)*))""", re.IGNORECASE)
"""The concept in what was meant as JSON: in single quotes, or without its end."""
_DECODER = json.JSONDecoder()


def valid(text: str) -> str:
    """Return text that can be written: half of a surrogate pair, which JSON can spell and UTF-8 cannot, becomes "?"."""
    return text.encode("utf-8", "replace").decode()


def without_stutter(caption: str) -> str:
    """Say a run of the same one to four words, repeated three times or more, only once.

    Captioners fall into such loops; the released tool meant to clean them up, but dropped the result.
    """
    return _STUTTER.sub(r"\1", " ".join(caption.split()))


def without_thoughts(answer: str) -> str:
    """Return an answer without what a reasoning model wrote before it, whose beginning some servers leave out."""
    end = max((mark.end() for mark in _ANSWER.finditer(answer)), default=0)
    begin = _THOUGHTS.search(answer, end)
    return answer[end : begin.start() if begin else None]


def without_control(text: str) -> str:
    """Return a text without tags and marks of turns, which some servers leave in; what marks part becomes lines."""
    return _TAG.sub("", _CONTROL.sub("\n", text))


def one_line(answer: str) -> str:
    """Return an answer as one line, without thoughts, control text, and what a model says after its turn has ended."""
    turns = _CONTROL.split(without_thoughts(answer))
    return " ".join(_TAG.sub("", next((turn for turn in turns if turn.strip()), "")).split())


def tidy(answer: str) -> str:
    """Return the concept that an answer states, bare and lower-case.

    It is the value of ``concept`` where there is JSON: in a code fence or among other text, cut off or badly quoted.
    Else it is the first line, and what follows a first colon in it: a heading ("Concept:") is skipped. Thoughts of
    reasoning models, numbering, quotes and marks at the end go. A comma stays: it may join adjectives as well as
    alternatives, and the scores judge either. Of what LaTeX puts into a frame, the last is the concept; marks of
    a model's turns end it.
    """
    whole = without_thoughts(answer)
    stated = _stated(whole[:SEARCHED])
    if boxed := _BOX.findall(whole if stated is None else stated):
        stated = _LATEX.sub(r"\1", boxed[-1])
    text = without_control(whole[:SEARCHED] if stated is None else stated[:SEARCHED])
    for line in unicodedata.normalize("NFKC", text).splitlines():
        concept = "" if _FENCE.fullmatch(line) else _bare(line.partition(":")[2] if ":" in line else line)
        if concept:
            return concept
    return ""


def _stated(text: str) -> str | None:
    """Return the concept in JSON, empty where there is none in it, or None where the text is no JSON."""
    objects = list(_objects(text))
    for found in objects:
        if "concept" in found:
            first = found["concept"][:1] if isinstance(found["concept"], list) else [found["concept"]]
            return str(first[0]) if first and isinstance(first[0], str) else ""
    for found in objects:
        if len(found) == 1 and isinstance(alone := next(iter(found.values())), str):  # under another name
            return alone
    if loose := _LOOSE.search(text):
        return loose[1] or loose[2] or ""
    return "" if text.lstrip().startswith("{") else None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    for brace in re.finditer(r"\{", text):
        try:
            found, _ = _DECODER.raw_decode(text, brace.start())
        except (ValueError, RecursionError):  # no JSON begins here
            continue
        yield found


def _bare(line: str) -> str:
    printable = "".join(mark if mark.isprintable() else " " for mark in line)
    text, before = " ".join(printable.lower().split()), None
    while text != before:
        before = text
        text = _NUMBERING.sub("", text).strip(_QUOTES + " ").rstrip(".,;!?: ")
    return text


def length_fault(concept: str, max_words: int | None) -> str | None:
    """Return what is wrong with the length of a concept, or None; without a limit of words that of characters holds."""
    words = len(concept.split())
    if not words:
        return "no words"
    if len(concept) > LONGEST:
        return f"{len(concept)} characters, more than {LONGEST}"
    return f"{words} words, more than {max_words}" if max_words and words > max_words else None


def fault(concept: str, max_words: int | None) -> str | None:
    """Return what keeps a tidied answer from being a concept, or None."""
    words = concept.split()
    if not any(mark.isalpha() for mark in concept):
        return "no words"
    if problem := length_fault(concept, max_words):
        return problem
    word, times = Counter(words).most_common(1)[0]
    return f"says {word!r} {times} times" if times >= REPEATS else None


def alternatives(concept: str) -> list[str]:
    """Return the parts of a tidied "a or b", each once and as it stands; a concept without the word alone.

    A formula with brackets is one part.
    """
    joint = " or " in concept and "(" not in concept
    parts = concept.removeprefix("either ").split(" or ") if joint else [concept]
    bare = [part.strip(" ,;") for part in parts]
    return list(dict.fromkeys(part for part in bare if any(mark.isalpha() for mark in part))) or [concept]


def normalise(answer: str, max_words: int = 5) -> str | None:
    """Return an answer's concept, or None where it is malformed: empty, too long, without letters, in a loop."""
    concept = tidy(answer)
    return None if fault(concept, max_words) else concept
