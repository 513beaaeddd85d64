"""How well the task router sorts: on rows labelled by hand, and how often each of its rules fires on real instruction sets.

    .venv/bin/python benchmarks/routing.py --data PATH    # with dolly, gpteacher, gsm8k, mmlu_en; without --data, labels only
    .venv/bin/python benchmarks/routing.py --page         # write docs/routing.md again from the committed JSON

The labels are in tests/data/routing_rows.jsonl: `dev` rows were looked at while the rules were written, `held` rows were not.
Of real rows that a rule fired on, benchmarks/routing_read.json says by id which were read by eye, and whether the rule was right.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from record import RESULTS, ROOT, machine

from hala.data.routing import NOTHING, Route, route
from hala.data.routing_rules import languages, rules_for
from hala.evals.statistics import wilson
from hala.records import Message, Row

ROWS = ROOT / "tests" / "data" / "routing_rows.jsonl"
READ = ROOT / "benchmarks" / "routing_read.json"
PAGE = ROOT / "docs" / "routing.md"
RESULT = RESULTS / "routing.json"
ACTIONS = ("translate", "adapt", "keep", "drop")
Labelled = tuple[Row, dict[str, Any]]


def labelled(split: str) -> list[Labelled]:
    """The rows of one split with their labels: action, task, and the texts that are to be kept."""
    labels = [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()]
    return [
        (Row(label["id"], tuple(Message(*each) for each in label["messages"]), "en"), label)
        for label in labels
        if label["id"].startswith(split)
    ]


def kept(row: Row, found: Route) -> list[str]:
    """The texts that the route keeps."""
    return [row.messages[each.message].content[each.start : each.end] for each in found.keep]


def wanted(row: Row, label: dict[str, Any]) -> list[str]:
    """The texts that the label keeps; `@1` stands for the whole message 1."""
    return [row.messages[int(text[1:])].content if text.startswith("@") else text for text in label.get("keep", [])]


def share(hits: int, n: int) -> dict[str, Any]:
    """A proportion with its Wilson interval."""
    low, high = wilson(hits, n) if n else (0.0, 1.0)
    return {"right": hits, "of": n, "low": round(low, 4), "high": round(high, 4)}


def score(rows: list[Labelled]) -> dict[str, Any]:
    """Precision and recall by action, precision by rule, recall by task, and how many adapted rows keep just the right texts."""
    routes = [(row, label, route(row)) for row, label in rows]
    right = [(row, label, found) for row, label, found in routes if found.action == label["action"]]
    said, both = (Counter(found.action for *_, found in each) for each in (routes, right))
    is_so = Counter(label["action"] for _, label, _ in routes)
    rules, rules_right = (Counter(found.rule for *_, found in each if found.rule) for each in (routes, right))
    tasks, tasks_right = (
        Counter(label["task"] for _, label, _ in each if label["action"] != "translate") for each in (routes, right)
    )
    adapted = [(row, label, found) for row, label, found in right if found.action == "adapt"]
    return {
        "rows": len(rows),
        "precision": {action: share(both[action], said[action]) for action in ACTIONS},
        "recall": {action: share(both[action], is_so[action]) for action in ACTIONS},
        "rules": {rule: share(rules_right[rule], n) for rule, n in sorted(rules.items())},
        "tasks": {task: share(tasks_right[task], n) for task, n in sorted(tasks.items())},
        "kept": share(sum(kept(row, found) == wanted(row, label) for row, label, found in adapted), len(adapted)),
        "wrong": sorted(label["id"] for _, label, found in routes if found.action != label["action"]),
    }


def dolly(data: Path) -> Iterator[Row]:
    for line in (data / "dolly" / "dolly_6400.jsonl").open(encoding="utf-8"):
        row = json.loads(line)
        yield _row(str(row["id"]), row["instruction"], row["response"])


def gpteacher(data: Path) -> Iterator[Row]:
    with gzip.open(data / "gpteacher" / "codegen-instruct.json.gz") as file:
        for number, row in enumerate(json.load(file)):
            yield _row(str(number), "\n\n".join(filter(None, (row["instruction"], row["input"]))), row["response"])


def gsm8k(data: Path) -> Iterator[Row]:
    for name in ("train", "test"):
        for number, line in enumerate((data / "gsm8k" / f"{name}.jsonl").open(encoding="utf-8")):
            row = json.loads(line)
            yield _row(f"{name}/{number}", row["question"], row["answer"])


def mmlu_en(data: Path) -> Iterator[Row]:
    for path in sorted((data / "mmlu_en").rglob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for number, (question, *options, answer) in enumerate(list(csv.reader(file))[1:], 1):
                lines = [f"{letter}. {option}" for letter, option in zip("ABCD", options[-4:], strict=True)]
                yield _row(f"{path.stem}/{number}", "\n".join((question, *lines, "Answer:")), "ABCD"[int(answer)])


def _row(name: str, question: str, answer: str) -> Row:
    return Row(name, (Message("user", question), Message("assistant", answer)), "en")


SETS: dict[str, Callable[[Path], Iterator[Row]]] = {"dolly": dolly, "gpteacher": gpteacher, "gsm8k": gsm8k, "mmlu_en": mmlu_en}


def fired(rows: list[Row], read: dict[str, Any]) -> dict[str, Any]:
    """How often each rule fires on real rows, what reading some of them said, and processor seconds of a row."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        routes = [route(row) for row in rows]
        seconds.append(time.process_time() - start)
    rules: dict[str, Any] = {}
    for row, found in zip(rows, routes, strict=True):
        if found.rule:
            rule = rules.setdefault(f"{found.action} {found.rule}", {"fired": 0, "read": 0, "right": 0})
            rule["fired"] += 1
            if row.id in read and read[row.id][0] == f"{found.action} {found.rule}":
                rule["read"] += 1
                rule["right"] += read[row.id][1]
    return {
        "rows": len(rows),
        "characters": round(sum(len(row.text) for row in rows) / len(rows)),
        "microseconds": round(min(seconds) / len(rows) * 1e6, 1),
        "actions": dict(Counter(found.action for found in routes)),
        "rules": dict(sorted(rules.items(), key=lambda item: -item[1]["fired"])),
        **({"options": _options(rows, routes)} if rows[0].messages[0].content.endswith("Answer:") else {}),
    }


