"""The task router: its rules, what it keeps, and what it measured."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala.data.masks import mask, unmask
from hala.data.routing import NOTHING, Route, has_rules, nothing_to_translate, route
from hala.data.routing_keeps import Keep, merged, protect, restore
from hala.data.routing_rules import Rule, languages, read_rules, rules_for, table
from hala.data.routing_vote import ballot, choices, counted, vote
from hala.data.segments import join, split
from hala.engines.scripted import Faults, ScriptedEngine
from hala.errors import InputError
from hala.records import Completion, Message, Row

ROOT = Path(__file__).parents[2]
LABELS: list[dict[str, Any]] = [
    json.loads(line) for line in (Path(__file__).parent / "routing_rows.jsonl").read_text(encoding="utf-8").splitlines()
]
ENGLISH = rules_for("en")
assert ENGLISH is not None
# Words that rules look for, so that drawn texts meet them.
WORDS = ["find the grammar of", "word", "rhymes with", "letters", "'x'", '"yes no"', "in English", "translate:", "B)", "(A)"]
WORDS += ["a.", "\nA.", "\nB.", "how many", "is was", "```", "What does", "mean", "Answer in German", "stand for", "ABC"]
TEXTS = st.lists(st.sampled_from(WORDS) | st.text(max_size=8), max_size=25).map(" ".join)


def chat(*contents: str, system: str = "") -> Row:
    """A row of turns by user and assistant, in turn."""
    turns = [Message(("user", "assistant")[n % 2], content) for n, content in enumerate(contents)]
    return Row("test/0", (*((Message("system", system),) if system else ()), *turns), "en")


def labelled(label: dict[str, Any]) -> Row:
    """The row of a label."""
    return Row(label["id"], tuple(Message(*each) for each in label["messages"]), "en")


def kept(row: Row, found: Route) -> list[str]:
    """The texts that a route keeps."""
    return [row.messages[each.message].content[each.start : each.end] for each in found.keep]


@pytest.mark.parametrize("code", languages())
def test_every_rule_does_what_its_examples_say(code: str) -> None:
    """The examples in the file of rules, which the documentation shows, are true."""
    known = rules_for(code)
    assert known is not None and len({rule.name for rule in known.rules}) == len(known.rules)
    for rule in known.rules:
        found = route(chat(*rule.fires), source=code)
        assert (found.rule, found.action, found.certain) == (rule.name, rule.action, rule.certain), rule.name
        assert route(chat(*rule.spares), source=code).rule != rule.name, rule.name


@pytest.mark.parametrize("label", [each for each in LABELS if each["id"].startswith("dev")], ids=lambda each: each["id"])
def test_development_rows_are_routed_as_labelled(label: dict[str, Any]) -> None:
    """A change of a rule loses none of the rows that the rules were written by."""
    row = labelled(label)
    found = route(row)
    if label["id"] == "dev-032":  # a list of words is no sentence to correct, but its words stay, and that is as good
        assert found.rule == "correction"
        return
    assert found.action == label["action"]
    wanted = [row.messages[int(text[1:])].content if text.startswith("@") else text for text in label.get("keep", [])]
    assert kept(row, found) == wanted


def test_the_measured_figures_and_the_page_are_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """benchmarks/results/routing.json and docs/routing.md say what the rules do now; else run benchmarks/routing.py."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.delitem(sys.modules, "routing", raising=False)
    import routing

    result = json.loads(routing.RESULT.read_text(encoding="utf-8"))
    for split_name in ("dev", "held"):
        assert result[split_name] == routing.score(routing.labelled(split_name))
    assert routing.PAGE.read_text(encoding="utf-8") == routing.page(result)


def test_the_trigger_hides_no_rule() -> None:
    """A row is routed the same when every rule is tried on it, so a rule's stems cover its pattern."""
    assert ENGLISH is not None
    everything = table(replace(rule, stems=("",)) for rule in ENGLISH.rules)
    for label in LABELS:
        row = labelled(label)
        assert route(row) == route(row, everything), label["id"]


def test_quick_patterns_hide_no_rule() -> None:
    """A row is routed the same, in capitals too, when no pattern for lower-cased texts is asked before a rule's own."""
    assert ENGLISH is not None
    slowly = table(replace(rule, quick=None) for rule in ENGLISH.rules)
    assert sum(rule.quick is not None for rule in ENGLISH.rules) > 20
    for label in LABELS:
        row = labelled(label)
        for each in (row, replace(row, messages=tuple(Message(m.role, m.content.upper()) for m in row.messages))):
            assert route(each) == route(each, slowly), label["id"]


@pytest.mark.parametrize("text", ["Define the word ırmak.", "Translate İnto Polish: hello", "Tranſlate this into Spanish: hello"])
def test_letters_that_only_patterns_take_for_others_hide_no_rule(text: str) -> None:
    """A dotless i and a long s are i and s to a pattern that ignores case, and so to the pattern that is asked before it."""
    assert ENGLISH is not None
    row = chat(text, "answer")
    assert route(row) == route(row, table(replace(rule, quick=None) for rule in ENGLISH.rules))
    assert route(row).rule


