"""compress as a step: the copy is smaller, close, and loads; layers are kept, verified and tested as the settings say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from hala import artifacts, pipeline
from hala.errors import CorruptError, InputError, QualityError
from hala.progress import Progress
from hala.recipe import Compress, Languages
from hala.verbs import Context, Outcome
from hala.verbs.compress import run


def compress(out: Path, tiny: Path, **settings: object) -> Outcome:
    """The outcome of compressing the tiny checkpoint."""
    section = Compress(model="$tiny", **settings)
    return run(section, Context("step", out, out.parent, Languages(), {"tiny": tiny}, Progress(quiet=True)))


def test_copy_is_smaller_close_and_loads(tmp_path: Path, tiny: Path) -> None:
    """Sizes fall, the mean relative error is that of FP8, and the logits stay near those of the original."""
    from hala.weights.loading import load_model

    outcome = compress(tmp_path / "out", tiny)
    assert outcome.facts["bytes_after"] < outcome.facts["bytes_before"]
    assert (
        0 < outcome.facts["mean_rel_error"] < 0.06
        and outcome.counts["tensors_quantised"] == outcome.facts["tensors_quantised"] > 0
    )
    (before, tokenizer), (after, _) = load_model(tiny, "float32"), load_model(tmp_path / "out", "float32")
    inputs = tokenizer("The cat is in the house.", return_tensors="pt")
    one, two = before(**inputs).logits, after(**inputs).logits
    assert torch.nn.functional.cosine_similarity(one.flatten(), two.flatten(), dim=0) > 0.98


def test_nothing_left_to_compress_is_an_error(tmp_path: Path, tiny: Path) -> None:
    """With every module ignored there is no FP8 copy to speak of."""
    with pytest.raises(InputError, match="no matrix to quantise"):
        compress(tmp_path / "out", tiny, ignore=["re:.*"])


def test_worst_layers_stay_within_the_budget(tmp_path: Path, tiny: Path) -> None:
    """`keep: auto` lists every layer with its harm, keeps some and no more than the budget, and says why each tensor stayed."""
    outcome = compress(tmp_path / "out", tiny, keep="auto", keep_budget=0.2)
    layers = outcome.facts["layers"]
    kept = [layer for layer in layers if layer["kept"]]
    assert kept and len(kept) < len(layers)
    plain = compress(tmp_path / "plain", tiny)
    assert sum(layer["cost"] for layer in kept) <= 0.2 * plain.facts["bytes_after"]
    assert outcome.facts["bytes_after"] == plain.facts["bytes_after"] + sum(layer["cost"] for layer in kept)
    assert outcome.facts["kept"]["in keep"] == sum(len(layer["modules"]) for layer in kept)
    saved = json.loads((tmp_path / "out/compress.json").read_text(encoding="utf-8"))
    assert saved["layers"] == layers


def test_prompts_judge_by_what_the_model_says(tmp_path: Path, tiny: Path, pairs_file: Path) -> None:
    """With prompts the harm of a layer is a divergence of outputs: other numbers, and the same result each time."""
    prompts = {"path": str(pairs_file), "columns": {"source": "en", "target": "ar"}}
    first = compress(tmp_path / "a", tiny, keep="auto", keep_budget=0.2, prompts=prompts, prompt_rows=2)
    again = compress(tmp_path / "b", tiny, keep="auto", keep_budget=0.2, prompts=prompts, prompt_rows=2)
    weights = compress(tmp_path / "c", tiny, keep="auto", keep_budget=0.2)
    harm = {layer["name"]: layer["harm"] for layer in first.facts["layers"]}
    assert first.facts["layers"] == again.facts["layers"] and sum(harm.values()) > 0
    assert harm != {layer["name"]: layer["harm"] for layer in weights.facts["layers"]}


def test_verification_reads_back_and_loads(tmp_path: Path, tiny: Path) -> None:
    """`verify` compares every weight on disk and runs the result in transformers."""
    found = compress(tmp_path / "out", tiny, verify=True).facts["verified"]
    assert (
        found["load"] == "loaded with transformers and compressed-tensors"
        and 0 < found["worst_rel_error"] < 0.06
        and found["lost_rows"] == 0
    )


def test_recovery_fails_beyond_the_tolerance(
    tmp_path: Path, tiny: Path, pairs_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that translates worse than allowed is refused with its figures, which are on disk; a wider tolerance passes."""
    references = [json.loads(line)["ar"] for line in pairs_file.read_text(encoding="utf-8").splitlines()]
    worse = [text if number % 4 else None for number, text in enumerate(references)]
    monkeypatch.setattr("hala.verbs.recovery.translations", lambda where, *_: references if where == str(tiny) else worse)
    settings = {"pairs": str(pairs_file), "resamples": 100}
    with pytest.raises(QualityError, match=r"loses more than 1 points: pairs.jsonl, bleu-13a 100.0 -> .* \(95% interval"):
        compress(tmp_path / "out", tiny, recovery=settings)
    saved = json.loads((tmp_path / "out/.work/recovery.json").read_text(encoding="utf-8"))
    assert {entry["metric"] for entry in saved} == {"bleu-13a", "chrf++"} and not any(entry["passed"] for entry in saved)
    monkeypatch.setattr("hala.verbs.recovery.translations", None)  # judged again, not translated again
    passed = compress(tmp_path / "out", tiny, recovery=settings | {"tolerance": 100}).facts["recovery"]
    assert all(entry["passed"] and entry["loss_low"] <= entry["loss"] <= entry["loss_high"] for entry in passed)


