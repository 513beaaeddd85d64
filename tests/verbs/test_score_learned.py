"""Learned metrics run in programs of their own: once for all models, compared like other metrics, refused when they fail."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from hala.errors import EngineError, RecipeError
from hala.progress import Progress
from hala.recipe import Evaluate, Languages
from hala.verbs import Context, Outcome
from hala.verbs.evaluate import run
from hala.verbs.results import translation_tables
from hala.verbs.status import Stage

# Scores a translation by its length: a word is one point.
OWN = """\
import json, sys
lines = [json.loads(line) for line in open(sys.argv[-2], encoding="utf-8")]
assert all(set(line) == {"source", "translation", "reference"} for line in lines)
with open("calls", "a") as calls:
    calls.write("x")
open(sys.argv[-1], "w").write("".join(f"{len(line['translation'].split())}\\n" for line in lines))
"""
# Stands for the package unbabel-comet: the three names that are used of it.
COMET = """\
class Model:
    def predict(self, samples, batch_size, gpus, progress_bar):
        assert set(samples[0]) == {"src", "mt", "ref"} and batch_size == 3
        return type("Prediction", (), {"scores": [0.5 + 0.1 * len(each["mt"].split()) for each in samples]})
def download_model(name):
    assert name == "Unbabel/wmt22-comet-da"
    return "downloaded"
def load_from_checkpoint(path):
    assert path == "downloaded"
    return Model()
"""


@pytest.fixture
def speak(monkeypatch: pytest.MonkeyPatch) -> None:
    """The baseline answers with one word, the other model with two."""
    from hala.verbs import score_pairs

    def words(
        where: str, loaded: object, sources: list[str], settings: Evaluate, languages: Languages, say: object
    ) -> list[str | None]:
        return [None, *(["كلمة كلمة" if where.endswith("child") else "كلمة"] * (len(sources) - 1))]

    monkeypatch.setattr(score_pairs, "translations", words)


def evaluate(out: Path, tiny: Path, pairs: Path, **learned: Any) -> Outcome:
    """The outcome for two models of these names."""
    child = out.parent / "child"
    if not child.exists():
        child.symlink_to(tiny)
    settings = Evaluate(models=["$base", "$child"], pairs=str(pairs), learned=learned, dtype="float32", resamples=100)
    return run(settings, Context("step", out, out.parent, Languages(), {"base": tiny, "child": child}, Progress(quiet=True)))


@pytest.mark.usefixtures("speak")
def test_a_program_of_ones_own(tmp_path: Path, tiny: Path, pairs_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One call for all models; means, differences and the direction are its own, and a failed translation is an empty one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    facts = evaluate(
        tmp_path / "out", tiny, pairs_file, metric="spoken", command=[sys.executable, "own.py"], lower_is_better=True
    ).facts
    base, child = (each for each in facts["scores"] if each["metric"] == "spoken")
    assert (tmp_path / "calls").read_text() == "x"
    assert base["value"] == pytest.approx(7 / 8) and child["value"] == pytest.approx(14 / 8) and base["n"] == 8
    assert base["low"] < base["value"] < base["high"] and base["delta"] is None
    assert child["delta"] == pytest.approx(7 / 8) and (child["wins"], child["losses"]) == (0, 7) and child["p_holm"] is not None
    stage = Stage("scores", "evaluate", tmp_path / "out", "finished")
    monkeypatch.setattr("hala.verbs.results.scores_of", lambda stage: facts["scores"])
    (table,) = translation_tables(stage)
    cells = [row[table.header.index("spoken")] for row in table.rows]
    assert [cell.best for cell in cells] == [True, False] and cells[1].verdict != "better"


@pytest.mark.usefixtures("speak")
def test_comet_by_its_package(tmp_path: Path, tiny: Path, pairs_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped program calls COMET's package as it wants to be called; scores are shown times 100."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "comet.py").write_text(COMET, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "package"))
    facts = evaluate(tmp_path / "out", tiny, pairs_file, metric="comet", python=sys.executable, batch_size=3).facts
    base, child = (each for each in facts["scores"] if each["metric"] == "comet")
    assert base["value"] == pytest.approx(100 * (0.5 + 0.1 * 7 / 8)) and child["delta"] == pytest.approx(100 * 0.1 * 7 / 8)
    assert base["signature"].startswith("comet|model:Unbabel/wmt22-comet-da|ci:percentile")


@pytest.mark.usefixtures("speak")
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise SystemExit('no weights here')", "no weights here"),
        ("open(sys.argv[-1], 'w').write('1\\n2\\n')", "2 numbers for 16"),
        ("open(sys.argv[-1], 'w').write('nan\\n' * 16)", "no finite numbers"),
    ],
)
def test_a_program_that_fails_says_why(tmp_path: Path, tiny: Path, pairs_file: Path, body: str, said: str) -> None:
    """Neither an exit code, nor too few lines, nor NaN becomes a score."""
    (tmp_path / "own.py").write_text(f"import sys\n{body}", encoding="utf-8")
    with pytest.raises(EngineError, match=said):
        evaluate(tmp_path / "out", tiny, pairs_file, metric="own", command=[sys.executable, str(tmp_path / "own.py")])


@pytest.mark.parametrize(
    ("learned", "said"),
    [
        ({"metric": "own", "command": "no-such-program"}, "no program no-such-program"),
        ({"metric": "commet"}, "no program for the metric 'commet'"),
        ({"metric": "comet", "python": "/nowhere/python"}, "no Python at"),
    ],
)
def test_what_cannot_be_run_is_said_before_a_model_loads(
    tmp_path: Path, pairs_file: Path, learned: dict[str, str], said: str
) -> None:
    """A wrong name or environment costs no translation."""
    settings = Evaluate(models=str(tmp_path / "no model"), pairs=str(pairs_file), learned=learned)
    with pytest.raises(RecipeError, match=said):
        run(settings, Context("step", tmp_path / "out", tmp_path, Languages(), {}, Progress(quiet=True)))
