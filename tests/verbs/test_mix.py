"""mix: shares in tokens, every row accounted for, the order of a curriculum, and words for what cannot be."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hala as package
from hala import artifacts, pipeline, shards
from hala.data.mixing import hashed, places
from hala.errors import DriftError, InputError, RecipeError
from hala.progress import Progress
from hala.recipe_file import load
from hala.records import KEPT, Message, Row
from hala.verbs import report
from hala.verbs.lineage import trace

Mixed = tuple[artifacts.Manifest, str]


def write(folder: Path, name: str, number: int, words: int = 8, licence: str = "MIT") -> Path:
    """Rows as a step leaves them: every fifth has three words, the others some eight to sixteen."""
    rows = []
    for i in range(number):
        text = "one two three" if i % 5 == 0 else " ".join(f"word{i + k}" for k in range(words + i % 9))
        rows.append(Row(f"{name}/{i}", (Message("user", text), Message("assistant", text[::-1])), "en", name, licence))
    shards.write_rows(folder / name / "rows/000000.parquet", [(row, KEPT) for row in rows])
    return folder / name


@pytest.fixture
def parts(tmp_path: Path) -> tuple[str, str]:
    """Two sets of rows: 300 and 200."""
    return str(write(tmp_path, "bitext", 300)), str(write(tmp_path, "chats", 200))


def mix(out: Path, tiny: Path, **settings: Any) -> Mixed:
    """The manifest and what was said on the terminal."""
    lines = io.StringIO()
    pipeline.run_verb("mix", {"tokenizer": str(tiny), "shard_rows": 40, **settings}, out, Progress(lines))
    manifest = artifacts.read_manifest(out)
    assert manifest is not None
    return manifest, lines.getvalue()


def tokens_of(tiny: Path, rows: list[Row]) -> int:
    """Tokens of all messages, counted with the tokenizer's own plain call."""
    from hala.weights.loading import load_tokenizer

    tokenizer = load_tokenizer(tiny)
    texts = [message.content for row in rows for message in row.messages]
    return sum(len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])


def ids(rows: list[Row]) -> list[str]:
    """Names of rows."""
    return [row.id for row in rows]


def test_shares_are_counted_in_tokens(tmp_path: Path, tiny: Path, parts: tuple[str, str]) -> None:
    """Rows read = kept + rejected, on disk as in the counts; each part has its share, and the table says so."""
    manifest, said = mix(tmp_path / "out", tiny, tokens=20_000, parts=[{"data": parts[0], "share": 0.3}, parts[1]])
    kept, left = list(shards.read_rows(tmp_path / "out")), list(shards.read_rejected(tmp_path / "out"))
    assert sorted(ids(kept) + [row.id for row, _ in left]) == sorted(
        f"{n}/{i}" for n, k in (("bitext", 300), ("chats", 200)) for i in range(k)
    )
    counts = manifest.counts
    assert counts == {"rows": 500, "kept": len(kept), "copies": 0, "malformed": 0, "rejected/over_share": len(left)}
    own = [tokens_of(tiny, [row for row in kept if row.source == name]) for name in ("bitext", "chats")]
    assert [part["tokens"] for part in manifest.facts["parts"]] == own and 5600 < own[0] <= 6000 and 13600 < own[1] <= 14000
    assert manifest.facts["tokens"] == sum(own) and manifest.facts["rows"] == len(kept)
    lines = [line.split() for line in said.splitlines()]
    assert next(line for line in lines if line[:2] == ["1", "bitext"])[3:5] == ["30%", f"{own[0]:,}"]
    assert {verdict.detail for row, verdict in left if row.source == "chats"} == {"part 2 gives 14,000 tokens"}


def test_the_order_is_that_of_the_places(tmp_path: Path, tiny: Path, parts: tuple[str, str]) -> None:
    """Rows stand where their hash says: one part in the first six tenths, the other in the last, both where they overlap."""
    settings = {"parts": [{"data": parts[0], "end": 0.6}, {"data": parts[1], "start": 0.4}], "seed": 5}
    manifest, _ = mix(tmp_path / "out", tiny, **settings)
    spans = {"bitext": (0.0, 0.6, 300), "chats": (0.4, 1.0, 200)}
    expected = []
    for name, (start, end, number) in spans.items():
        names = [f"{name}/{i}" for i in range(number)]
        expected += zip(places(hashed(names, 5), 0, start, end).tolist(), names, strict=True)
    found = ids(list(shards.read_rows(tmp_path / "out")))
    assert found == [name for _, name in sorted(expected)]
    first, second = manifest.facts["parts"]
    assert first["from"] == 0 and second["to"] == 1
    assert second["from"] == [name[:1] for name in found].index("c") / 500
    assert first["to"] == 1 - [name[:1] for name in reversed(found)].index("b") / 500


