"""The judge of filter is tried on labelled pairs first, and its probabilities decide on the scale that these give."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hala import artifacts, shards
from hala.errors import InputError
from hala.progress import Progress
from hala.recipe import Filter, Languages
from hala.records import KEPT, Completion, Message, Request, Row, Sampling
from hala.verbs import Context, judging
from hala.verbs.filter import run


class Sure:
    """A judge that says yes to everything, surer of better pairs; how good a pair is stands in its source as `quality 0.73`."""

    def __init__(self, tells: bool = True) -> None:
        self.tells = tells
        self.asked = 0

    def complete(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
        for request in requests:
            self.asked += 1
            quality = float(request.messages[-1].content.partition("quality ")[2].split()[0])
            # Far too sure: 0.9 for a pair that is good one time in two.
            sure = 0.8 + 0.2 * quality if self.tells and sampling.confidence else None
            yield Completion(request.id, "Yes." if quality > 0.05 else "No", "stop", probability=sure if quality > 0.05 else 0.9)

    def close(self) -> None:
        return


def labelled(path: Path, count: int = 200) -> Path:
    """Pairs of every quality, labelled good as often as their quality says."""
    rng = random.Random(0)
    qualities = [rng.random() for _ in range(count)]
    lines = [
        {"en": f"quality {q:.3f} of {n}", "ar": "نص", "good": "yes" if rng.random() < q else "no"}
        for n, q in enumerate(qualities)
    ]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


def rows(tmp_path: Path) -> Path:
    """A step with pairs of quality 0.0 to 0.9."""
    made = [Row(f"r/{n}", (Message("text", "نص"),), "ar", original=(Message("text", f"quality 0.{n} of r"),)) for n in range(10)]
    shards.write_rows(tmp_path / "in/rows/000000.parquet", [(row, KEPT) for row in made])
    return tmp_path / "in"


def filtered(tmp_path: Path, out: str, judge: Sure, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Any:
    """The outcome of a filter with that judge alone."""
    monkeypatch.setattr(judging, "open_engine", lambda *_, **__: judge)
    section = Filter(data="$in", gates="none", dedup=False, judge={"model": "m", **settings}, shard_rows=4)
    return run(section, Context("step", tmp_path / out, tmp_path, Languages(), {"in": rows(tmp_path)}, Progress(quiet=True)))


def kept(step: Path) -> list[str]:
    """Ids of kept rows."""
    return [row.id for row in shards.read_rows(step)]


def test_labelled_pairs_make_probabilities_mean_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that is sure of everything accepts all by its word; calibrated, half good is one half, and the facts say both."""
    data = {"path": str(labelled(tmp_path / "labels.jsonl"))}
    outcome = filtered(tmp_path, "plain", Sure(), monkeypatch)
    assert outcome.counts["kept"] == 9 and "judge" not in outcome.facts
    outcome = filtered(tmp_path, "tried", Sure(), monkeypatch, labelled=data)
    assert kept(tmp_path / "tried")[-1] == "r/9" and 3 <= outcome.counts["kept"] <= 6
    found = outcome.facts["judge"]
    assert found["by_word"]["n"] == 200 and found["by_word"]["kappa"] < 0.2 < found["by_probability"]["kappa"]
    assert found["auc"] > 0.75 and found["calibration_error"]["calibrated"] < 0.1 < found["calibration_error"]["raw"]
    assert sum(count for _, _, count in found["reliability"]) == 200 and found["threshold"] == 0.5
    stricter = filtered(tmp_path, "strict", Sure(), monkeypatch, labelled=data, threshold=0.8)
    assert stricter.counts["kept"] < outcome.counts["kept"]


