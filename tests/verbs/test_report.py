"""The report: complete, offline, inert, and true for runs that stopped half-way."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala import artifacts, recipe, shards
from hala.artifacts import Manifest
from hala.errors import InputError
from hala.progress import Progress
from hala.records import KEPT, Message, Row, rejected
from hala.verbs import Context, report
from hala.verbs.redact import find_secret, invisible, plain
from hala.verbs.report_charts import WIDTH, Line, line_chart, ticks
from hala.verbs.report_page import text
from hala.verbs.status import row_text, runs_from_right

VERBS = {"arabic": "translate", "student": "tune", "curve": "merge", "scores": "evaluate", "card": "release"}
EVIL = "<script>alert(1)</script>\u202eevil\u202c \"'><img src=x onerror=alert(1)>"
TOKEN = "hf_" + "aB3" * 12


def plan(root: Path) -> None:
    """recipe.json with its steps in sorted order, as the pipeline writes it, and the true order beside them."""
    steps = {name: {"name": name, "verb": verb, "settings": {"note": EVIL, "key": TOKEN}} for name, verb in VERBS.items()}
    artifacts.write_json(
        root / "recipe.json",
        {"name": "demo", "order": list(VERBS), "steps": steps, "languages": {"source": "en", "target": "ar"}},
    )


def finish(root: Path, name: str, **parts: Any) -> Manifest:
    """A finished step with the given counts, facts, timings and config."""
    (root / name).mkdir(exist_ok=True)
    manifest = Manifest(
        step=name,
        verb=VERBS[name],
        kind="",
        config=parts.get("config", {}),
        inputs={},
        fingerprint="f" * 64,
        counts=parts.get("counts", {}),
        facts=parts.get("facts", {}),
        versions={"hala": "0.1.0"},
        timings={"seconds": 12.5, **parts.get("timings", {})},
    )
    return artifacts.finish(root / name, manifest)


def row(index: int, translation: str = "مرحبا بكم في Paris") -> Row:
    """A translated row of one message."""
    return Row(f"demo/{index}", (Message("text", translation),), "ar", "demo", "CC0-1.0", (Message("text", f"Hello {index}"),))


def write_data(root: Path) -> None:
    """The row files of the translate step: three kept rows and three rejected ones, hostile text among them."""
    bad = [(row(10, EVIL), rejected("wrong_script", EVIL)), (row(11, "لا " * 400), rejected("length", "ratio 9"))]
    shards.write_rows(root / "arabic/rejected/000000.parquet", [*bad, (row(12), rejected("length"))])
    shards.write_rows(root / "arabic/rows/000000.parquet", [(row(index), KEPT) for index in range(3)])


def score(model: str, t: float | None, value: float, **parts: Any) -> dict[str, Any]:
    """One score with an interval of two points either side."""
    entry = {"model": model, "t": t, "set": "world", "metric": "accuracy", "value": value, "low": value - 2, "high": value + 2}
    entry |= {
        "n": 400,
        "signature": "profile:cloze",
        "lang": "ar",
        "delta": None,
        "delta_low": None,
        "delta_high": None,
        "p": None,
    }
    return entry | parts


def whole_run(root: Path) -> Path:
    """A run with every step but the last one finished."""
    plan(root)
    write_data(root)
    malformed = {"file": "a.jsonl", "position": 3, "reason": "not JSON", "excerpt": EVIL}
    (root / "arabic/malformed.jsonl").write_text(json.dumps(malformed) + "\n")
    counts = {"rows": 6, "kept": 3, "rejected/length": 2, "rejected/wrong_script": 1, "malformed": 1}
    finish(root, "arabic", counts=counts, timings={"tokens_per_s": 90.0})
    (root / "student").mkdir()
    lines = [{"step": i, "tokens": i * 100, "loss": 5 - i / 10, "learning_rate": 1e-3, "eval_loss": 5.0} for i in range(1, 9)]
    (root / "student/curve.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    facts = {"parameters": 1_234_567, "train_tokens": 800, "steps": 8, "final_loss": 4.2, "eval_loss": None}
    finish(root, "student", counts={"rows": 3, "rejected/too_long": 1}, facts=facts)
    merge = {"base": "$base", "tuned": ["$student"], "method": "slerp"}
    finish(root, "curve", facts={"method": "slerp", "t": [0.5]}, config=merge)
    gain = {"delta": 20.0, "delta_low": 15.0, "delta_high": 25.0, "p": 0.001}
    scores = [score("base", None, 30.0), score("student", None, 50.0, **gain), score("curve t=0.5", 0.5, 48.0)]
    scores += [
        score("base", None, 3.0, set="pairs", metric="bleu-13a"),
        score("student", None, 41.5, set="pairs", metric="bleu-13a"),
    ]
    scores += [score("student", None, 60.5, set="pairs", metric="chrf++"), score("base", None, 70.0, set="english", lang="en")]
    models = [
        {"name": m, "t": t, "parameters": 1_234_567, "bytes": 9}
        for m, t in (("base", None), ("student", None), ("curve t=0.5", 0.5))
    ]
    examples = [{"set": "pairs", "model": "student", "source": "Hello", "reference": "مرحبا", "output": EVIL}]
    finish(root, "scores", facts={"baseline": "base", "models": models, "scores": scores, "examples": examples})
    return root


class Strict(HTMLParser):
    """Collects tags and attributes, and checks that every tag is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: str) -> Strict:
    """The page's tags; fails where tags are not closed in order."""
    parser = Strict()
    parser.feed(page)
    parser.close()
    assert not parser.open
    return parser


