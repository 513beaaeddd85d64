"""Conversations as texts and back: all turns or none, roles kept, policies and routes obeyed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hala.data.conversations import Turns, assemble, compared, prepare
from hala.data.routing import Route
from hala.data.routing_keeps import Keep
from hala.data.translating import Text, Translated
from hala.records import KEPT, Message, Row, Verdict, rejected

CHAT = (
    Message("system", "Be brief."),
    Message("user", "What is 2+2?"),
    Message("assistant", "<think>\nTwo and two.\n</think>\nIt is 4."),
    Message("tool", '{"ok": true}'),
    Message("assistant", "Done."),
)
ROW = Row("r/0", CHAT, "en")


def translated(texts: tuple[Text, ...]) -> list[Translated]:
    """Every text in capitals but for its kept ranges."""
    found = []
    for text in texts:
        result = text.text.upper()
        for start, end in text.keep:
            result = result[:start] + text.text[start:end] + result[end:]
        found.append(Translated(result, KEPT))
    return found


DEFAULT = Turns()


def through(row: Row, turns: Turns = DEFAULT, route: Route | None = None) -> tuple[Row, Verdict]:
    """The row after a translation into capitals."""
    prepared = prepare(row, "ar", turns, route)
    return assemble(prepared, translated(prepared.texts), "ar")


def test_tools_stay_and_the_rest_is_translated_by_default() -> None:
    """What a tool answered is data; roles, order and the source conversation are kept."""
    row, verdict = through(ROW)
    assert verdict.kept and row.lang == "ar" and row.original == CHAT
    assert [m.role for m in row.messages] == [m.role for m in CHAT]
    assert [m.content for m in row.messages] == [
        "BE BRIEF.", "WHAT IS 2+2?", "<THINK>\nTWO AND TWO.\n</THINK>\nIT IS 4.", '{"ok": true}', "DONE.",
    ]  # fmt: skip


def test_policies_keep_and_drop() -> None:
    """Thinking can stay in its language or go, system turns too; original and messages stay parallel."""
    row, _ = through(ROW, Turns(system="drop", tool="drop", thinking="keep"))
    assert [m.role for m in row.messages] == ["user", "assistant"] == [m.role for m in row.original or ()]
    assert row.messages[1].content == "DONE."
    row, _ = through(ROW, Turns(thinking="drop", system="keep", tool="translate"))
    assert [m.content for m in row.messages] == ["Be brief.", "WHAT IS 2+2?", "IT IS 4.", '{"OK": TRUE}', "DONE."]


CALL = ("assistant", '<tool_call>\n{"name": "f"}\n</tool_call>')
ASKED, RESULT, ANSWER = ("user", "Where?"), ("tool", "31"), ("assistant", "There.")


@pytest.mark.parametrize(
    ("turns", "left"),
    [
        ([ASKED, CALL, RESULT, ANSWER], [ASKED, ANSWER]),
        ([ASKED, CALL, RESULT, RESULT, CALL, RESULT, ANSWER, ASKED, ANSWER], [ASKED, ANSWER, ASKED, ANSWER]),
        ([ASKED, ("assistant", "Let me look."), RESULT, ANSWER], [ASKED, ANSWER]),
        ([ASKED, ANSWER, ASKED], [ASKED, ANSWER, ASKED]),
        ([ASKED, CALL], "no answer"),
        ([ASKED, CALL, RESULT], "no answer"),
        ([RESULT], "no answer"),
        ([ASKED, CALL, RESULT, ASKED, ANSWER], "in a row"),
    ],
)
def test_calls_go_with_what_tools_said(turns: list[tuple[str, str]], left: list[tuple[str, str]] | str) -> None:
    """Without tools no call dangles and roles take turns, or the row is rejected with the reason."""
    prepared = prepare(Row("r", tuple(Message(*turn) for turn in turns), "en"), "ar", Turns(tool="drop"))
    if isinstance(left, str):
        assert prepared.verdict is not None and prepared.verdict.reason == "turns" and left in prepared.verdict.detail
    else:
        assert prepared.verdict is None and [(m.role, m.content) for m in prepared.row.messages] == left


def test_an_answer_of_nothing_but_thinking_is_not_dropped_to_nothing() -> None:
    """Where thinking is dropped and nothing else was said, the row is rejected: no turn is ever empty."""
    row = Row("r", (Message(*ASKED), Message("assistant", "<think>Well, that is")), "en")
    prepared = prepare(row, "ar", Turns(thinking="drop"))
    assert prepared.verdict is not None and prepared.verdict.reason == "turns" and prepared.row == row


def test_one_failed_turn_fails_the_conversation() -> None:
    """Never half a conversation: the row comes back as it was, with the first reason."""
    prepared = prepare(ROW, "ar", Turns())
    results = translated(prepared.texts)
    results[2] = Translated("", rejected("copy", "why"))
    assert assemble(prepared, results, "ar") == (ROW, rejected("copy", "why"))


def test_routes_are_followed_and_noted() -> None:
    """A dropped row is a rejection with its rule, a kept one stays as it is, an adapted one keeps its spans; each says so."""
    row, verdict = through(ROW, route=Route("drop", "rhyme"))
    assert (verdict.reason, verdict.detail, row.messages) == ("untranslatable", "drop: rhyme", CHAT)
    row, verdict = through(ROW, route=Route("keep", "code_only"))
    assert verdict.kept and row.messages == CHAT and row.original is None and row.lang == "en"
    assert row.notes == {"route": "keep: code_only"}
    row, verdict = through(ROW, route=Route("adapt", "quoted", keep=(Keep(1, 8, 11), Keep(4, 0, 5))))
    assert verdict.kept and (row.messages[1].content, row.messages[4].content) == ("WHAT IS 2+2?", "Done.")
    assert row.notes == {"route": "adapt: quoted", "kept": "1:8-11 3 4:0-5"}


def test_what_was_kept_is_not_compared() -> None:
    """Kept turns are left out and kept spans masked on both sides, wherever the translation has them; a changed turn counts."""
    row, _ = through(ROW, Turns(system="keep", thinking="keep"), Route("adapt", "r", keep=(Keep(1, 0, 4), Keep(1, 5, 7))))
    assert row.notes["kept"] == "0 1:0-4 1:5-7 2:0-30 3"
    assert compared(row) == [
        ("{_} {_} 2+2?", "{_} {_} 2+2?"),
        ("{_}\nIt is 4.", "{_}\nIT IS 4."),
        ("Done.", "DONE."),
    ]
    changed = replace(row, messages=(Message("system", "X"), *row.messages[1:]), notes={"kept": "0 7 x:1 1:2"})
    assert compared(changed)[0] == ("Be brief.", "X")
    assert compared(replace(row, original=None)) == []


def test_what_tools_said_needs_no_note() -> None:
    """Rows of other makers say nothing of what they kept: the same tool or system turn, and the same thinking, are no copies."""
    row = Row("r", (*CHAT[:2], Message("assistant", "<think>\nTwo and two.\n</think>\nX"), *CHAT[3:]), "ar", original=CHAT)
    assert compared(row) == [("What is 2+2?",) * 2, ("{_}\nIt is 4.", "{_}\nX"), ("Done.",) * 2]


def test_ladder_is_noted_when_a_first_try_was_not_enough() -> None:
    """What it took is kept with the row, so that it can be looked at."""
    prepared = prepare(ROW, "ar", Turns())
    results = translated(prepared.texts)
    results[0] = Translated("X", KEPT, 3, 2, "again")
    results[1] = Translated("Y", KEPT, 3, 4, "other")
    assert assemble(prepared, results, "ar")[0].notes == {"ladder": "again+other", "kept": "3"}


@pytest.mark.parametrize(("lang", "original"), [("ar", None), ("en", CHAT)])
def test_translated_rows_are_decided_at_once(lang: str, original: tuple[Message, ...] | None) -> None:
    """A row in the target language, or with a source of its own, is not translated again."""
    prepared = prepare(Row("r", CHAT, lang, original=original), "ar", Turns())
    assert prepared.texts == () and prepared.verdict is not None and prepared.verdict.reason == "already_translated"


@pytest.mark.parametrize(
    ("asked", "answer", "target", "reads"),
    [
        ("ما هي عاصمة مصر؟ أجب في جملة واحدة.", "عاصمة مصر هي القاهرة، وهي من أكبر المدن في أفريقيا.", "ar", True),
        ("ما هي عاصمة مصر؟ أجب في جملة واحدة.", "The capital of Egypt is Cairo.", "ar", False),
        ("What does في البيت من mean?", "It means: in the house of.", "ar", False),
        ("Thủ đô của Việt Nam là gì?", "Thủ đô của Việt Nam là Hà Nội.", "vi", False),
        ("مصر؟", "القاهرة.", "ar", False),
    ],
)
def test_rows_that_read_as_the_target_are_not_asked_for(asked: str, answer: str, target: str, reads: bool) -> None:
    """A row that names no language is not translated into the one it is written in, where its script shows that."""
    prepared = prepare(Row("r", (Message("user", asked), Message("assistant", answer)), "en"), target, Turns())
    assert (prepared.verdict is not None and prepared.verdict.reason == "already_translated") == reads