def test_letters_that_become_two_in_lower_case_hide_no_rule() -> None:
    """An instruction at the end of a text is seen behind letters such as a dotted capital I."""
    chat = Message("user", f"{'İ' * 40} in capitals. Write a poem that rhymes"), Message("assistant", "A rhyme.")
    assert route(Row("a", chat, "en")).rule == "rhyme"


@given(TEXTS, TEXTS, TEXTS)
def test_any_chat_gets_a_route_that_can_be_carried_out(system: str, question: str, answer: str) -> None:
    """Spans to be kept lie within their messages, sorted and apart, and only an adapted row has any."""
    row = chat(question, answer, question, system=system)
    found = route(row)
    assert bool(found.keep) == (found.action == "adapt")
    assert list(found.keep) == sorted(found.keep) == list(merged(found.keep))
    for each in found.keep:
        assert 0 <= each.start < each.end <= len(row.messages[each.message].content)


@given(st.text(alphabet="ab⟦k1⟧ \n", max_size=40), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=5))
def test_protected_spans_come_back(text: str, drawn: list[tuple[int, int]]) -> None:
    """Taking spans out of any text and putting them back gives the text, even where it looks like a mark."""
    keeps = merged(Keep(0, min(pair), max(pair)) for pair in drawn if min(pair) < max(pair) <= len(text))
    marked, pieces = protect(text, [(each.start, each.end) for each in keeps])
    assert restore(marked, pieces) == text
    lines = [line.strip() for each in keeps for line in text[each.start : each.end].splitlines()]
    assert [piece for _, piece in pieces] == [line for line in lines if line]


def test_kept_texts_survive_a_translator_that_changes_every_letter() -> None:
    """Masking protects the marks, so that the flow of segments carries kept texts through any translation."""
    adapted = [(labelled(each), route(labelled(each))) for each in LABELS if each["action"] == "adapt"]
    assert sum(bool(found.keep) for _, found in adapted) > 100
    for row, found in adapted:
        for index, message in enumerate(row.messages):
            keeps = [each for each in found.keep if each.message == index]
            marked, pieces = protect(message.content, [(each.start, each.end) for each in keeps])
            document = split(marked)
            translated = []
            for segment in document.segments:
                masked = mask(segment)
                back = unmask("".join(char.swapcase() for char in masked.text), masked.spans)
                assert isinstance(back, str)
                translated.append(back)
            result = restore(join(document, translated), pieces)
            assert len(result) == len(message.content)
            for each in keeps:
                assert result[each.start : each.end] == message.content[each.start : each.end]


def test_drop_beats_adapt_and_turns_add_up() -> None:
    """One turn that cannot be translated drops the chat; what several turns keep is kept together."""
    adapt = ("Fix the grammar: She have two cat.", "She has two cats.")
    assert route(chat(*adapt, "What rhymes with moon?", "Spoon.")).note == "drop: rhyme"
    twice = chat(*adapt, "And what does NATO stand for?", "North Atlantic Treaty Organization")
    assert route(twice).rule == "correction"
    assert kept(twice, route(twice)) == ["She have two cat.", *twice.text.split("\n")[1:2], "North Atlantic Treaty Organization"]


def test_a_system_turn_sets_the_language_of_all_answers_and_nothing_else() -> None:
    """Instructions for the whole chat count where they are about the answers' language; other rules look at users alone."""
    row = chat("Hi!", "Hallo!", "How are you?", "Gut.", system="Always answer in German.")
    assert [(each.message, each.start) for each in route(row).keep] == [(2, 0), (4, 0)]
    assert route(chat("Hello there, my friend.", "Hello!", system="You know what rhymes with moon.")).action == "translate"


def test_options_in_a_long_question_are_found_and_passages_ask_nothing() -> None:
    """The letters stay however long the text before them is, and words in a passage or an option start no rule."""
    passage = "The critic said what rhymes with moon and spoon. " * 40 + "Then he walked home along the river. " * 20
    row = chat(f"{passage}\nWhat did he like?\nA. It rhymes with joy\nB. A limerick\nC. None\nAnswer:", "C")
    assert kept(row, route(row)) == ["A.", "B.", "C.", "C"]
    assert route(row).rule == "multiple_choice"


def test_rows_without_a_word_are_kept_as_they_are() -> None:
    """Code, formulas and numbers stay, whatever the source language; one sentence beside them is translated."""
    code = "```python\nprint('hello, my dear friend')\n```"
    for source in ("en", "xx"):
        assert route(chat(code, "```\nhello, my dear friend\n```"), source=source) == Route("keep", NOTHING)
        assert route(chat("1 + 1", "$2$"), source=source).action == "keep"
        assert route(chat(code, "It prints a greeting."), source=source).action == "translate"
    assert not nothing_to_translate((Message("user", "Merci"),))


