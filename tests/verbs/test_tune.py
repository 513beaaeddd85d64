"""tune as a step: rows become a checkpoint, and whatever was not learned from is counted."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from hala import shards
from hala.errors import InputError, RecipeError
from hala.progress import Progress
from hala.recipe import Languages, Tune
from hala.records import KEPT, Message, Row
from hala.verbs import Context, Outcome
from hala.verbs.tune import run

QUICK = {"max_steps": 2, "batch_tokens": 128, "max_length": 64, "precision": "float32", "learning_rate": 1e-3}
NEW = {"hidden_size": 32, "layers": 2, "ff_size": 64, "heads": 2, "kv_heads": 1, "vocab_size": 320, "max_positions": 128}


def tune(out: Path, inputs: dict[str, Path] | None = None, **settings: object) -> Outcome:
    """The outcome of a training of two small steps."""
    out.mkdir()
    section = Tune(**{**QUICK, **settings})
    return run(section, Context("step", out, out.parent, Languages(), inputs or {}, Progress(quiet=True)))


def test_new_translator_from_pairs(tmp_path: Path, pairs_file: Path) -> None:
    """Random weights and a new tokenizer become a checkpoint that loads and knows its task, prompt and languages."""
    from hala.weights.loading import load_model

    outcome = tune(tmp_path / "out", data=str(pairs_file), new=NEW, task="translation", prompt="To {language}: {text}")
    about = json.loads((tmp_path / "out/hala.json").read_text(encoding="utf-8"))
    assert about["task"] == "translation" and about["prompt"] == "To Arabic: {text}" and about["target"] == "ar"
    model, tokenizer = load_model(tmp_path / "out", "float32")
    assert outcome.facts["parameters"] == sum(each.numel() for each in model.parameters()) and len(tokenizer) <= 320
    assert outcome.counts["pairs"] == 8 == outcome.counts["examples"] and outcome.facts["steps"] == 2
    assert (tmp_path / "out/curve.jsonl").read_text(encoding="utf-8").count("\n") >= 1


def test_a_translator_of_both_directions(tmp_path: Path, tiny: Path, pairs_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each direction is asked for by its own language, counted, and known to the checkpoint and to those who use it."""
    from hala.training import examples
    from hala.verbs import learnt_prompt, trained_for
    from hala.verbs.translators import translation_facts

    seen: list[str] = []
    render = examples.render

    def look(row: Row, tokenizer: object, form: examples.Form) -> object:
        pieces = render(row, tokenizer, form)  # type: ignore[arg-type]
        seen.append("".join(text for text, _ in pieces[0]))  # type: ignore[index]
        return pieces

    monkeypatch.setattr(examples, "render", look)
    words = {"data": str(pairs_file), "base": str(tiny), "task": "translation", "prompt": "Into {language}: {text}"}
    outcome = tune(tmp_path / "both", **words, directions={"backward": 1.0})
    assert (outcome.counts["forward"], outcome.counts["backward"], outcome.counts["examples"]) == (8, 8, 16)
    assert sum("Into Arabic: " in text for text in seen) == sum("Into English: " in text for text in seen) == 8
    about = trained_for(str(tmp_path / "both"))
    assert (learnt_prompt(about, "ar"), learnt_prompt(about, "en")) == ("Into Arabic: {text}", "Into English: {text}")
    assert translation_facts(str(tmp_path / "both"), "ar", "en")["prompt"] == "Into English: {text}"
    tune(tmp_path / "back", **words, directions={"forward": 0.0, "backward": 1.0})
    assert (
        trained_for(str(tmp_path / "back")).items() >= {"prompt": "Into English: {text}", "source": "ar", "target": "en"}.items()
    )
    with pytest.raises(RecipeError, match="does not say which is wanted"):
        tune(tmp_path / "unclear", **words | {"prompt": "{text}"}, directions={"backward": 0.5})


@pytest.mark.parametrize(
    ("words", "said"),
    [({"directions": {"backward": 1}}, "those of task: translation"),
     ({"directions": {"forward": 0}, "task": "translation"}, "nothing to learn")],
)  # fmt: skip
def test_directions_that_mean_nothing_are_refused(words: dict[str, object], said: str) -> None:
    """A chat has no direction, and a translator has at least one."""
    with pytest.raises(ValueError, match=said):
        Tune(data="x.jsonl", base="b", **words)


