"""Translators for CTranslate2: what is none is refused before the library sees it, what is a checkpoint is converted once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hala.errors import EngineError, InputError
from hala.inputs import _tree_digest
from hala.weights import ctranslate
from hala.weights.ctranslate import Translator, is_ctranslate, prepare, read_vocabulary, variables

from ..engines.tiny_translators import make_m2m, make_marian

pytest.importorskip("ctranslate2")


@pytest.fixture(scope="module")
def marian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of transformers."""
    folder = tmp_path_factory.mktemp("marian") / "model"
    make_marian(folder)
    return folder


@pytest.fixture(scope="module")
def converted(marian: Path) -> Translator:
    """Its copy in CTranslate2's format."""
    return prepare(marian)


@pytest.fixture
def copy(converted: Translator, tmp_path: Path) -> Path:
    """The copy, to be damaged."""
    return Path(shutil.copytree(converted.folder, tmp_path / "copy"))


def test_a_checkpoint_is_converted_once_for_each_quantisation(
    marian: Path, converted: Translator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy lies in the cache with what the model knows and holds, and is used again by content, from any place."""
    assert is_ctranslate(converted.folder) and not is_ctranslate(marian)
    assert converted.folder.parent == ctranslate.cache()
    assert (converted.tokenizer, converted.positions) == (marian, 64)
    assert converted.source == converted.target == read_vocabulary(converted.folder, "source")
    assert {"</s>", ">>ara<<"} < set(converted.source)
    small = prepare(marian, None, "int8")
    assert (small.folder / "model.bin").stat().st_size < (converted.folder / "model.bin").stat().st_size

    def never(*_: Any) -> None:
        raise AssertionError("converted again")

    monkeypatch.setattr(ctranslate, "_convert", never)
    moved = Path(shutil.copytree(marian, tmp_path / "elsewhere"))
    assert prepare(moved).folder == converted.folder
    assert prepare(moved, None, "int8").folder == small.folder


def test_another_checkpoint_is_another_copy(marian: Path, converted: Translator, tmp_path: Path) -> None:
    """A changed tokenizer makes another copy, for its pieces may be others."""
    other = Path(shutil.copytree(marian, tmp_path / "other"))
    words = json.loads((other / "vocab.json").read_text())
    (other / "vocab.json").write_text(json.dumps(words, indent=1))
    assert prepare(other).folder != converted.folder


def test_m2m_keeps_its_languages(tmp_path: Path) -> None:
    """The tokens of languages, which tokenizers no longer list, are in the vocabulary at their places."""
    make_m2m(tmp_path / "m2m")
    found = prepare(tmp_path / "m2m")
    first = found.source.index("__af__")
    assert found.source[first + 2] == "__ar__" and found.source[-1] == "madeupword7"
    assert first + 100 + 8 == len(found.source)


def test_tensors_are_listed_without_reading_them(converted: Translator) -> None:
    """Names and shapes come from the file itself."""
    found = dict(variables(converted.folder / "model.bin"))
    assert found["decoder/position_encodings/encodings"] == (64, 32)
    assert any(name.startswith("decoder/layer_1/") for name in found)


def test_cut_files_are_refused_at_any_place(copy: Path) -> None:
    """A model file that ends early is refused wherever it ends, and never given to the library."""
    whole = (copy / "model.bin").read_bytes()
    for length in [*range(0, 120, 7), *range(200, len(whole), len(whole) // 40)]:
        (copy / "model.bin").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"cut off|no model|no encoder"):
            prepare(copy)


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (b"PK\x03\x04", "pickled"),
        (b"\x80\x02}q\x00", "pickled"),
        (b"\xff\xff\xff\x7f", "no model of CTranslate2"),
        (b"\x06\x00\x00\x00\x17\x00TransformerDecoderSpec\x00" + bytes(40), "TransformerDecoderSpec"),
        (b"\x06\x00\x00\x00\x10\x00TransformerSpec\x00" + b"\xff" * 40, "tensors"),
    ],
)
def test_other_files_are_refused(copy: Path, start: bytes, reason: str) -> None:
    """Pickles, language models and nonsense under the name model.bin are refused with the reason."""
    (copy / "model.bin").write_bytes(start + bytes(100))
    with pytest.raises(InputError, match=reason):
        prepare(copy)


def test_bad_vocabularies_are_refused(copy: Path) -> None:
    """A vocabulary that is no list of tokens, or missing on one side, is an error that names it."""
    file = copy / "shared_vocabulary.json"
    for content in ("[", "{}", "[1]", "[]"):
        file.write_text(content)
        with pytest.raises(InputError, match="shared_vocabulary"):
            prepare(copy)
    file.rename(copy / "source_vocabulary.json")
    (copy / "source_vocabulary.json").write_text('["</s>"]')
    with pytest.raises(InputError, match="target_vocabulary"):
        prepare(copy)


def test_vocabularies_of_lines_keep_odd_tokens(copy: Path) -> None:
    """The older format is one token a line; line separators of other kinds are tokens."""
    (copy / "shared_vocabulary.json").unlink()
    (copy / "shared_vocabulary.txt").write_text("<s>\n\u2028\n\x85\na\n", encoding="utf-8")
    assert prepare(copy).source == ["<s>", "\u2028", "\x85", "a"]


def test_pickled_checkpoints_say_where_others_are(marian: Path, tmp_path: Path) -> None:
    """A checkpoint with pytorch_model.bin alone is refused with the two ways out, and nothing of it is read."""
    folder = Path(shutil.copytree(marian, tmp_path / "pickled"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model\.bin") as caught:
        prepare(folder)
    assert "refs/pr/" in caught.value.fix and "ct2-transformers-converter" in caught.value.fix


def test_other_kinds_of_models_and_code_are_refused(marian: Path, tiny: Path, copy: Path, tmp_path: Path) -> None:
    """A language model is none of this engine, and code beside a model is refused as everywhere."""
    with pytest.raises(InputError, match="lfm2 model"):
        prepare(tiny)
    (copy / "helper.py").write_text("print(1)")
    with pytest.raises(InputError, match=r"helper\.py"):
        prepare(copy)
    (copy / "helper.py").unlink()
    (copy / "config.json").write_text('{"auto_map": {"AutoModel": "helper.Model"}}')
    with pytest.raises(InputError, match="auto_map"):
        prepare(copy)


def test_a_failed_conversion_leaves_nothing(marian: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint that the converter refuses, and a missing package, leave no half of a copy."""
    monkeypatch.setenv("HALA_HOME", str(tmp_path / "home"))
    broken = Path(shutil.copytree(marian, tmp_path / "broken"))
    (broken / "target.spm").unlink()
    with pytest.raises(InputError, match="cannot be loaded"):
        prepare(broken)
    monkeypatch.setitem(__import__("sys").modules, "sentencepiece", None)
    with pytest.raises(EngineError, match=r"hala\[ctranslate\]"):
        prepare(marian)
    assert list(ctranslate.cache().iterdir()) == []


def test_a_translator_is_known_by_all_its_bytes(copy: Path) -> None:
    """The identity of a model in this format covers the whole folder, which has a config.json but is no checkpoint."""
    before = _tree_digest(copy)
    assert _tree_digest(copy) == before
    raw = bytearray((copy / "model.bin").read_bytes())
    raw[-1] ^= 1
    (copy / "model.bin").write_bytes(raw)
    assert _tree_digest(copy) != before
