"""What a language model's answer says: the one concept in it, or why there is none."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

from dnd.backends.thoughts import without_control, without_thoughts

LONGEST = 500
"""Characters of a concept at most: more than the 77 tokens that text encoders of image generators read."""
SEARCHED = 20 * LONGEST
"""Characters of an answer, without thoughts, that are searched for a concept."""
REPEATS = 3
"""An answer that says one word so often, or a caption that says the same words so often in a row, is degenerate."""

_QUOTES = "\"'`*_\u201c\u201d\u2018\u2019\u00ab\u00bb"
_BLANK = "\u2581"
"""What tokenizers write for a blank."""
_NUMBERING = re.compile(r"^(?:[-\u2022\u2013\u2014#>]+|[*](?!\*)|\(?\d{1,2}[.)])\s+")
_BOX = re.compile(r"\\f?box(?:ed)?\s*\{")
"""LaTeX's frame around an answer."""
_COMMAND = re.compile(r"\\[a-z]+\*?\s*\{([^{}]*)\}", re.IGNORECASE)
_MATHS = re.compile(r"\\[()\[\]]")
_SPACE = re.compile(r"\\[ ,;!]")
_BEGINNING = re.compile(r"[\x08\t\f\r](?=[a-z]+\{|oxed\s*\{)")
_BEGINNINGS = {"\b": r"\b", "\t": r"\t", "\f": r"\f", "\r": r"\r"}
"""What JSON reads where LaTeX's commands begin with a backslash and a letter, such as ``\boxed`` and ``\text``."""
_EMPHASIS = re.compile(r"(?<![\w\\])([*_]{1,3}|~~|`{1,3})(?=\S)(.{1,200}?)(?<![\s\\])\1(?!\w)")
_ESCAPED = re.compile(r"\\([_*&%#$])")
_FORMULA = re.compile(r"^\$+([^$]+)\$+$")
_FENCE = re.compile(r"\s*(?:(?:```|~~~)\w*|\${1,2})\s*")
_HEADING = re.compile(r"(?<!\d):|:(?!\d)")
"""The colon behind a heading; that of a time or a proportion is none."""
_OBJECT = re.compile(r"""\s*\{(?![^{}"':]*\}\s*\w)""")
"""How JSON begins; a word in braces with others behind it is none."""
_STUTTER = re.compile(rf"\b(\w+(?: \w+){{0,3}}?)(?: \1\b){{{REPEATS - 1},}}")
_LOOSE = re.compile(r"""["']concept["']\s*:\s*(?:"((?:[^"\\]|\\.)*)|'((?:[^'\\]|\\.)*))""", re.IGNORECASE)
"""The concept in what was meant as JSON: in single quotes, or without its end."""
_DECODER = json.JSONDecoder()


def without_stutter(caption: str) -> str:
    """Say a run of the same one to four words, repeated three times or more, only once.

    Captioners fall into such loops; the released tool meant to clean them up, but dropped the result.
    """
    return _STUTTER.sub(r"\1", " ".join(caption.split()))


def tidy(answer: str) -> str:
    """Return the concept that an answer states, bare and lower-case.

    It is the value of ``concept`` where there is JSON: in a code fence or among other text, cut off or badly quoted.
    Else it is the first line, and what follows a first colon in it: a heading ("Concept:") is skipped. Thoughts of
    reasoning models, numbering, emphasis, quotes and marks at the end go. A comma stays: it may join adjectives as well
    as alternatives, and the scores judge either. LaTeX's commands give way to what they write, of frames the last;
    marks of a model's turns end the concept.
    """
    whole = without_thoughts(answer)
    stated = _stated(whole[:SEARCHED])
    text = whole if stated is None else _BEGINNING.sub(lambda mark: _BEGINNINGS[mark[0]], stated)
    plain = without_control(_without_latex(text))
    for line in unicodedata.normalize("NFKC", plain).splitlines():
        concept = "" if _FENCE.fullmatch(line) else _bare(_HEADING.split(line, 1)[-1])
        if concept:
            return concept
    return ""


def _without_latex(text: str) -> str:
    """Return what LaTeX's commands write, of framed answers the last, in as many characters as are searched."""
    *_, frame = 0, *(mark.end() for mark in _BOX.finditer(text))
    framed = text[frame : frame + SEARCHED]
    plain, before = _MATHS.sub(" ", _argument(framed) if frame else framed), ""
    while plain != before:  # from the innermost command outwards
        before, plain = plain, _COMMAND.sub(r"\1", plain)
    return plain if plain == text[:SEARCHED] else _SPACE.sub(" ", plain)


def _argument(text: str) -> str:
    """Return a text up to the brace that closes what was opened before it."""
    depth = 1
    for end, mark in enumerate(text):
        depth += (mark == "{") - (mark == "}")
        if not depth:
            return text[:end]
    return text


def _stated(text: str) -> str | None:
    """Return the concept in JSON, empty where there is none in it, or None where the text is no JSON."""
    objects = list(_objects(text))
    for stated in objects:
        if "concept" in stated:
            value = stated["concept"]
            first = value[0] if isinstance(value, list) and value else value
            return first if isinstance(first, str) else ""
    for stated in objects:
        if len(stated) == 1 and isinstance(alone := next(iter(stated.values())), str):  # under another name
            return alone
    if loose := _LOOSE.search(text):
        return loose[1] or loose[2] or ""
    return "" if _OBJECT.match(text) else None


def _objects(text: str) -> Iterator[dict[str, object]]:
    for brace in re.finditer(r"\{", text):
        try:
            stated, _ = _DECODER.raw_decode(text, brace.start())
        except (ValueError, RecursionError):  # no JSON begins here
            continue
        yield stated


def _bare(line: str) -> str:
    printable = "".join(mark if mark.isprintable() and mark != _BLANK else " " for mark in line)
    text, before = " ".join(printable.lower().split()), None
    while text != before:
        before = text
        text = _EMPHASIS.sub(r"\2", _NUMBERING.sub("", text))
        if text == before:  # quotes at its ends are no pairs of marks inside of it
            text = _FORMULA.sub(r"\1", text.strip(_QUOTES + " ").rstrip(".,;!?: "))
    return _ESCAPED.sub(r"\1", text)


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