def test_repeats_are_copies_and_no_more_than_allowed(tmp_path: Path, tiny: Path, parts: tuple[str, str]) -> None:
    """A part that may come three times comes three times, spread out; copies are counted apart from rows."""
    small = str(write(tmp_path, "small", 20))
    manifest, said = mix(tmp_path / "out", tiny, parts=[{"data": small, "repeat": 3, "share": 0.5}, parts[0]])
    found = ids(list(shards.read_rows(tmp_path / "out")))
    assert all(found.count(f"small/{i}") == 3 for i in range(20))
    counts = manifest.counts
    assert counts["copies"] == 40 and counts["rows"] == 320 == counts["kept"] + counts["rejected/over_share"]
    assert len(found) == counts["kept"] + 40 and manifest.facts["parts"][0]["passes"] == 3.0
    bound = manifest.facts["parts"][0]["tokens"] * 2
    assert f"The mix gets {bound:,} tokens: part 1 (small) has" in said and "at most 3 times" in said
    positions = [found.index(f"small/{i}") for i in range(20)]
    assert len(set(positions)) == 20 and len({found[p + 1] for p in positions} & {f"small/{i}" for i in range(20)}) < 20


def test_caps_and_what_is_over_them(tmp_path: Path, tiny: Path, parts: tuple[str, str]) -> None:
    """A cap bounds the mix so that shares stay true, and the rows beyond it say so."""
    settings = {"parts": [{"data": parts[0], "share": 0.5, "max_tokens": 4000}, {"data": parts[1], "share": 0.5}], "tokens": 1e4}
    manifest, said = mix(tmp_path / "out", tiny, **settings)
    first, second = manifest.facts["parts"]
    assert 3600 < first["tokens"] <= 4000 and 3600 < second["tokens"] <= 4000
    assert "The mix gets 8,000 tokens, not 10,000: part 1 (bitext) gives at most 4,000 for its 50%." in said
    reasons = {(row.source, verdict.reason) for row, verdict in shards.read_rejected(tmp_path / "out")}
    assert reasons == {("bitext", "over_cap"), ("chats", "over_share")}


def test_short_rows_are_kept_on_purpose(tmp_path: Path, tiny: Path, parts: tuple[str, str]) -> None:
    """A fifth of the rows is short by nature: 40% are a preference, 90% make the mix smaller, and each is said."""
    fair, said = mix(tmp_path / "fair", tiny, parts=list(parts), tokens=10_000, short_share=0.4, short_words=6)
    assert 0.4 <= fair.facts["short_rows"] / fair.facts["rows"] < 0.42 and "times as often" in said
    rare, said = mix(tmp_path / "rare", tiny, parts=list(parts), short_share=0.9, short_words=6)
    rows = list(shards.read_rows(tmp_path / "rare"))
    assert sum(len(row.text.split()) <= 6 for row in rows) >= 0.9 * len(rows) and "Short rows are rare" in said
    assert rare.facts["short_rows"] == 100
    with pytest.raises(InputError, match="no mix has a share of 50% short rows"):
        mix(tmp_path / "none", tiny, parts=list(parts), short_share=0.5, short_words=1)
    assert not (tmp_path / "none").exists()


