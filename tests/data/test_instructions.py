"""The hand-written instructions that ship with hala: well-formed, unique, and faithful in their reference Arabic."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib.resources import files
from typing import Any

import pytest

KEYS = ["id", "split", "task", "topic", "messages"]
ROLES = {
    ("user", "assistant"),
    ("system", "user", "assistant"),
    ("user", "assistant", "user", "assistant"),
    ("system", "user", "assistant", "user", "assistant"),
}
# Earlier patterns win: what stands in a fence is not looked at again as inline code, a URL or a placeholder.
PROTECTED = {
    "fence": r"(?ms)^```.*?^```[ \t]*$",
    "display formula": r"(?s)\$\$.+?\$\$",
    "inline code": r"`[^`\n]+`",
    "formula": r"\\\(.+?\\\)|\$(?!\s)[^$\n]+?(?<!\s)\$(?!\d)",
    "tag": r"</?[a-z][a-z0-9]*(?: [^<>\n]*)?>",
    "address": r"https?://[^\s،؛,]*[^\s،؛,.)]|[\w.]+@[\w.]*\w",
    "placeholder": r"\{\{\w+\}\}|\{\w+\}|%[sd](?!\w)|\[[A-Z_]+\]",
}
MARKER = re.compile(r"^ *(#{1,6} |[-*] |\d+\. |> |\||```)?")


def read_rows() -> list[dict[str, Any]]:
    text = files("hala.data").joinpath("world/instructions.jsonl").read_bytes().decode("utf-8")
    return [json.loads(line) for line in text.splitlines()]


ROWS = read_rows()
HELDOUT = [row for row in ROWS if row["split"] == "heldout"]
TURNS = [(row["id"], ours, theirs) for row in HELDOUT for ours, theirs in zip(row["messages"], row["arabic"], strict=True)]


def spans(text: str) -> tuple[dict[str, Counter[str]], str]:
    """The protected spans of `text` by kind, and the text that is left without them."""
    found: dict[str, Counter[str]] = {}
    for kind, pattern in PROTECTED.items():
        found[kind] = Counter(re.findall(pattern, text))
        text = re.sub(pattern, " ", text)
    return found, text


def arabic_share(text: str) -> float:
    letters = [character for character in text if character.isalpha()]
    return sum("\u0600" <= letter <= "\u06ff" for letter in letters) / max(1, len(letters))


def test_file_is_plain_utf8_lines() -> None:
    """A byte-order mark, carriage returns or a missing last newline would break line readers and digests."""
    raw = files("hala.data").joinpath("world/instructions.jsonl").read_bytes()
    assert not raw.startswith(b"\xef\xbb\xbf")
    assert b"\r" not in raw
    assert raw.endswith(b"}\n")
    assert b"\n\n" not in raw


def test_schema_and_key_order() -> None:
    """Every line has the promised keys in the promised order, with `arabic` exactly in the held-out split."""
    for row in ROWS:
        expected = [*KEYS, "arabic"] if row["split"] == "heldout" else KEYS
        assert list(row) == expected, row["id"]
        assert row["split"] in {"train", "heldout"}
        assert row["task"] in {"translate", "keep", "adapt", "drop"}
        assert re.fullmatch(r"[a-z]+", row["topic"]), row["id"]
        for message in [*row["messages"], *row.get("arabic", [])]:
            assert list(message) == ["role", "content"], row["id"]
            assert message["content"] and message["content"] == message["content"].strip(), row["id"]


def test_counts() -> None:
    """The sizes that the documentation and the scores rely on do not drift."""
    assert Counter(row["split"] for row in ROWS) == {"train": 240, "heldout": 60}
    assert [row["id"] for row in ROWS] == [f"hand/{number:03d}" for number in range(1, 301)]
    assert {row["task"] for row in HELDOUT} == {"translate"}
    tasks = Counter(row["task"] for row in ROWS)
    assert tasks["keep"] >= 10 and tasks["adapt"] >= 5 and tasks["drop"] >= 5
    assert 20 <= len(ROWS) - tasks["translate"] <= 30
    assert sum(len(row["messages"]) > 2 for row in ROWS) >= 12


def test_roles() -> None:
    """Conversations alternate, end with the assistant, and the Arabic has the same turns."""
    for row in ROWS:
        roles = tuple(message["role"] for message in row["messages"])
        assert roles in ROLES, row["id"]
        if "arabic" in row:
            assert tuple(message["role"] for message in row["arabic"]) == roles, row["id"]


def test_no_duplicates() -> None:
    """No id and no opening question occurs twice, and none leaks from train into held-out, whatever its case and punctuation."""
    openings = [next(message["content"] for message in row["messages"] if message["role"] == "user") for row in ROWS]
    plain = [" ".join(re.findall(r"\w+", opening.lower())) for opening in openings]
    assert len({row["id"] for row in ROWS}) == len(ROWS)
    assert [question for question, count in Counter(plain).items() if count > 1] == []
    arabic = [message["content"] for row in HELDOUT for message in row["arabic"]]
    assert len(set(arabic)) == len(arabic)


def test_length_of_answers() -> None:
    """Answers stay short enough for tiny models and for reading: at most 14 non-empty lines."""
    for row in ROWS:
        for message in row["messages"]:
            assert sum(bool(line.strip()) for line in message["content"].split("\n")) <= 14, row["id"]


@pytest.mark.parametrize("kind", PROTECTED)
def test_protected_spans_survive(kind: str) -> None:
    """Code, formulas, tags, addresses and placeholders are the same multiset in English and in Arabic, and occur at all."""
    total = 0
    for name, ours, theirs in TURNS:
        expected = spans(ours["content"])[0][kind]
        assert spans(theirs["content"])[0][kind] == expected, name
        total += expected.total()
    assert total > 0


def test_numbers_survive() -> None:
    """Numbers, dates and times outside protected spans are the same multiset in Western digits."""
    number = re.compile(r"[0-9]+(?:[.,:/][0-9]+)*")
    for name, ours, theirs in TURNS:
        english, arabic = spans(ours["content"])[1], spans(theirs["content"])[1]
        assert Counter(number.findall(english)) == Counter(number.findall(arabic)), name
        assert not re.search("[\u0660-\u0669\u06f0-\u06f9]", arabic), name


def test_structure_survives() -> None:
    """Both sides have the same lines: blank where blank, and the same heading, list, quote and table markers."""
    for name, ours, theirs in TURNS:
        english, arabic = ours["content"].split("\n"), theirs["content"].split("\n")
        assert len(english) == len(arabic), name
        for left, right in zip(english, arabic, strict=True):
            assert MARKER.match(left).group() == MARKER.match(right).group(), (name, left)  # type: ignore[union-attr]
            assert bool(left.strip()) == bool(right.strip()), (name, left)
            assert left.count("|") == right.count("|") and left.count("**") == right.count("**"), (name, left)


def test_json_answers_keep_their_keys() -> None:
    """An answer that is JSON stays JSON with the same keys."""
    checked = 0
    for name, ours, theirs in TURNS:
        if ours["content"].startswith('{"'):
            assert list(json.loads(ours["content"])) == list(json.loads(theirs["content"])), name
            checked += 1
    assert checked > 0


def test_arabic_is_arabic() -> None:
    """Outside protected spans most letters are Arabic, and no Latin comma, semicolon or question mark slips in after Arabic."""
    for name, _, theirs in TURNS:
        rest = spans(theirs["content"])[1]
        assert arabic_share(rest) > 0.5, name
        assert not re.search("[\u0600-\u06ff][,;?]", rest), name


def test_code_parses() -> None:
    """Every fenced Python block compiles and every fenced JSON block loads."""
    seen = set()
    for row in ROWS:
        for message in row["messages"]:
            for language, code in re.findall(r"(?ms)^```(\w+)\n(.*?)^```", message["content"]):
                seen.add(language)
                if language == "python":
                    compile(code, row["id"], "exec")
                elif language == "json":
                    json.loads(code)
    assert seen >= {"python", "json"}


def test_only_example_addresses() -> None:
    """Addresses point to example.org alone: nothing here can lead to a real site or person."""
    text = "\n".join(message["content"] for row in ROWS for message in [*row["messages"], *row.get("arabic", [])])
    hosts = re.findall(r"https?://([\w.-]+)", text) + re.findall(r"[\w.]@([\w.-]+\w)", text)
    assert hosts
    assert [host for host in hosts if host != "example.org" and not host.endswith(".example.org")] == []