def test_page_runs_nothing_and_fetches_nothing(tmp_path: Path) -> None:
    """Hostile rows, settings and outputs stay text: no script, no handler, no address, a policy that forbids both."""
    page = report.render(whole_run(tmp_path), EVIL)
    parser = parsed(page)
    names = {tag for tag, _ in parser.tags}
    assert not names & {"script", "img", "iframe", "link", "object", "form", "base"}
    attributes = [(name, value or "") for _, found in parser.tags for name, value in found.items()]
    assert not [name for name, _ in attributes if name.startswith("on") or name in ("src", "style")]
    assert all(value.startswith("#") for name, value in attributes if name == "href")
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src 'none'" in page and "unsafe-inline" not in page
    assert "url(" not in page and "@import" not in page


def test_page_shows_every_part(tmp_path: Path) -> None:
    """Tables, curves, rejections with examples, translated examples, settings and versions are all there."""
    page = report.render(whole_run(tmp_path))
    for anchor in ("results", "merge", "learning", "examples", "rejected", "steps", "settings", "versions"):
        assert f'id="{anchor}"' in page
    for words in (
        "BLEU",
        "chrF++",
        "41.5",
        "39.5 to 43.5",
        "+20.0 (+15.0 to +25.0)",
        "wrong_script",
        "مرحبا بكم في Paris",
        "1.23M",
    ):
        assert words in page
    assert '<span class="delta better">' in page and "<polygon" in page and "more characters" in page
    order = [page.index(f"<strong>{name}</strong><br>") for name in VERBS]
    assert order == sorted(order)


def test_page_shows_subsets_and_positions(tmp_path: Path) -> None:
    """What a mean hides stands on the page as on the terminal: the subsets that gained and lost, and favourite positions."""
    root = whole_run(tmp_path)
    facts = artifacts.read_manifest(root / "scores").facts
    facts["scores"][0]["positions"] = {"chosen": [9, 1, 1, 1], "right": [3, 3, 3, 3], "p": 0.0123}
    finish(root, "scores", facts=facts)
    tasks = [{"model": "student", "set": "arabic", "subset": f"subject {n}", "delta": 4.0 - n, "n": 50} for n in range(9)]
    (root / "scores" / "tasks.json").write_text(json.dumps(tasks), encoding="utf-8")
    page = report.render(root)
    assert "4 up, 4 down" in page and "subject 8" in page and "9 1 1 1" in page and "0.0123" in page
    assert "Positions of answers" not in report.render(whole_run(tmp_path / "other"))