def test_rows_without_tokens_and_malformed_ones_are_counted(tmp_path: Path, tiny: Path) -> None:
    """An empty row never comes, however much room there is; a broken line is listed."""
    file = tmp_path / "rows.jsonl"
    lines = [json.dumps({"id": str(i), "text": text}) for i, text in enumerate(["a word", "more words", "the last"])]
    file.write_text("\n".join([*lines, "{broken"]) + "\n", encoding="utf-8")
    empty = tmp_path / "empty"
    shards.write_rows(empty / "rows/000000.parquet", [(Row("e", (Message("user", ""),)), KEPT)])
    manifest, _ = mix(tmp_path / "out", tiny, parts=[{"data": [str(file), str(empty)]}])
    assert manifest.counts == {"rows": 4, "kept": 3, "copies": 0, "malformed": 1, "rejected/empty": 1}
    assert "broken" in (tmp_path / "out/malformed.jsonl").read_text(encoding="utf-8")
    with pytest.raises(InputError, match=r"part 2 \(empty\) has no row with a token"):
        mix(tmp_path / "two", tiny, parts=[str(file), str(empty)])
    assert not (tmp_path / "two").exists()


def test_left_out_rows_need_not_be_stored(tmp_path: Path, tiny: Path, parts: tuple[str, str]) -> None:
    """The same mix and the same counts, without the rows that were left out."""
    settings = {"parts": list(parts), "tokens": 5000}
    stored, _ = mix(tmp_path / "a", tiny, **settings)
    counted, _ = mix(tmp_path / "b", tiny, **settings, store_rejected=False)
    assert stored.counts == counted.counts and counted.counts["rejected/over_share"] > 0
    assert list(shards.read_rows(tmp_path / "a")) == list(shards.read_rows(tmp_path / "b"))
    assert not list(shards.read_rejected(tmp_path / "b"))


def test_a_seed_chooses_other_rows(tmp_path: Path, tiny: Path, parts: tuple[str, str]) -> None:
    """The same settings give the same bytes, another seed other rows, a larger size the same rows and more."""
    digests = {}
    for name, settings in {"a": {}, "b": {}, "c": {"seed": 1}, "d": {"tokens": 9000}}.items():
        digests[name] = mix(tmp_path / name, tiny, **{"parts": list(parts), "tokens": 6000} | settings)[0].digest
    rows = {name: set(ids(list(shards.read_rows(tmp_path / name)))) for name in digests}
    assert digests["a"] == digests["b"] != digests["c"] and rows["a"] != rows["c"] and rows["a"] < rows["d"]


