"""What a model writes around its answer: thoughts, marks of turns and control text."""

from __future__ import annotations

import re

_THOUGHT = r"(?:\w+:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis|scratchpad)"
_THOUGHTS = re.compile(
    rf"[<\[\u25c1]{_THOUGHT}[>\]\u25b7]|<\|(?:begin_of_|start_)?{_THOUGHT}\|>|<unused\d+>thought\b|"
    r"<\|channel\|?>\s*(?!final\b)\w+|\Aanalysis(?-i:(?=[A-Z]))",
    re.IGNORECASE,
)
"""Where thoughts begin: tags in any brackets (DeepSeek, Magistral, Kimi, Command), channels (gpt-oss, Gemma)."""
_ANSWER = re.compile(
    rf"[<\[\u25c1]/{_THOUGHT}[>\]\u25b7]|<\|(?:/|end_(?:of_)?){_THOUGHT}\|>|<unused95>|<channel\|>|assistantfinal|"
    r"<\|channel\|>\s*final\b[^\n<]{0,40}(?:<\|constrain\|>[^\n<]{0,40})?<\|message\|>|"
    r"<answer>|<\|begin_of_(?:solution|box)\|>|\A\s*(?:<s>\s*)?\[INST\](?s:.*?)\[/INST\]",
    re.IGNORECASE,
)
"""Where thoughts, or the question said again, end and the answer begins."""
_ROLE = r"(?:assistant|model|user|system)\b"
_CONTROL = re.compile(
    rf"<(?:\|?(?:im_start|start_header_id|header_start|start_of_role|start_of_turn|start|turn)\|?|\w+:bos)>\s*(?:{_ROLE})?|"
    rf"(?:\b(?:{_ROLE}|final)\s*)?<\|(?:im_sep|message|header_end|end_header_id|end_of_role)\|>|"
    r"<[|\uff5c][^<>|\uff5c\n]{1,40}[|\uff5c]?>|<[^<>|\uff5c\s]{1,40}[|\uff5c]>|"
    r"\[\|(?:assistant|user|system|tool|endofturn)\|\]|"
    r"<(?:s|eos|eot|eod|eop|bos|pad|unk|mask|image|0x[0-9a-f]{2}|unused\d+|(?:start|end)_of_\w{1,20})>|<</?SYS>>|"
    r"\[(?:/?INST|end of text|(?-i:EOS|BOS|PAD|UNK|CLS|SEP|MASK))\]|<br ?/?>|"
    r"(?-i:\[/?(?:AVAILABLE_TOOLS|TOOL_CALLS|TOOL_CONTENT|TOOL_RESULTS|SYSTEM_PROMPT|MODEL_SETTINGS)\])|"
    r"</(?!(?:b|i|u|em|strong|code|mark|span)>)[a-z][\w:.-]{0,40}>",
    re.IGNORECASE,
)
"""What parts a model's turns, and ends of tags that stand around an answer; nothing of a concept goes on behind it."""
_TAG = re.compile(r"</?[a-z][\w:.-]{0,40}>", re.IGNORECASE)


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