def test_page_shows_answers_to_probes(tmp_path: Path) -> None:
    """A prompt, each model's answer and what was seen in it stand together, hostile text harmless; the table is above them."""
    root = whole_run(tmp_path)
    facts = artifacts.read_manifest(root / "scores").facts
    seen = {"words": 2, "ended": False, "instructions": {"json": False, "ends": True}, "switches": ["word"], "repeats": ""}
    facts["probes"] = [
        {"set": "probes ar", "id": "x", "prompt": "ما اسمك؟", "model": name, "output": EVIL, **seen}
        for name in ("base", "student")
    ]
    facts["scores"] += [
        score(name, None, 12.5, set="probes ar", metric="repeats", signature="probes:ar|metric:repeats")
        for name in ("base", "student")
    ]
    finish(root, "scores", facts=facts)
    page = report.render(root)
    parsed(page)
    assert page.index("Answers: probes ar") < page.index("Answers to probes ar")
    assert all(said in page for said in ("ما اسمك؟", "2 words", "cut off", "json: not met", "ends: met", "switches: word"))
    assert "repetition %" in page and "Answers to" not in report.render(whole_run(tmp_path / "other"))


def test_invisible_characters_are_chips_and_cells_are_isolated(tmp_path: Path) -> None:
    """A reordering character in data is shown by name and never reaches the reader's browser as such."""
    page = report.render(whole_run(tmp_path))
    assert "\u202e" not in page and '<span class="chip" title="U+202E">RLO</span>' in page
    assert '<td class="data" dir="auto">' in page and "unicode-bidi: isolate" in page


def test_secrets_in_settings_are_not_shown(tmp_path: Path) -> None:
    """A token that stands in the recipe does not enter the page."""
    page = report.render(whole_run(tmp_path))
    assert TOKEN not in page and "[secret removed]" in page


@given(st.text())
def test_escaped_text_is_inert(value: str) -> None:
    """No text can open a tag, an attribute or an entity, nor carry an invisible character into the page."""
    markup = text(value)
    without_chips = re.sub(r'<span class="chip" title="U\+[0-9A-F]+">[^<]*</span>', "", markup)
    assert "<" not in without_chips and '"' not in without_chips
    assert not [character for character in markup if invisible(character)]


@given(st.text())
def test_terminal_text_has_no_controls(value: str) -> None:
    """Data cannot drive the terminal: only newlines and tabs remain of the control characters."""
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", plain(value))


TOKENS = [TOKEN, "sk-proj-" + "a1B2" * 8, "AKIA" + "ABCD1234" * 2, "ghp_" + "a1" * 18, "gsk_" + "a1" * 20]
TOKENS += ["-----BEGIN RSA PRIVATE KEY-----", "xoxb-" + "1234567890-abc", "AIza" + "a" * 35]


@pytest.mark.parametrize("secret", TOKENS)
def test_secrets_are_recognised(secret: str) -> None:
    """The common kinds of access token are found inside other text."""
    assert find_secret(f'{{"key": "{secret}"}}')


@pytest.mark.parametrize("word", ["hf_hub", "task-oriented", "risk-free-investments", "sk-learn", "disk-encryption-settings-are"])
def test_ordinary_words_are_no_secrets(word: str) -> None:
    """Names that only begin like a token are left alone."""
    assert not find_secret(word)