def test_a_continued_step_keeps_its_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a stop the labelled pairs are not asked again, and every shard is judged by one scale."""
    data = {"path": str(labelled(tmp_path / "labels.jsonl"))}
    filtered(tmp_path, "calm", Sure(), monkeypatch, labelled=data)
    filtered(tmp_path, "wild", Sure(), monkeypatch, labelled=data)
    for part in ("rows", "rejected"):
        (tmp_path / f"wild/{part}/000002.parquet").unlink()
    again = Sure()
    filtered(tmp_path, "wild", again, monkeypatch, labelled=data)
    assert again.asked == 2 and artifacts.list_files(tmp_path / "wild") == artifacts.list_files(tmp_path / "calm")


def test_an_engine_that_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without probabilities the word decides and its agreement is said; a threshold on top is refused."""

    class Mute(Sure):
        def complete(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
            for answer in super().complete(requests, sampling):
                yield Completion(answer.id, answer.text, "stop")

    data = {"path": str(labelled(tmp_path / "labels.jsonl"))}
    outcome = filtered(tmp_path, "mute", Mute(), monkeypatch, labelled=data)
    found = outcome.facts["judge"]
    assert outcome.counts["kept"] == 9 and found["scale"] is None and found["without_probability"] == 200
    assert len(list(judging.trial_text(found))) == 1
    with pytest.raises(InputError, match="does not tell how sure"):
        filtered(tmp_path, "refused", Mute(), monkeypatch, labelled=data, threshold=0.5)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"en": "quality 0.5 a", "ar": "ن", "good": "maybe"}, "good is 'maybe'"),
        ({"en": "quality 0.5 a", "ar": "ن"}, "good is ''"),
        ({"text": "quality 0.5", "good": "yes"}, "it is no sentence pair"),
        ({"en": "quality 0.5 a", "ar": "ن", "good": "yes"}, "1 good and 0 bad labelled pairs"),
        ({"en": "quality 0.5 a", "ar": "", "good": "yes"}, "no usable row|cannot be read"),
    ],
)
def test_labels_that_say_nothing_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: dict[str, str], said: str
) -> None:
    """A label that cannot be read, a row that is no pair and labels of one kind are errors, no silent agreement."""
    path = tmp_path / "labels.jsonl"
    path.write_text(json.dumps(line) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=said):
        filtered(tmp_path, "out", Sure(), monkeypatch, labelled={"path": str(path)})


def test_labels_may_be_notes_of_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labelled rows of an earlier step carry their label as a note of the name that the recipe gives."""
    made = [
        Row(
            f"l/{n}",
            (Message("text", "نص"),),
            "ar",
            original=(Message("text", f"quality 0.{n} x"),),
            notes={"verdict": str(n > 55)},
        )
        for n in range(10, 90)
    ]
    shards.write_rows(tmp_path / "labels/rows/000000.parquet", [(row, KEPT) for row in made])
    monkeypatch.setattr(judging, "open_engine", lambda *_, **__: Sure())
    section = Filter(data="$in", gates="none", dedup=False, judge={"model": "m", "labelled": "$labels", "label": "verdict"})
    inputs = {"in": rows(tmp_path), "labels": tmp_path / "labels"}
    outcome = run(section, Context("step", tmp_path / "out", tmp_path, Languages(), inputs, Progress(quiet=True)))
    assert outcome.facts["judge"]["by_word"]["good"] == 34 and outcome.facts["judge"]["auc"] == 1.0


def test_a_judge_no_better_than_chance_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibrated, such a judge would give every pair the same probability and keep all of them, or none."""

    class Wrong(Sure):
        def complete(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
            for answer in super().complete(requests, sampling):
                yield Completion(answer.id, "yes", "stop", probability=1.3 - (answer.probability or 0.9))

    data = {"path": str(labelled(tmp_path / "labels.jsonl"))}
    with pytest.raises(InputError, match="no better than chance"):
        filtered(tmp_path, "out", Wrong(), monkeypatch, labelled=data)


def test_a_row_of_several_messages_is_no_labelled_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that cannot be asked about as one pair are named, not a crash."""
    text = Message("text", "quality 0.5 x")
    row = Row("l/0", (text, text), "ar", original=(text,), notes={"good": "yes"})
    shards.write_rows(tmp_path / "labels/rows/000000.parquet", [(row, KEPT)])
    monkeypatch.setattr(judging, "open_engine", lambda *_, **__: Sure())
    section = Filter(data="$in", gates="none", judge={"model": "m", "labelled": "$labels"})
    inputs = {"in": rows(tmp_path), "labels": tmp_path / "labels"}
    with pytest.raises(InputError, match="no sentence pair"):
        run(section, Context("step", tmp_path / "out", tmp_path, Languages(), inputs, Progress(quiet=True)))