def test_rows_in_the_source_language_are_no_translations(tmp_path: Path, tiny: Path) -> None:
    """A row that was translated the other way would teach the wrong side: it is rejected with the reason, and counted."""
    rows = [
        Row(f"r{n}", (Message("text", text),), lang, original=(Message("text", source),))
        for n, (lang, text, source) in enumerate([("ar", "القط", "the cat"), ("en", "the dog", "الكلب")])
    ]
    shards.write_rows(tmp_path / "rows/rows/000000.parquet", [(row, KEPT) for row in rows])
    inputs = {"rows": tmp_path / "rows"}
    made = tune(tmp_path / "out", inputs, data="$rows", base=str(tiny), task="translation", prompt="{text}").counts
    assert made["examples"] == 1 and made["rejected/other_direction"] == 1 and made["pairs"] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"max_length": 4096, "batch_tokens": 8192}, "max_length is 4,096, and the model has"),
        ({"eval_data": "bad.jsonl"}, "has nothing to evaluate on: 1 rows of eval_data, 1 rejected"),
    ],
)
def test_what_cannot_work_is_said_before_it_trains(
    tmp_path: Path, tiny: Path, chats_file: Path, words: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Examples longer than the model's positions, and held-out rows of which none is left, stop the step."""
    monkeypatch.chdir(tmp_path)
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "word " * 200}]
    (tmp_path / "bad.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
    with pytest.raises(InputError, match=said):
        tune(tmp_path / "out", data=str(chats_file), base=str(tiny), **words)


def test_an_update_that_holds_less_is_said(
    tmp_path: Path, tiny: Path, chats_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whole rows alone fill an update, and few updates learn little: both are told, not silently done."""
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "more").mkdir()
    section = Tune(**{**QUICK, "data": str(chats_file), "base": str(tiny), "batch_tokens": 150})
    run(section, Context("step", out, out.parent, Languages(), {}, Progress()))
    said = capsys.readouterr().err
    assert "an update holds 128 tokens: 2 rows of 64 (max_length)" in said and "fewer than 20" not in said
    section = section.model_copy(update={"batch_tokens": 17 * 64, "micro_tokens": 16 * 64})
    run(section, Context("step", tmp_path / "more", tmp_path, Languages(), {}, Progress()))
    assert "its 17 rows go through 1 by 1: batch_tokens 1,024 would go 16 by 16" in capsys.readouterr().err
    section = Tune(**{**QUICK, "data": str(chats_file), "base": str(tiny), "max_steps": None})
    (tmp_path / "few").mkdir()
    run(section, Context("step", tmp_path / "few", tmp_path, Languages(), {}, Progress()))
    assert "fewer than 20 updates: lower batch_tokens" in capsys.readouterr().err


def test_everything_left_out_is_counted(tmp_path: Path, tiny: Path, pairs_file: Path) -> None:
    """Malformed lines, pairs without partner, lost spans and too long examples: pairs = examples + rejected."""
    with pairs_file.open("a", encoding="utf-8") as stream:
        stream.write('{"en": "Run `ls`.", "ar": "نفذ."}\n{broken\n')
        stream.write(json.dumps({"en": "long " * 99, "ar": "طويل " * 99}) + "\n")
    counts = tune(tmp_path / "out", data=str(pairs_file), base=str(tiny), task="translation", prompt="{text}").counts
    assert counts["malformed"] == 1 and counts["rows"] == 10 and counts["rejected/spans_differ"] == 1
    left_out = sum(value for key, value in counts.items() if key.startswith("rejected/"))
    assert counts["pairs"] == counts["examples"] + left_out == 10 and left_out == 2


def test_malformed_training_and_evaluation_lines_are_both_stored(tmp_path: Path, tiny: Path, chats_file: Path) -> None:
    """The broken lines of the evaluation data do not replace those of the training data."""
    checks = tmp_path / "checks.jsonl"
    checks.write_text(chats_file.read_text(encoding="utf-8") + "{bad check\n", encoding="utf-8")
    chats_file.write_text(chats_file.read_text(encoding="utf-8") + "{bad row\n", encoding="utf-8")
    outcome = tune(tmp_path / "out", data=str(chats_file), eval_data=str(checks), base=str(tiny))
    stored = [json.loads(line)["file"] for line in (tmp_path / "out/malformed.jsonl").read_text(encoding="utf-8").splitlines()]
    assert stored == [str(chats_file), str(checks)] and outcome.counts["malformed"] == 1
    assert outcome.counts["eval_malformed"] == 1 and outcome.counts["eval_rejected"] == 0
    assert outcome.facts["eval_loss"] > 0


def test_licences_travel(tmp_path: Path, tiny: Path) -> None:
    """The checkpoint names the licence of every row that it learned from."""
    rows = [
        Row(f"r/{i}", (Message("text", f"Some text, number {i}."),), licence=name)
        for i, name in enumerate(["MIT", "CC0-1.0", "", "MIT"])
    ]
    shards.write_rows(tmp_path / "rows/rows/000000.parquet", [(row, KEPT) for row in rows])
    tune(tmp_path / "out", {"rows": tmp_path / "rows"}, data="$rows", base=str(tiny), task="text")
    about = json.loads((tmp_path / "out/hala.json").read_text(encoding="utf-8"))
    assert about["data_licences"] == ["CC0-1.0", "MIT", "unknown"] and "prompt" not in about


def test_nothing_to_learn_from_is_an_error(tmp_path: Path, tiny: Path, chats_file: Path) -> None:
    """A translator cannot learn from rows without original, and the reason is said."""
    with pytest.raises(InputError, match=r"nothing to learn from: 8 rows read, .*not_a_pair 8"):
        tune(tmp_path / "out", data=str(chats_file), base=str(tiny), task="translation")


def test_evaluation_rows_are_counted_apart(tmp_path: Path, tiny: Path, pairs_file: Path) -> None:
    """What the evaluation data loses, before and after it is cut into tokens, is no loss of the training data."""
    checks = tmp_path / "checks.jsonl"
    odd = [{"en": "Run `ls`.", "ar": "نفذ."}, {"en": "long " * 99, "ar": "طويل " * 99}, {"en": "A text.", "ar": "نص."}]
    checks.write_text("".join(json.dumps(each) + "\n" for each in odd), encoding="utf-8")
    counts = tune(
        tmp_path / "out", data=str(pairs_file), eval_data=str(checks), base=str(tiny), task="translation", prompt="{text}"
    ).counts
    assert counts["eval_rejected"] == 2 and counts["rows"] == 8 == counts["examples"]
    assert not [key for key in counts if key.startswith("rejected/")]


def test_rows_are_not_held_without_need(tmp_path: Path, tiny: Path, chats_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows pass through into examples one after the other; only a new tokenizer needs them all at once."""
    from hala.training import examples

    kinds, real = [], examples.make_examples
    monkeypatch.setattr(examples, "make_examples", lambda rows, *rest: kinds.append(type(rows)) or real(rows, *rest))
    tune(tmp_path / "a", data=str(chats_file), base=str(tiny))
    tune(tmp_path / "b", data=str(chats_file), new={**NEW, "tokenizer": str(tiny)})
    tune(tmp_path / "c", data=str(chats_file), new=NEW)
    assert [each is list for each in kinds[::2]] == [False, False, True]


def test_the_order_of_a_mix_reaches_the_batches(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Easy rows first, hard ones last: with `order: given` the share of hard examples rises from step to step."""
    from hala import pipeline
    from hala.training import trainer

    for name, number in (("easy", 500), ("hard", 500)):
        rows = [Row(f"{name}/{i}", (Message("text", f"{name} text {i} " * (1 + i % 3)),)) for i in range(number)]
        shards.write_rows(tmp_path / name / "rows/000000.parquet", [(row, KEPT) for row in rows])
    parts = [{"data": str(tmp_path / "easy"), "end": 0.7}, {"data": str(tmp_path / "hard"), "start": 0.3}]
    pipeline.run_verb("mix", {"parts": parts, "tokenizer": str(tiny)}, tmp_path / "mixed", Progress(quiet=True))
    batches: list[list[str]] = []

    def look(
        model: object, tokenizer: object, examples: list[trainer.Example], settings: trainer.TrainSettings, *_: object
    ) -> None:
        rows = trainer.PackedRows(examples, settings)
        step = settings.batch_tokens // settings.row_length
        batches.extend([doc.id for i in range(s, min(s + step, len(rows))) for doc in rows[i]] for s in range(0, len(rows), step))
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "train", look)
    words = {"data": str(tmp_path / "mixed"), "base": str(tiny), "task": "text", "max_steps": None, "batch_tokens": 64 * 64}
    with pytest.raises(KeyboardInterrupt):
        tune(tmp_path / "out", order="given", **words)
    hard = [sum(name.startswith("hard") for name in batch) / len(batch) for batch in batches]
    assert len(hard) > 5 and hard[0] == 0 and hard[-1] == 1 and hard == sorted(hard) and len({*hard}) > 3


def test_adapters_leave_a_merged_checkpoint_and_peft_files(tmp_path: Path, tiny: Path, chats_file: Path) -> None:
    """With `lora` the step is a plain checkpoint that every verb reads, and `adapter/` on the base gives the same logits."""
    import torch
    from peft import PeftModel

    from hala.weights.loading import load_model

    outcome = tune(tmp_path / "out", data=str(chats_file), base=str(tiny), lora={"rank": 4}, learning_rate=1e-2, max_steps=8)
    model, _ = load_model(tmp_path / "out", "float32", "cpu")
    base, _ = load_model(tiny, "float32", "cpu")
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        merged, before = model(input_ids=ids).logits, base(input_ids=ids).logits
        together = PeftModel.from_pretrained(base, tmp_path / "out/adapter")(input_ids=ids).logits
    assert (merged - together).abs().max() < 1e-5 and (merged - before).abs().max() > 1e-3
    assert 0 < outcome.facts["trained_parameters"] < outcome.facts["parameters"] == sum(p.numel() for p in model.parameters())
    config = json.loads((tmp_path / "out/adapter/adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == str(tiny) and config["r"] == 4


def test_adapters_without_peft_say_what_to_install(
    tmp_path: Path, tiny: Path, chats_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing optional package is an error in words before anything is read."""
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InputError, match=r"peft.*pip install \"hala\[lora\]\""):
        tune(tmp_path / "out", data=str(chats_file), base=str(tiny), lora={"rank": 4})


@pytest.mark.parametrize("words", [{"new": NEW}, {"base": "x", "optimizer": "muon"}])
def test_adapters_need_a_base_and_adamw(words: dict[str, object]) -> None:
    """Combinations that mean nothing are refused before a run."""
    with pytest.raises(ValueError, match="lora needs a base"):
        Tune(**{"data": "rows.jsonl", "lora": {}, **words})


def test_left_out_updates_are_counted(tmp_path: Path, tiny: Path, chats_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest says how many updates were not made and why; the step goes on to its end."""
    from hala.training.guard import Guard

    real, seen = Guard.wrong, []

    def wrong(self: Guard, loss: float, norm: float) -> str | None:
        seen.append(loss)
        return real(self, float("nan") if len(seen) == 2 else loss, norm)

    monkeypatch.setattr(Guard, "wrong", wrong)
    outcome = tune(tmp_path / "out", data=str(chats_file), base=str(tiny), max_steps=4, on_bad_step="skip")
    assert outcome.counts["left_out_steps"] == 1 and outcome.facts["steps"] == 4
    assert list(outcome.facts["bad_steps"]) == [{"step": 2, "why": "loss is nan"}]


def test_samples_and_early_stop_reach_the_step(tmp_path: Path, tiny: Path, chats_file: Path) -> None:
    """`samples` leaves readable prompts, answers and references; `patience` and `average` say which step was kept."""
    words = {"eval_data": str(chats_file), "eval_steps": 1, "samples": 2, "sample_tokens": 4, "patience": 1, "average": "ema"}
    outcome = tune(tmp_path / "out", data=str(chats_file), base=str(tiny), max_steps=6, learning_rate=0.5, **words)
    kept = [json.loads(line) for line in (tmp_path / "out/samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(kept) == 2 * outcome.facts["steps"] and "The cat is in the house. Why?" in kept[0]["prompt"]
    assert "Because. The cat is in the house." in kept[0]["reference"] and set(kept[0]) > {"answer", "step", "id"}
    assert outcome.facts["best_step"] <= outcome.facts["steps"]


@pytest.mark.parametrize(
    ("words", "said"),
    [({"patience": 1}, "need eval_data"), ({"samples": 1}, "need eval_data"), ({"patience": 1, "average": "last"}, "choose ema")],
)
def test_evaluation_needs_data(words: dict[str, object], said: str) -> None:
    """What needs an evaluation is refused without one, before a run."""
    data = {"eval_data": "checks.jsonl"} if "average" in words else {}
    with pytest.raises(ValueError, match=said):
        Tune(**{"data": "rows.jsonl", "base": "x", **data, **words})


def test_a_missing_tracker_is_said_first(tmp_path: Path, tiny: Path, chats_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracker that is not installed is an error before rows are read; one that is known gets the curve."""
    import types

    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match="wandb is not installed"):
        tune(tmp_path / "a", data="no-such-file.jsonl", base=str(tiny), trackers=["wandb"])
    module, steps = types.ModuleType("trackio"), list[int]()
    vars(module).update(init=lambda **_: None, log=lambda values, step: steps.append(step), finish=lambda: None)
    monkeypatch.setitem(sys.modules, "trackio", module)
    tune(tmp_path / "b", data=str(chats_file), base=str(tiny), trackers="trackio")
    assert steps == [2]