def test_half_finished_run_says_how_far_it_is(tmp_path: Path) -> None:
    """Finished shards, a torn curve and a begun step are shown as what they are, in page, table and data."""
    plan(tmp_path)
    write_data(tmp_path)
    (tmp_path / "arabic" / artifacts.STARTED).write_text('{"verb": "translate"}')
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / artifacts.STARTED).write_text("{}")
    (tmp_path / "student/curve.jsonl").write_text('{"step": 3, "tokens": 300, "loss": 2.5}\n{"step": 4, "tok')
    page = report.render(tmp_path)
    parsed(page)
    assert "1 shard so far, 3 of 6 rows kept" in page and "This run is not complete" in page and "2.500" in page
    states = {each["step"]: each["state"] for each in report.status_rows(tmp_path)}
    assert states == {"arabic": "half done", "student": "half done", "curve": "waiting", "scores": "waiting", "card": "waiting"}
    assert "half done" in report.status_text(tmp_path) and "0 of 5 steps finished" in report.status_text(tmp_path)


def test_run_without_a_finished_step(tmp_path: Path) -> None:
    """The page of a run that failed in its first step is a page."""
    plan(tmp_path)
    page = report.render(tmp_path)
    parsed(page)
    assert "0 of 5 steps finished" in page
    assert report.results_markdown(tmp_path).startswith("**Steps**")


def test_damaged_steps_are_shown_not_raised(tmp_path: Path) -> None:
    """A torn manifest and a missing file are marked as damaged, and the rest of the report stays."""
    whole_run(tmp_path)
    (tmp_path / "curve" / artifacts.MANIFEST).write_text("{")
    (tmp_path / "student/curve.jsonl").unlink()
    page = report.render(tmp_path)
    assert page.count("state damaged") == 2 and "hala repair" in page and "BLEU" in page


def test_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    """An empty folder gives an error that says what to name instead."""
    with pytest.raises(InputError, match="is not a run"):
        report.render(tmp_path)


def test_summary_is_a_terminal_table(tmp_path: Path) -> None:
    """The closing table names steps, states and headline scores in plain ASCII."""
    table = report.summary(whole_run(tmp_path))
    assert table.isascii()
    assert re.search(
        r"arabic +translate +finished +0:12 +3 of 6 rows kept \(50\.0%\); rejected: length 2, wrong_script 1; 1 malformed", table
    )
    assert re.search(r"student +1\.23M +50\.0 \^ \(48\.0 to 52\.0\) \+20\.0 \(\+15\.0 to \+25\.0\)", table)
    assert "^ best of its column" in table


def test_describe_tells_what_one_step_made(tmp_path: Path) -> None:
    """A single verb ends with its counts, the reasons of rejections and its folder."""
    whole_run(tmp_path)
    manifest = artifacts.read_manifest(tmp_path / "arabic")
    assert manifest is not None
    told = report.describe(manifest, tmp_path / "arabic")
    assert "3 of 6 rows kept" in told and re.search(r"length +2", told) and told.endswith(str(tmp_path / "arabic"))


@pytest.mark.parametrize(
    ("reason", "advice"), [("truncated", "max_tokens"), ("script", "--to"), ("new_gate", "Try another model")]
)
def test_describe_of_nothing_kept_tells_what_helps(tmp_path: Path, reason: str, advice: str) -> None:
    """A step without a row kept is no success: reasons, malformed records with their file, memory, and the next thing to try."""
    counts = {"rows": 3, "kept": 0, f"rejected/{reason}": 2, "rejected/rare": 1, "malformed": 4}
    timings = {"remembered": 2.0, "distinct": 9.0}
    manifest = Manifest("corpus", "translate", "rows", {}, {}, "f", counts=counts, timings=timings)
    told = report.describe(manifest, tmp_path)
    assert "no row was kept" in told and advice in told and re.search(rf"{reason} +2", told)
    assert f"4 records could not be read: {tmp_path / 'malformed.jsonl'}" in told and f"hala show {tmp_path} --rejected" in told
    assert "9 distinct segments; 2 answers were remembered" in told
    good = replace(manifest, counts={"rows": 1, "kept": 1}, timings={})
    assert not any(word in report.describe(good, tmp_path) for word in ("kept.", "remembered", "could not", "show"))


