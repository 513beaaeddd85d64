"""Which lines of a text are code although no fence says so: indented blocks, and runs of lines that read like statements.

>>> from hala.data.codelines import code_lines
>>> code_lines(["Try this:", "x = compute(3)", "print(x)", "It prints the result of the call."])
[False, True, True, False]
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from hala.data.markdown import blocks

_LIST_LINE = re.compile(r"[ \t>]*(?:[-*+•]|\d{1,9}[.)])[ \t]")
_ITEM = re.compile(r"[^\W\d_][\w'’,.\-]*(?:[ ][\w'’,.\-\"“”]+)+[.!?:;,…]?")
_PROSE = re.compile(r"[^\W\d_][\w'’,\-]*+(?:[ ][\w'’,\-\"“”]++){3,}+[.!?:;,…]?")
_TEXT = re.compile(rf"{_LIST_LINE.pattern}|{_PROSE.pattern}\Z")
# A sign without which no line of a text can be a statement; every alternative begins with a literal, which makes the search fast.
_SIGN = re.compile(
    r"=|;|\{|\}|\((?<=\w\()|\n[ \t]*(?:@\w|//|/\*|\*/|#!|<\?php|>>> |\$ \w|\"[^\"\n]{1,60}\" ?:"
    r"|import |from |using |package |else|try|except|elif |def |class |return |echo |SELECT |DELETE |DROP |WHERE |JOIN |FROM "
    r"|sudo |pip|np[mx] |yarn |git |docker |kubectl |apt|brew |cd |mkdir |chmod )"
)
# How one line of a program begins, in the languages that instruction data holds most.
_STATEMENTS = (
    r"#include\b|#!/|<\?php|//|/\*|\*/|\}|\{$|>>> |\$ \w",
    r"import [\w.{*]+(?: as \w+|.* from .*)?;?$|from [\w.]+ import |using [\w.]+;$|package [\w.]+;?$",
    r"(?:async )?def \w+[?!]?(?:\(|$)|class \w+(?:[^.]*[:{]| < \w+)?$|@\w+(?:\.\w+)*(?:\(.*\))?$",
    r"elif .*:$|else ?[:{]|try ?[:{]|except\b.*:$|(?:async |export |await |yield |raise |assert |new )\w+.*[({;)]$",
    r"(?:if|for|while|with|switch|catch)\b.*[:{]$|return\b.*;$|return [^ ]+(?: [-+*/%] [^ ]+)*$",
    r"(?:const|let|var|auto|int|float|double|char|bool|string|String|public|private|static|void|function)\b.*[;{(=]",
    r"(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE|ALTER TABLE|DROP TABLE)\b.*[;*=(,]",
    r"(?:(?:LEFT |RIGHT |INNER |OUTER )?JOIN|WHERE|GROUP BY|ORDER BY|HAVING|LIMIT|VALUES|FROM) [\w(].*$",
    r"echo [\"'$].*$|(?:if|while|elif) \[\[? .*$|for \w+ in .*; ?do$|for \(\(.*$|local \w+=",
    r"(?:fi|done|esac|then|do)\b(?: ?[<>|].*)?$|(?:pass|break|continue|end)$|\w+ :: \S",
    r"(?:sudo|pip3? install|npm (?:install|run|start|i)|npx|yarn (?:add|install)|brew install|apt(?:-get)? (?:install|update)"
    r"|git (?:clone|add|commit|push|pull|init|checkout|remote)|docker (?:run|build|pull|exec|compose)"
    r"|kubectl (?:get|apply|run|create|logs)) \S",
    r"cd [\w./~-]+$|mkdir [\w./~-]+$|chmod [-+\w]+ \S+$",
)
_KEYWORD = re.compile("|".join(_STATEMENTS))
# An assignment; "Speed = 5 miles" and "Speed = distance over time" are sentences of a worked answer.
_ASSIGNED = re.compile(
    r"[@$]?[a-z_][\w.]* ?[-+*/]?= ?(?:[\[{\"']|lambda |[\w.]+\().*[)\]}\"'\w;]$"
    r"|[@$]{0,2}[\w.\[\]'\"]+ ?(?:[-+*/]?=|:=|<-) ?(?!.*(?:\b\d+|[A-Za-z]{2}) [A-Za-z]{3,}(?: |$))\S(?:.*[;)\]}\w'\"])?$"
)
_CALLED = re.compile(r"[\w.]+\((?:.*\)[;,{:]?)?$")
_KEYED = re.compile(r"\"[^\"]{1,60}\" ?: ?(?:[\"\[{\d-]|true|false|null)|[\w-]+ ?: ?[^;]+;$")
_ASSIGNMENT = re.compile(r"[@$]?[a-z_][\w.]* = \S")
# In capitals, these read as SQL however much like a sentence they look.
_SQL = re.compile(
    r"SELECT (?:.* FROM |[\w*.]+(?:, ?[\w.]+)*$)|INSERT INTO |UPDATE \w+ SET |DELETE FROM |(?:CREATE|ALTER|DROP) (?:TABLE|INDEX) "
    r"|FROM \w+$|WHERE \w+(?:\.\w+)? (?:[=<>]|(?:NOT )?(?:IN|LIKE|BETWEEN|IS)\b)|(?:GROUP|ORDER) BY \w|HAVING \w+\(|LIMIT \d"
)
_CERTAIN = re.compile(
    r"(?:#!/|#include\b|<\?php|(?:async )?def \w+\(.*\).*:|class \w+\(.*\):|import \w+(?:[ .]|$)|from [\w.]+ import "
    rf"|{_SQL.pattern}|\$ [a-z]|>>> |\w+ = lambda |sudo |pip3? install|npm |npx |git |docker |kubectl )"
)
_PAREN = re.compile(r"[=(\[<)\]}]")
_SPECIAL = frozenset("(){}[]=;<>_\"'#")
_COMMENT = re.compile(r"(?<=\S)\s+(?:#|//) .*$")
_LOOP = re.compile(r"(?:if|for|while|elif|with|while read|echo)\b.*[:\w]$")
_SENTENCE = re.compile(r"[^\W\d_][\w'’]+ [^\W\d_][\w'’]+ [^\W\d_][\w'’]+|^[A-Z][a-z]+ [a-z]{2,} ")
_SENTENCE_END = re.compile(r"[^\W\d_]{2}[.:!?]\Z")
_CODE_CHARACTER = re.compile(r"[=;{}()\[\]<>|$\\]")
# A worked answer: the note of its calculator, a number of things.
_CALCULATION = re.compile(r"<<[^<>\s]*\d>>")
_COUNTED = re.compile(r"\d [a-z]{3,}\.?\Z")
_COMMENT_OPENER = re.compile(r"/\*|[rRfFuUbB]?(?:\"\"\"|''')")
_LINE_COMMENT = re.compile(r"(?:#(?!#)|//|--|\*) ?\S")


def code_lines(lines: Sequence[str], indented: Sequence[tuple[int, int]] | None = None) -> list[bool]:
    """Which lines are code. `indented`: the first line of each indented block and the one after its last, where known already."""
    code = [False] * len(lines)
    if indented is None:
        indented = [(block.start, block.end) for block in blocks(lines) if block.kind == "indented"]
    for start, end in indented:
        _mark_indented(lines, code, start, end)
    if True not in code and not _SIGN.search("\n" + "".join(lines)):
        return code
    bare = [line.strip() for line in lines]
    filled = [index for index, line in enumerate(bare) if line]
    _mark_statements(lines, bare, code, filled)
    if any(code) and not all([code[index] for index in filled]):
        _close_comments(bare, code, filled)
        _close_gaps(bare, code, filled)
        _spread(lines, bare, code)
        _close_program(bare, code, filled)
    return code


def _mark_indented(lines: Sequence[str], code: list[bool], start: int, end: int) -> None:
    """Of an indented block, the stretches between blank lines that are code: quotations and lists are set in like this too."""
    for is_blank, group in groupby(range(start, end), lambda index: lines[index].isspace()):
        stretch = list(group)
        if not is_blank and _is_code([lines[index].strip() for index in stretch]):
            code[stretch[0] : stretch[-1] + 1] = [True] * len(stretch)


def _mark_statements(lines: Sequence[str], bare: list[str], code: list[bool], filled: list[int]) -> None:
    """A line that reads like a statement is code when one beside it does too, or when it cannot be anything else."""
    statements = [code[index] or _is_statement(bare[index]) for index in filled]
    last = len(filled) - 1
    for place in range(last):
        if statements[place + 1] and not statements[place]:
            # "for each in items:" could be prose, if nothing were set in below it.
            opens = _LOOP.match(bare[filled[place]]) is not None
            statements[place] = opens and _depth(lines[filled[place + 1]]) > _depth(lines[filled[place]])
    for place, index in enumerate(filled):
        if statements[place] and not code[index]:
            beside = (place > 0 and statements[place - 1]) or (place < last and statements[place + 1])
            code[index] = beside or _is_certain(bare[index])


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _is_code(block: list[str]) -> bool:
    return any(map(_is_statement, block)) or 2 * sum(map(_is_indented_text, block)) < len(block)


def _is_indented_text(line: str) -> bool:
    marker = _LIST_LINE.match(line)
    return (_ITEM if marker else _PROSE).fullmatch(line, marker.end() if marker else 0) is not None


def _is_statement(line: str) -> bool:
    if "# " in line or "// " in line:
        line = _COMMENT.sub("", line)
    if line[0].isupper() and _SQL.match(line):
        return True
    last = line[-1]
    found = (
        last == "{"
        or (last == ";" and _PAREN.search(line) is not None)
        or ("=" in line and _ASSIGNED.match(line) is not None)
        or ("(" in line and _CALLED.match(line) is not None)
        or (":" in line and _KEYED.match(line) is not None)
        or _KEYWORD.match(line) is not None
    )
    return found and not _is_text(line)


def _is_certain(line: str) -> bool:
    """Whether a line that reads like a statement is one even when it stands alone."""
    return line[-1] in ";{}" or _CERTAIN.match(line) is not None or len(_SPECIAL.intersection(line)) >= 3


def _close_comments(bare: list[str], code: list[bool], filled: list[int]) -> None:
    """Comments and documentation strings of several lines belong to the code that they stand in or before."""
    closer = ""
    inside: list[int] = []
    for index in filled:
        line = bare[index]
        if closer:
            inside.append(index)
            if closer in line:
                for each in inside:
                    code[each] = True
                closer = ""
        elif line[0] in "/\"'rRfFuUbB" and (opener := _COMMENT_OPENER.match(line)):
            closer = "*/" if opener[0].startswith("/") else opener[0][-3:]
            if closer in line[opener.end() :]:
                code[index] = True
                closer = ""
            inside = [index]


def _close_gaps(bare: list[str], code: list[bool], filled: list[int]) -> None:
    """Up to three lines between lines of code belong to the code unless they read like prose or a list."""
    last = -1
    for place, index in enumerate(filled):
        if not code[index]:
            continue
        gap = filled[last + 1 : place]
        if last >= 0 and 0 < len(gap) <= 3 and not any([_is_outside(bare[each]) for each in gap]):
            for each in gap:
                code[each] = True
        last = place


def _is_outside(line: str) -> bool:
    return line[-1] != ";" and _is_text(line) and not _LOOP.match(line)


def _spread(lines: Sequence[str], bare: list[str], code: list[bool]) -> None:
    """A line right above or below code, with no blank line between, is code too when it is a comment or holds code's signs."""
    for index in range(1, len(lines)):
        if code[index - 1] and not code[index] and bare[index] and bare[index - 1]:
            set_in = bare[index - 1][-1] in ":{(," and _depth(lines[index]) > _depth(lines[index - 1])
            code[index] = _belongs(bare[index]) or (set_in and not _is_text(bare[index]))
    for index in range(len(lines) - 2, -1, -1):
        if code[index + 1] and not code[index] and bare[index] and bare[index + 1]:
            code[index] = _belongs(bare[index])