def test_recovery_translates_with_both_checkpoints(tmp_path: Path, tiny: Path, pairs_file: Path) -> None:
    """The two checkpoints themselves translate, and a model without any skill loses nothing."""
    settings = {"pairs": str(pairs_file), "max_tokens": 4, "dtype": "float32", "resamples": 100}
    entries = compress(tmp_path / "out", tiny, recovery=settings).facts["recovery"]
    assert [entry["metric"] for entry in entries] == ["bleu-13a", "chrf++"] and all(entry["n"] == 8 for entry in entries)


def test_settings_that_would_do_nothing_are_refused() -> None:
    """A budget without `keep: auto` is a mistake, not a default."""
    with pytest.raises(ValueError, match="keep_budget does nothing without keep: auto"):
        Compress(model="$tiny", keep_budget=0.2)


def test_blocks_that_engines_cannot_run_are_named(tmp_path: Path, tiny: Path) -> None:
    """Matrices narrower than a block are written as asked, but said to be trouble; other schemes have no such limit."""
    assert "no multiple of 128 wide" in compress(tmp_path / "block", tiny, scheme="fp8-block").facts["warning"]
    assert "warning" not in compress(tmp_path / "int8", tiny, scheme="int8-dynamic").facts


# Tests of what is finished --------------------------------------------------------------------------------------------


def made(out: Path, tiny: Path, **settings: object) -> artifacts.Manifest:
    """The manifest after the command `compress` with these settings."""
    pipeline.run_verb("compress", {"model": str(tiny), **settings}, out, Progress(quiet=True))
    manifest = artifacts.read_manifest(out)
    assert manifest is not None
    return manifest


def times(out: Path) -> dict[str, int]:
    """When each file but the manifest was written."""
    return {path.name: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name != artifacts.MANIFEST}


def test_finished_compression_is_verified_without_doing_it_again(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`verify` asked later adds its facts to the manifest, once; weights and digest stay, so nothing that follows is redone."""
    first, before = made(tmp_path / "out", tiny), times(tmp_path / "out")
    later = made(tmp_path / "out", tiny, verify=True)
    assert later.facts["verified"]["lost_rows"] == 0 and "verified" not in first.facts and later.config["verify"] is True
    assert (later.digest, later.files, later.fingerprint) == (first.digest, first.files, first.fingerprint)
    assert later.facts == made(tmp_path / "at once", tiny, verify=True).facts
    monkeypatch.setattr("hala.verbs.compress.check", None)
    assert (
        made(tmp_path / "out", tiny, verify=True) == made(tmp_path / "out", tiny) == later and times(tmp_path / "out") == before
    )


def test_verification_of_a_finished_compression_finds_a_changed_byte(tmp_path: Path, tiny: Path) -> None:
    """A bit that a disk turned round is found, and the manifest does not say that all is well."""
    made(tmp_path / "out", tiny)
    file = tmp_path / "out/model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + bytes([file.read_bytes()[-1] ^ 64]))
    with pytest.raises(CorruptError):
        made(tmp_path / "out", tiny, verify=True)
    assert "verified" not in made(tmp_path / "out", tiny).facts


def test_finished_compression_is_tested_on_translations(
    tmp_path: Path, tiny: Path, pairs_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test asked later fails with its figures kept; another tolerance judges them anew, other pairs are translated."""
    references = [json.loads(line)["ar"] for line in pairs_file.read_text(encoding="utf-8").splitlines()]
    asked: list[str] = []

    def translate(where: str, loaded: object, sources: list[str], *_: object) -> list[str | None]:
        asked.append(where)
        return [text if where == str(tiny) or number % 4 else None for number, text in enumerate(references[: len(sources)])]

    monkeypatch.setattr("hala.verbs.recovery.translations", translate)
    settings = {"pairs": str(pairs_file), "resamples": 100}
    out = tmp_path / "out"
    first, before = made(out, tiny), times(out)
    for _ in range(2):
        with pytest.raises(QualityError, match=rf"loses more than 1 points: .*{out}/manifest\.json"):
            made(out, tiny, recovery=settings)
    failed = made(out, tiny)
    assert len(asked) == 2 and failed.digest == first.digest and not any(entry["passed"] for entry in failed.facts["recovery"])
    passed = made(out, tiny, recovery=settings | {"tolerance": 100})
    assert len(asked) == 2 and [entry["tolerance"] for entry in passed.facts["recovery"]] == [100, 100]
    made(out, tiny, recovery=settings | {"tolerance": 100, "limit": 4})
    assert len(asked) == 4 and times(out) == before


def test_pairs_that_are_not_there_are_missed_before_the_work(tmp_path: Path, tiny: Path) -> None:
    """Hours of compression are not spent on a test that cannot be made."""
    with pytest.raises(InputError, match=r"none\.jsonl"):
        made(tmp_path / "out", tiny, recovery={"pairs": str(tmp_path / "none.jsonl")})
    assert not list(tmp_path.iterdir())