def test_shown_rows_cannot_drive_the_terminal(tmp_path: Path) -> None:
    """Rows are printed with their originals and reasons, escape sequences and reordering characters left out."""
    write_data(tmp_path)
    shards.write_rows(tmp_path / "arabic/rows/000000.parquet", [(row(1, "a\x1b[31mb\nc\u202ed"), KEPT)])
    kept, bad = list(report.show_rows(tmp_path / "arabic", False, 5)), list(report.show_rows(tmp_path / "arabic", True, 2))
    assert len(kept) == 1 and "original text: Hello 1\ntext: a[31mb\ncd" in kept[0]
    assert len(bad) == 2 and "rejected: wrong_script" in bad[0] and "\u202e" not in bad[0]


def test_shown_row_tells_its_notes_and_the_rejected_answer() -> None:
    """Route and ladder stand with the row; what the model answered, a table perhaps, stands on a line of its own."""
    told = row_text(replace(row(1, "x"), notes={"route": "keep", "ladder": "again"}), KEPT)
    assert "\nladder: again\nroute: keep\n" in told
    told = row_text(row(1, "x"), rejected("lines", "2 | 3 | answer: | a | b |\n| c | | segment: | d |"))
    assert "rejected: lines (2 | 3)\n  answer: | a | b | | c |\n  segment: | d |\n" in told


def test_markdown_tables_hold_intervals_deltas_and_curve(tmp_path: Path) -> None:
    """The README's tables state size, value, interval, paired difference, and the merge curve with both ends."""
    made = report.results_markdown(whole_run(tmp_path))
    assert "| student | 1.23M | **41.5** (39.5 to 43.5) | 60.5 (58.5 to 62.5) |" in made
    assert "| student | 1.23M | **50.0** (48.0 to 52.0) | +20.0 (+15.0 to +25.0) | – |" in made
    assert re.search(r"^\| 0\.5 \| 48\.0 \(46\.0 to 50\.0\)", made, re.MULTILINE)
    assert re.search(r"^\| 1 \| 50\.0 ", made, re.MULTILINE)
    assert "| arabic | translate | 12 | – | 90 | 3 | 3 |" in made


def test_verb_leaves_itself_out(tmp_path: Path) -> None:
    """The report as a step writes its page and does not call itself unfinished."""
    whole_run(tmp_path)
    content = json.loads((tmp_path / "recipe.json").read_text())
    content["steps"]["page"] = {"name": "page", "verb": "report", "settings": {}}
    content["order"].append("page")
    artifacts.write_json(tmp_path / "recipe.json", content)
    context = Context("page", tmp_path / "page", tmp_path, recipe.Languages(), {}, Progress(quiet=True))
    outcome = report.run(recipe.Report(title="Mine"), context)
    page = (tmp_path / "page/report.html").read_text(encoding="utf-8")
    assert outcome.counts == {"steps": 4} and "4 of 5 steps finished" in page and "<title>Mine</title>" in page


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_ticks_cover_the_values(one: float, other: float) -> None:
    """Axis numbers rise, are few, and enclose what is drawn."""
    low, high = sorted((one, other))
    found = ticks(low, high)
    assert 2 <= len(found) <= 8 and list(found) == sorted(set(found))
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert found[0] <= low + slack and found[-1] >= high - slack


@pytest.mark.parametrize("high", [400_000.0, 12_500_000.0, 1.0, 0.125])
def test_every_word_of_a_chart_lies_inside_it(high: float) -> None:
    """The last number of an axis is read whole: at 12 pixels, a letter is at most 7 wide."""
    picture = line_chart((Line("loss", ((0.0, 0.0), (high, 1000.0))),), "tokens", "loss")
    places = re.findall(r'<text class="(?:tick|label)" x="([\d.]+)" y="[\d.]+" text-anchor="(\w+)">([^<]*)<', picture)
    for x, anchor, word in places:
        width = 7 * len(word)
        left = float(x) - {"start": 0, "middle": width / 2, "end": width}[anchor]
        assert left >= 0 and left + width <= WIDTH, word
    assert len(places) > 8