def test_data_that_changes_meanwhile_is_an_error(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer or more rows than were counted are no mix of the rows that were counted."""
    from hala.verbs import mix as verb

    source, real = write(tmp_path, "small", 30), verb.open_all
    for left_out in (1, -1):
        calls: list[int] = []

        def other(*words: Any, calls: list[int] = calls, left_out: int = left_out) -> Any:
            calls.append(1)
            rows = list(real(*words))
            return iter(rows if len(calls) == 1 else rows[left_out:] if left_out > 0 else [*rows, rows[0]])

        monkeypatch.setattr(verb, "open_all", other)
        with pytest.raises(InputError, match=r"part 1 \(small\) no longer has 30 rows"):
            mix(tmp_path / f"out{left_out}", tiny, parts=[str(source)])


def test_other_settings_are_drift(tmp_path: Path, tiny: Path, parts: tuple[str, str]) -> None:
    """A finished mix is kept as it is; another share is refused with the difference."""
    settings: dict[str, Any] = {"parts": [{"data": parts[0], "share": 0.5}, parts[1]], "tokens": 5000}
    _, said = mix(tmp_path / "out", tiny, **settings)
    assert "finished before" in mix(tmp_path / "out", tiny, **settings)[1] and "finished before" not in said
    settings["parts"][0]["share"] = 0.25
    with pytest.raises(DriftError, match=r"config\.parts\.0\.share: 0\.5 -> 0\.25\n"):
        mix(tmp_path / "out", tiny, **settings)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("[{data: a, share: 0.5}, {data: b, share: 0.7}]", "shares are 1.2 in sum (0.5 + 0.7)"),
        ("[{data: a, share: 0.5}, {data: b, share: 0.3}]", "no part without a share takes the rest"),
        ("[{data: a, share: 1}, b]", "leave nothing to the parts without one"),
        ("[]", "at least one part"),
        ("[{data: a, start: 0.6, end: 0.4}]", "start (0.6) must be before end (0.4)"),
        ("[{data: {path: a, weight: 2}}]", "weight does nothing for a part"),
        ("[{data: a, repeat: 0}]", "'repeat' in steps.m.mix.parts.0"),
        ("[{data: a, shares: 0.4}]", "Did you mean 'share'?"),
        ("[$later]", "needs $later, which no earlier step makes"),
    ],
)
def test_mixes_that_cannot_be_meant(tmp_path: Path, body: str, said: str) -> None:
    """Each is refused with file and line before anything is read."""
    file = tmp_path / "r.yaml"
    file.write_text(f"name: r\nsteps:\n  m:\n    mix:\n      tokenizer: t\n      parts: {body}\n", encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load(file)
    assert said in str(caught.value) and f"{file}:6" in str(caught.value), str(caught.value)


def test_as_a_command(tmp_path: Path, tiny: Path, parts: tuple[str, str], hala: Callable[..., Any]) -> None:
    """Parts with shares in their order, sizes as 1e4, and deeper settings by place; Python makes the same."""
    words = ["mix", *parts, "--tokenizer", tiny, "--share", 0.3, "--tokens", "1e4", "--out", tmp_path / "a"]
    answer = hala(*words, "--set", "parts.0.end=0.5")
    assert answer.code == 0 and "rows left out" in answer.out and "over_share" in answer.out, answer
    made = artifacts.read_manifest(tmp_path / "a")
    again = [{"data": parts[0], "share": 0.3, "end": 0.5}, {"data": parts[1]}]
    other = artifacts.read_manifest(package.mix(again, out=tmp_path / "b", tokenizer=tiny, tokens=10_000))
    assert made and other and made.digest == other.digest and made.fingerprint == other.fingerprint
    assert f"{made.facts['rows']} rows, {made.facts['tokens']:,} tokens of 2 parts" in report.describe(made, tmp_path / "a")
    for extra, said in (
        (["--share", "0.2", "--share", "0.5"], "3 shares for 2 parts"),
        (["--set", "parts.7.end=1"], "--set parts.7.end"),
        (["--set", "parts.end=1"], "'parts' is a list"),
    ):
        refused = hala(*words[:-1], tmp_path / "c", *extra)
        assert refused.code == 2 and said in refused.err, refused


def test_licences_of_every_part_travel(tmp_path: Path, tiny: Path) -> None:
    """A release finds the licences of a mix's rows, and the steps behind its parts; the tokenizer is no teacher."""
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"en": "The cat.", "ar": "القطة."}\n', encoding="utf-8")
    recipe = {
        "name": "r",
        "steps": {
            "clean": {"filter": {"data": {"path": str(pairs), "licence": "CC-BY-4.0"}, "gates": "none"}},
            "mixed": {"mix": {"parts": [{"data": "$clean"}], "tokenizer": str(tiny)}},
        },
    }
    file = tmp_path / "r.yaml"
    file.write_text(json.dumps(recipe), encoding="utf-8")
    root = pipeline.run(file, out=tmp_path / "run", progress=Progress(quiet=True))
    found = trace(tiny, [root / "mixed"])
    assert [step.step for step in found.steps.values()] == ["clean", "mixed"]
    assert [(each.name, each.licence) for each in found.terms if each.role == "data"] == [("rows of mixed", "CC-BY-4.0")]
    assert not [each for each in found.terms if each.role == "teacher"]
    page = report.render(root)
    assert "Mixes: shares and order" in page and '<td dir="auto">1 $clean</td>' in page and "0% to 100%" in page


def test_tokens_are_counted_whole_by_any_tokenizer(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tokenizer that cuts or pads counts all tokens all the same, and one without the fast path counts as many."""
    from hala.weights import loading

    source, real = str(write(tmp_path, "rows", 40, words=300)), loading.load_tokenizer
    whole = mix(tmp_path / "whole", tiny, parts=[source])[0].facts["tokens"]

    def cutting(*words: Any) -> Any:
        tokenizer = real(*words)
        tokenizer.backend_tokenizer.enable_truncation(16)
        tokenizer.backend_tokenizer.enable_padding(length=5000)
        return tokenizer

    class Slow:
        def __init__(self, *words: Any) -> None:
            self.inner = real(*words)

        def __call__(self, texts: list[str], add_special_tokens: bool) -> Any:
            return self.inner(texts, add_special_tokens=add_special_tokens)

    for number, loader in enumerate((cutting, Slow)):
        monkeypatch.setattr(loading, "load_tokenizer", loader)
        assert mix(tmp_path / f"{number}", tiny, parts=[source])[0].facts["tokens"] == whole > 40 * 500
