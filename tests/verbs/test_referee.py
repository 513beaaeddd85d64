"""The referee between two models: both orders are asked, only agreement counts, and nothing that it says is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hala.engines.scripted import Faults, ScriptedEngine
from hala.evals.probes import Probe, ProbeSet
from hala.evals.statistics import mcnemar
from hala.progress import Progress
from hala.recipe import Evaluate, Languages
from hala.records import Request
from hala.verbs import Context, referee
from hala.verbs.score_probes import Answer
from hala.verbs.sheet import Contestant, Sheet, correct_for_many

MODELS = [Contestant("base", "base"), Contestant("child", "child"), Contestant("third", "third")]


def answers(texts: list[str]) -> list[Answer]:
    """Answers with these texts to as many probes."""
    return [Answer(Probe(f"p{n}", f"Ask {n}", "ar"), text, True, "", 1, 1.0, (), "", ()) for n, text in enumerate(texts)]


def judge(
    out: Path, verdict: Callable[[str, str], str], faults: Faults | None = None, **texts: list[str]
) -> tuple[Sheet, ScriptedEngine]:
    """The sheet after a referee that sees (answer A, answer B) has compared the models' texts."""

    def say(request: Request) -> str:
        parts = request.messages[1].content.split("<<<\n")
        return verdict(parts[2].split("\n>>>")[0], parts[3].split("\n>>>")[0])

    engine = ScriptedEngine(say, faults)
    sheet = Sheet(answers={("probes ar", name): answers(own) for name, own in texts.items()})
    settings = Evaluate(models=["$base", "$child"], probes="ar", referee={"model": "judge-7b", "engine": "vllm"})
    context = Context("step", out, out, Languages(), {}, Progress())
    models = [each for each in MODELS if each.name in texts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(referee, "open_engine", lambda *_, **__: engine)
        referee.compare_answers(sheet, settings, context, models, {"probes ar": ProbeSet("ar", "ar", (), "0" * 64)})
    return sheet, engine


def longer(first: str, second: str) -> str:
    """A referee without a favourite place: the longer answer wins."""
    return "tie" if len(first) == len(second) else "A" if len(first) > len(second) else "B"


def values(sheet: Sheet, model: str = "child") -> dict[str, float]:
    """The shares by the last word of their metric."""
    return {s["metric"].removeprefix("referee_"): s["value"] for s in sheet.scores if s["model"] == model}


def test_wins_ties_and_losses(tmp_path: Path) -> None:
    """A fair referee's verdicts are what it says; equal answers are ties that nobody was asked about."""
    sheet, engine = judge(tmp_path, longer, base=["aa", "aa", "aa", "aa"], child=["aaa", "bbb", "b", "aa"])
    assert values(sheet) == {"wins": 50.0, "ties": 25.0, "losses": 25.0, "inconsistent": 0.0, "unparsed": 0.0}
    assert engine.calls == 6 and engine.closed
    wins = sheet.scores[0]
    assert wins["p"] == mcnemar(2, 1) and (wins["wins"], wins["losses"], wins["test"]) == (2, 1, "sign-exact")
    assert wins["low"] < 50 < wins["high"] and wins["n"] == 4 and "referee:judge-7b|orders:2|against:base" in wins["signature"]
    assert [record["referee"] for record in sheet.records] == ["win", "win", "loss", "tie"]


@pytest.mark.parametrize("letter", ["A", "B"])
def test_a_referee_that_always_likes_one_place_decides_nothing(tmp_path: Path, letter: str) -> None:
    """Position bias shows as contradictions, never as wins."""
    sheet, _ = judge(tmp_path, lambda first, second: letter, base=["a"] * 5, child=["b"] * 5)
    assert values(sheet) == {"wins": 0.0, "ties": 100.0, "losses": 0.0, "inconsistent": 100.0, "unparsed": 0.0}
    assert sheet.scores[0]["p"] == 1.0


def test_what_cannot_be_read_is_counted_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A chatty referee's words stand in the records, the share of them in the scores, and the run says it aloud."""
    sheet, _ = judge(tmp_path, lambda first, second: "Both are fine!", base=["a"] * 4, child=["b"] * 4)
    assert values(sheet)["unparsed"] == values(sheet)["ties"] == 100.0
    assert sheet.records[0]["said"] == ["Both are fine!"] * 2
    told = capsys.readouterr().err
    assert "the referee's verdict on 4 of 4 probes ar of child is none of A, B and tie (it said: Both are fine!)" in told


def test_failed_calls_are_unparsed(tmp_path: Path) -> None:
    """A request that fails leaves no verdict, in whatever order answers arrive."""
    sheet, _ = judge(tmp_path, longer, Faults(seed=3, error=0.4, shuffled=4), base=["a"] * 30, child=["bb"] * 30)
    found = values(sheet)
    assert 0 < found["unparsed"] < 100 and found["wins"] + found["unparsed"] == pytest.approx(100)
    assert any("scripted failure" in said for record in sheet.records for said in record["said"])


def test_every_model_meets_the_baseline_and_p_is_corrected(tmp_path: Path) -> None:
    """Two models are two tests of one family."""
    sheet, _ = judge(tmp_path, longer, base=["aa"] * 8, child=["bbb"] * 8, third=["b"] * 8)
    correct_for_many(sheet.scores)
    assert values(sheet, "child")["wins"] == values(sheet, "third")["losses"] == 100.0
    assert [s["p_holm"] for s in sheet.scores if s["metric"] == "referee_wins"] == [2 * mcnemar(8, 0)] * 2
    assert json.dumps(sheet.scores)


def test_settings_that_cannot_work_are_refused() -> None:
    """Before anything runs: a referee without answers, without an address, or on an engine that translates."""
    with pytest.raises(ValidationError, match="give probes"):
        Evaluate(models="$m", suite="exams", referee={"model": "judge"})
    with pytest.raises(ValidationError, match="needs its url"):
        Evaluate(models="$m", probes="ar", referee={"model": "judge", "engine": "server"})
    with pytest.raises(ValidationError, match="'local', 'vllm' or 'server'"):
        Evaluate(models="$m", probes="ar", referee={"model": "judge", "engine": "echo"})


def test_no_referee_no_verdicts(tmp_path: Path) -> None:
    """Without the key nothing is loaded or asked."""
    sheet: Any = Sheet()
    context = Context("step", tmp_path, tmp_path, Languages(), {}, Progress(quiet=True))
    referee.compare_answers(sheet, Evaluate(models="$m", probes="ar"), context, MODELS, {})
    assert sheet == Sheet()