def _options(rows: list[Row], routes: list[Route]) -> dict[str, Any]:
    """Of the rows routed by their options, how many keep exactly the letters that this script put there."""
    told = [(row, found) for row, found in zip(rows, routes, strict=True) if found.rule == "multiple_choice"]
    marks = [f"{letter}." for letter in "ABCD"]
    return share(sum(kept(row, found) == [*marks, row.messages[1].content] for row, found in told), len(told))


def sample(data: Path, count: int) -> Iterator[str]:
    """Rows that a rule fired on, a seeded sample of each rule, to be read by eye and noted in routing_read.json."""
    for name, reader in SETS.items():
        found: dict[str, list[Row]] = {}
        for row in reader(data):
            by = route(row)
            if by.rule and by.rule != "multiple_choice":
                found.setdefault(f"{by.action} {by.rule}", []).append(row)
        for rule, rows in found.items():
            for row in random.Random(0).sample(rows, min(count, len(rows))):
                yield json.dumps([name, row.id, rule, [each.content[:400] for each in row.messages], kept(row, route(row))])


def page(result: dict[str, Any]) -> str:
    """docs/routing.md: what the router does, every rule with its examples, and what was measured."""
    return "\n".join([*_introduction(), *_rules(), *_measured(result), *_real(result), ""])