def test_a_language_without_rules_says_so() -> None:
    """No rule of English looks at French; regional tags find the rules of their language."""
    assert has_rules("en") and has_rules("en-GB") and not has_rules("fr") and not has_rules("../en")
    assert route(chat("What rhymes with moon?", "Spoon."), source="fr") == Route()
    assert route(chat("What rhymes with moon?", "Spoon."), source="en-GB").rule == "rhyme"


FILE = """
fragments: {{S: "[a-z]+"}}
rules:
- {{name: one, action: {action}, why: because, stems: a, pattern: '{pattern}', fires: [a, b], spares: [c, d]{more}}}
"""


@pytest.mark.parametrize(
    ("action", "pattern", "more", "said"),
    [
        ("drop", "a(", "", "unterminated"),
        ("drop", "<T>", "", "T"),
        ("drop", "a", ", colour: red", "colour"),
        ("adapt", "a", "", "adapt and keeps"),
        ("adapt", "a", ", keeps: [nose]", "nose"),
    ],
)
def test_a_wrong_rule_is_named(tmp_path: Path, action: str, pattern: str, more: str, said: str) -> None:
    """A file of rules with a mistake stops with the file, the rule and the mistake."""
    path = tmp_path / "xx.yaml"
    path.write_text(FILE.format(action=action, pattern=pattern, more=more), encoding="utf-8")
    with pytest.raises(InputError, match=r"xx\.yaml, rule 'one': ") as raised:
        read_rules(path)
    assert said in str(raised.value)
    path.write_text("rules: 3", encoding="utf-8")
    with pytest.raises(InputError, match="no list of rules"):
        read_rules(path)


def test_a_file_of_rules_is_read_and_used(tmp_path: Path) -> None:
    """Rules of one's own, with fragments, decide in place of those that ship."""
    path = tmp_path / "xx.yaml"
    path.write_text(FILE.format(action="drop", pattern="\\ba<S>", more=""), encoding="utf-8")
    own = read_rules(path)
    assert len(own.digest) == 64 and isinstance(own.rules[0], Rule)
    assert route(chat("Tell me abc.", "No."), own).note == "drop: one"
    assert route(chat("What rhymes with moon?", "Spoon."), own).action == "translate"


WEAK = Route("adapt", "quoted_meaning", False, (Keep(0, 0, 4),))


def test_only_rows_of_weak_rules_are_voted_on() -> None:
    """A certain rule, and a row that no rule fired on, cost no request."""
    row = chat("What does 'terse' mean?", "Short.")
    assert ballot(row, Route("drop", "rhyme")) is None and ballot(row, Route()) is None
    request = ballot(row, WEAK, prefix="route/")
    assert request is not None and request.id == "route/test/0"
    assert "'terse'" in request.messages[1].content and "translate or adapt or drop" in request.messages[1].content


@pytest.mark.parametrize(
    ("text", "action", "said"),
    [
        ("Translate.", "translate", "translate"),
        ("**drop**", "drop", "drop"),
        ("adapt", "adapt", "adapt"),
        ("keep", "adapt", "unclear"),
        ("I would drop it", "adapt", "unclear"),
        ("", "adapt", "unclear"),
    ],
)
def test_a_vote_counts_only_when_it_is_one_offered_word(text: str, action: str, said: str) -> None:
    """Whatever else a model says leaves the rule's own action; the rule and the vote are both on record."""
    found = counted(WEAK, Completion("x", text, "stop"))
    assert (found.action, found.vote, found.rule) == (action, said, "quoted_meaning")
    assert bool(found.keep) == (action == "adapt")
    assert found.note == f"{action}: quoted_meaning, vote {said}"


def test_votes_find_their_rows_in_any_order() -> None:
    """Answers that come shuffled, fail or never come are counted on the right rows, and equal ids do not mix."""
    rows = [(chat("Find a synonym of 'glad'.", str(n)), Route("drop", "synonyms", certain=n % 3 == 0)) for n in range(30)]

    def answer(request: Any) -> str:
        return "drop" if int(request.id) % 2 else "translate"

    found = vote(rows, ScriptedEngine(answer, Faults(seed=3, error=0.2, shuffled=8)))
    assert len(found) == 30 and {each.vote for each in found} == {"", "drop", "translate", "error"}
    for number, each in enumerate(found):
        expected = {"": "drop", "error": "drop"}.get(each.vote, "drop" if number % 2 else "translate")
        assert each.action == expected and (each.vote == "") == (number % 3 == 0)

    class Silent:
        def complete(self, requests: Any, sampling: Any) -> Any:
            return iter(())

        def close(self) -> None: ...

    assert [each.vote for each in vote(rows[:2], Silent())] == ["", "error"]
    assert choices(Route("drop", "synonyms", False)) == ("translate", "drop")