def test_charts_survive_odd_points() -> None:
    """A single point, equal values, and infinite losses still give a picture or nothing, never an error."""
    assert line_chart((Line("a", ((1.0, 2.0),)),), "x", "y").count("<circle") == 1
    assert "nan" not in line_chart((Line("a", ((1.0, float("nan")), (2.0, 3.0), (3.0, 3.0))),), "x", "y")
    assert line_chart((Line("a", ((1.0, float("inf")),)),), "x", "y") == ""


def test_text_from_right_to_left_has_its_own_lines() -> None:
    """After a label on the same line a terminal would turn label and text round; Latin text stays beside its label."""
    told = row_text(row(1, "مرحبا Bob"), KEPT)
    assert "\ntext:\nمرحبا Bob\n" in told
    told = row_text(row(1, "x"), rejected("lines", "2 | 3 | answer: نعم | segment: d"))
    assert "rejected: lines (2 | 3)\n  answer:\nنعم\n  segment: d\n" in told
    assert runs_from_right("a ש") and not runs_from_right("é ü 12 हिन्दी")


def test_rows_are_looked_through_in_a_pager(tmp_path: Path) -> None:
    """On a terminal `hala show` gives all rows to $PAGER; in a pipe it prints five, or as many as it is told."""
    rows = [Row(f"r/{n}", (Message("text", f"line {n}"),)) for n in range(9)]
    shards.write_rows(tmp_path / "data/rows/000000.parquet", [(each, KEPT) for each in rows])
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\ncat > {tmp_path}/paged\n")
    pager.chmod(0o755)
    command = [sys.executable, "-m", "hala", "show", str(tmp_path / "data")]
    leader, follower = pty.openpty()
    env = {**os.environ, "PAGER": str(pager), "TERM": "xterm"}
    done = subprocess.run(command, stdin=follower, stdout=follower, stderr=subprocess.PIPE, env=env, timeout=120)
    os.close(follower)
    os.close(leader)
    assert done.returncode == 0 and (tmp_path / "paged").read_text().count("--- r/") == 9
    piped = subprocess.run(command, capture_output=True, text=True, timeout=120)
    some = subprocess.run([*command, "-n", "2"], capture_output=True, text=True, timeout=120)
    assert piped.stdout.count("--- r/") == 5 and some.stdout.count("--- r/") == 2


def test_advice_suits_the_verb(tmp_path: Path) -> None:
    """Rejected examples of a training cannot be shown, and a filter that keeps nothing has no model to change."""
    about = {"config": {}, "inputs": {}, "fingerprint": "f", "facts": {}, "versions": {}, "timings": {}, "files": {}}
    tuned = Manifest(step="t", verb="tune", kind="checkpoint", counts={"examples": 3, "rejected/too_long": 1}, **about)
    told = "\n".join(report.row_advice(tuned, tmp_path))
    assert "hala preview" in told and "hala show" not in told and "no row was kept" not in told
    strange = Manifest(step="f", verb="filter", kind="rows", counts={"rows": 3, "kept": 0, "rejected/script": 3}, **about)
    told = "\n".join(report.row_advice(strange, tmp_path))
    assert "another language than the target: see --to" in told and "model" not in told


def test_answers_of_a_training_are_shown(tmp_path: Path) -> None:
    """Held-out prompts of the last evaluation stand beside answer and reference, hostile text harmless, older ones left out."""
    whole_run(tmp_path)
    lines = [{"step": n, "id": "a", "prompt": f"Ask {n}", "answer": EVIL, "reference": f"Say {n}"} for n in (4, 8)]
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"step": 9, "torn'
    (tmp_path / "student/samples.jsonl").write_text(text)
    page = report.render(tmp_path)
    parsed(page)
    assert "after step 8" in page and "Ask 8" in page and "Say 8" in page and "Ask 4" not in page