def _introduction() -> list[str]:
    return [
        f"""# Routing

<!-- Made by benchmarks/routing.py from the rules and from benchmarks/results/routing.json; change it there. -->

Some instructions are about the words they are written in. Once translated, *Fix the grammar: She have two cat* has no fault
left, and *What rhymes with moon?* gets an answer that does not rhyme. Before a row is translated, rules decide what becomes
of it:

| action | what happens |
|---|---|
| translate | nothing speaks against it: the whole row is translated |
| adapt | the row is translated but for the spans that must stay: the sentence to be corrected, the word that is explained |
| keep | the row holds no word to translate (code, formulas): it stays as it is |
| drop | in another language the answer would be wrong or senseless: the row is rejected, and the rule is the reason |

An adapted row keeps whole messages or ranges of characters, which its rule finds: `payload` is the text that the task is done
to, `answer` the whole answer, `reply` the answer or what it quotes, `echo` the part of the answer that repeats the payload,
`terms` the words in quotation marks and where the answer mentions them (`words` the same, or a list after a colon), `expansion`
the words behind an acronym, `letters` those of the options, `bare` an answer that is an expression. Where the first of them is
not found, the rule does what stands after *else*, and nothing else means translate.

Inside a line, a range that stays is shown to the model as `⟦1⟧`, so that the sentence around it is translated as one; lines that
stay are not shown. What was kept is noted with the row: `kept: 0 3:7-12` says that turn 0 stayed, and of turn 3 the characters 7
to 12 of the original. `filter` compares the rest.

In a conversation each user turn is looked at (and the system turn, for the language of the answers): drop beats keep, keep
beats adapt. Of a long turn the first 1,200 and the last 400 characters count, where instructions stand; of a question with
lettered options, what stands right before them.

Rules exist for these source languages: {", ".join(languages())}. For any other, nothing but `{NOTHING}` fires. They do not
depend on the target language. On the rows of a rule marked *weak* a model can be asked; rule and vote are then both recorded,
and any answer but one of the offered words leaves the rule's action.
"""
    ]