def _belongs(line: str) -> bool:
    if _LIST_LINE.match(line):
        return False
    if line[-1] in ";{}":
        return True
    if _is_text(line):
        return False
    if _LINE_COMMENT.match(line) or _is_statement(line) or _ASSIGNMENT.match(line):
        return True
    return line[-1] not in ":." and _CODE_CHARACTER.search(line) is not None and not _SENTENCE.search(line)


def _close_program(bare: list[str], code: list[bool], filled: list[int]) -> None:
    """In a text that begins with code and is mostly code, a line is code unless it is a sentence, an item or a heading."""
    if not code[filled[0]]:
        return
    script = bare[filled[0]].startswith(("#!", "<?php", "#include"))
    counted = [index for index in filled if not _LINE_COMMENT.match(bare[index])]
    if not script and 5 * sum([code[index] for index in counted]) < 3 * len(counted):
        return
    for index in filled:
        if code[index]:
            continue
        line = bare[index]
        if _LINE_COMMENT.match(line):
            code[index] = not _LIST_LINE.match(line)
        elif not _is_text(line) and not _SENTENCE_END.search(line):
            code[index] = script or _SENTENCE.search(line) is None


def _is_text(line: str) -> bool:
    signs = line[0].isalpha() and ("(" in line or "=" in line or "{" in line)  # neither an item nor words alone
    if (not signs and _TEXT.match(line) is not None) or ("<<" in line and _CALCULATION.search(line) is not None):
        return True
    return (line[-1].islower() or line[-1] == ".") and _COUNTED.search(line[-20:]) is not None
