"""Which lines of a text are code although no fence says so: indented blocks, and runs of lines that read like statements.

>>> from hala.data.codelines import code_lines
>>> code_lines(["Try this:", "x = compute(3)", "print(x)", "It prints the result of the call."])
[False, True, True, False]
"""

from __future__ import annotations

import re

_LIST_LINE = re.compile(r"[ \t>]*(?:[-*+•]|\d{1,9}[.)])[ \t]")
_INDENTED = re.compile(r"(?: {4}| {0,3}\t)[ \t]*\S")
_PROSE = re.compile(r"[^\W\d_][\w'’,\-]*(?:[ ][\w'’,\-\"“”]+){3,}[.!?:;,…]?")
# What one line of a program looks like, in the languages that instruction data holds most.
_STATEMENTS = (
    r"#include\b|#!/|<\?php|//|/\*|\*/|\}|\{$|>>> |\$ \w",
    r"import [\w.{*]+(?: as \w+|.* from .*)?;?$|from [\w.]+ import |using [\w.]+;$|package [\w.]+;?$",
    r"def \w+\(|class \w+[^.]*[:{]$|@\w+(?:\.\w+)*(?:\(.*\))?$|elif .*:$|else ?[:{]|try ?[:{]|except\b.*:$",
    r"(?:if|for|while|with|switch|catch)\b.*[:{]$|return\b.*;$|return [^ ]+(?: [-+*/%] [^ ]+)*$",
    r"(?:const|let|var|auto|int|float|double|char|bool|string|String|public|private|static|void|function)\b.*[;{(=]",
    r"(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE|ALTER TABLE|DROP TABLE)\b.*[;*=(,]",
    # An assignment; "Speed = 5 miles" and "Speed = distance over time" are sentences of a worked answer.
    r"[\w.\[\]'\"]+ ?(?:[-+*/]?=|:=|<-) ?(?!.*(?:\b\d+|[A-Za-z]{2}) [A-Za-z]{3,}(?: |$))\S(?:.*[;)\]}\w'\"])?$",
    r"[\w.]+\(.*\)[;,{]?$|[\w.]+\($|.*[)\]}];$|.*[=(\[<].*;$",
)
_STATEMENT = re.compile(r"[ \t]*(?:" + "|".join(_STATEMENTS) + ")")
_COMMENT = re.compile(r"(?<=\S)\s+(?:#|//) .*$")
_LOOP = re.compile(r"[ \t]*(?:if|for|while|elif|with|while read|echo)\b.*[:\w]$")


def code_lines(lines: list[str]) -> list[bool]:
    """Which lines are code: indented blocks, and runs of lines that read like statements."""
    code = [False] * len(lines)
    in_list, after_blank = False, True
    for index, line in enumerate(lines):
        if not line.strip():
            after_blank = True
            continue
        if _INDENTED.match(line) and not in_list and (after_blank or code[index - 1]):
            code[index] = not _PROSE.fullmatch(line.strip())
        elif _LIST_LINE.match(line):
            in_list = True
        elif not line[0].isspace():
            in_list = False
        after_blank = False
    filled = [index for index, line in enumerate(lines) if line.strip()]
    statements = [_is_statement(lines[index]) for index in filled]
    for place, index in enumerate(filled):
        beside = statements[max(0, place - 1) : place] + statements[place + 1 : place + 2]
        code[index] = code[index] or (statements[place] and (any(beside) or _is_certain(lines[index])))
    _close_gaps(lines, code, filled)
    return code


def _is_statement(line: str) -> bool:
    return not _is_text(line) and _STATEMENT.match(_COMMENT.sub("", line.rstrip())) is not None


def _is_certain(line: str) -> bool:
    """Whether a line that reads like a statement is one even when it stands alone."""
    return line.rstrip().endswith((";", "{", "}")) or len(set(line) & set("(){}[]=;<>_\"'#")) >= 3


def _close_gaps(lines: list[str], code: list[bool], filled: list[int]) -> None:
    """Up to three lines between lines of code belong to the code unless they read like prose or a list."""
    last = -1
    for place, index in enumerate(filled):
        if not code[index]:
            continue
        gap = filled[last + 1 : place]
        if last >= 0 and len(gap) <= 3 and not any(_is_text(lines[each]) and not _LOOP.match(lines[each]) for each in gap):
            for each in gap:
                code[each] = True
        last = place


def _is_text(line: str) -> bool:
    return _LIST_LINE.match(line) is not None or _PROSE.fullmatch(line.strip()) is not None