def _rules() -> list[str]:
    lines = ["## The rules", "", "In the order in which they are tried, from [en.yaml](../src/hala/data/routes/en.yaml).", ""]
    lines += ["| rule | action | because | fires on | not on |", "|---|---|---|---|---|"]
    table = rules_for("en")
    assert table is not None
    for rule in table.rules:
        action = rule.action + (f": {', '.join(rule.keeps)}" if rule.keeps else "")
        action += f"; else {rule.otherwise}" if rule.otherwise != "translate" else ""
        action += "" if rule.certain else " (weak)"
        lines.append(f"| `{rule.name}` | {action} | {rule.why} | {_cell(rule.fires[0])} | {_cell(rule.spares[0])} |")
    nothing = f"| `{NOTHING}` | keep | there is nothing to translate | a block of code and its output | a question about code |"
    return [*lines, nothing, ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")


def _measured(result: dict[str, Any]) -> list[str]:
    dev, held, first = (result[part]["rows"] for part in ("dev", "held", "first_look"))
    lines = [
        f"""## Measured on labelled rows

{dev + held} instructions were written and labelled by hand before any rule was: {dev} to write the rules by, {held} held out.
*First look* is the first run on the {first} rows held out, and the one to quote; afterwards its mistakes were looked at, and
*now* is what the rules do today. One hand wrote rows and rules, so even the first look flatters. 95% intervals are Wilson's.

| | first look | now, held out | now, development |
|---|---|---|---|"""
    ]
    parts = (result["first_look"], result["held"], result["dev"])
    for kind in ("precision", "recall"):
        for action in ACTIONS:
            lines.append(f"| {kind} of {action} | " + " | ".join(_share(part[kind][action]) for part in parts) + " |")
    lines.append("| adapted rows that keep just the right texts | " + " | ".join(_share(part["kept"]) for part in parts) + " |")
    lines.append("""
Recall by task as it was labelled (routed as it should be), and precision by rule (the action is right for the row):

| task or rule | recall, first look | recall now, all rows | precision, first look | precision now, all rows |
|---|---|---|---|---|""")
    tasks, rules = _sum(result, "tasks"), _sum(result, "rules")
    looked = result["first_look"]
    for name in sorted({*looked["tasks"], *looked["rules"], *tasks, *rules}):
        cells = (looked["tasks"].get(name), tasks.get(name), looked["rules"].get(name), rules.get(name))
        lines.append(f"| {name} | " + " | ".join(_share(cell) if cell else "–" for cell in cells) + " |")
    return [*lines, ""]


def _sum(result: dict[str, Any], kind: str) -> dict[str, Any]:
    both = [result[split][kind] for split in ("dev", "held")]
    names = {name for part in both for name in part}
    return {
        name: share(*(sum(part[name][key] for part in both if name in part) for key in ("right", "of"))) for name in sorted(names)
    }


def _share(part: dict[str, Any]) -> str:
    if not part["of"]:
        return "–"
    return f"{part['right']}/{part['of']} = {part['right'] / part['of']:.0%} ({part['low']:.0%} to {part['high']:.0%})"


def _real(result: dict[str, Any]) -> list[str]:
    dolly = result["first_look_real"]["dolly"]
    right = dolly["fired"] - len(dolly["wrong"])
    lines = [
        """## On real sets

What fired in the first half of each set was read while the rules were written. *First look* is the second half, read once the
rules were done; rows by `multiple_choice` are not in it, for there are too many.

| set | rows of the second half | a rule fired | it was right | rows wrongly held back or adapted |
|---|---|---|---|---|"""
    ]
    for name, part in sorted(result["first_look_real"].items()):
        wrong = len(part["wrong"])
        lines.append(
            f"| {name} | {part['rows']:,} | {part['fired']} | {_share(share(part['fired'] - wrong, part['fired']))} |"
            f" {wrong} = {wrong / part['rows']:.2%} |"
        )
    lines.append(f"""
Of the dolly rows that no rule fired on, those that mention words, letters, languages and the like were read too:
{len(dolly["missed"])} should have been caught, so recall there was {_share(share(right, right + len(dolly["missed"])))}. Real
questions are more varied than written examples. Jokes whose point is a second meaning are the kind that no rule knows.

What the rules do now, after the mistakes in both halves were looked at:
""")
    for name, part in sorted(result["data"].items()):
        actions = ", ".join(f"{action} {part['actions'].get(action, 0):,}" for action in ACTIONS)
        lines += [
            f"**{name}**: {part['rows']:,} rows of {part['characters']} characters; {actions}; {part['microseconds']} µs of one"
            f" core a row ({result['machine']['cpu']}).",
            "",
        ]
        if part["rules"]:
            lines += ["| action and rule | rows | of 10,000 | read by eye | right |", "|---|---|---|---|---|"]
            for rule, found in sorted(part["rules"].items(), key=lambda item: (-item[1]["fired"], item[0])):
                read = f"{found['read']} | {found['right']}" if found["read"] else "– | –"
                lines.append(f"| {rule} | {found['fired']:,} | {1e4 * found['fired'] / part['rows']:.1f} | {read} |")
            lines.append("")
        if "options" in part:
            lines += [
                f"Rows by `multiple_choice` that keep exactly the four marks and the answer: {_share(part['options'])}.",
                "",
            ]
    return lines[:-1]


def main() -> None:
    """Measures, keeps what was measured, and writes the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of the real sets")
    parser.add_argument("--sample", type=int, help="print so many fired rows of each rule instead, to be read")
    parser.add_argument("--page", action="store_true", help="write the page alone, from the committed JSON")
    options = parser.parse_args()
    if options.sample:
        print("\n".join(sample(options.data, options.sample)))
        return
    result = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    if not options.page:
        result["held"], result["dev"] = score(labelled("held")), score(labelled("dev"))
        result.setdefault("first_look", result["held"])
        if options.data:
            noted = json.loads(READ.read_text(encoding="utf-8"))
            read, result["first_look_real"] = noted["read"], noted["first_look"]
            result["machine"] = machine()
            result["data"] = {name: fired(list(reader(options.data)), read.get(name, {})) for name, reader in SETS.items()}
        RESULT.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    PAGE.write_text(page(result), encoding="utf-8")


if __name__ == "__main__":
    main()
