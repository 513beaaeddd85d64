"""tokenizer.json becomes what llama.cpp reads: names of splitting rules, token types, special ids, templates, warnings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hala.errors import InputError
from hala.training.tokenizer import train_tokenizer
from hala.weights.gguf_vocabulary import Vocabulary, read_vocabulary

from .gguf_models import PROMPTS, make_spaced_tokenizer

HEAD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?"
TAIL = r"[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = HEAD + r"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+" + TAIL
QWEN2 = HEAD + r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+" + TAIL
QWEN35 = HEAD + r"[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+" + TAIL

Change = Callable[[dict[str, Any]], Any]


def read(folder: Path, tmp_path: Path, change: Change | None = None, kind: str = "", splitter: str | None = None) -> Vocabulary:
    """The vocabulary of a copy of a folder whose tokenizer.json is changed first."""
    copy = Path(shutil.copytree(folder, tmp_path / "copy", dirs_exist_ok=True))
    content = json.loads((copy / "tokenizer.json").read_text())
    if change:
        change(content)
    (copy / "tokenizer.json").write_text(json.dumps(content))
    return read_vocabulary(copy, 384, splitter, kind)


def split_by(rule: str, whole_words: bool = False, lost: bool = False) -> Change:
    """The change that makes a tokenizer cut by this rule; `lost` takes a merge away, so that it cannot reach a token."""

    def change(content: dict[str, Any]) -> None:
        content["pre_tokenizer"] = {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": rule}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            ],
        }
        content["model"]["ignore_merges"] = whole_words
        if lost:
            content["model"]["merges"].pop()

    return change


@pytest.mark.parametrize(
    ("change", "kind", "name"),
    [
        (split_by(LLAMA3, True), "llama", "llama-bpe"),
        (split_by(LLAMA3, True), "lfm2", "lfm2"),
        (split_by(LLAMA3), "lfm2", "lfm2"),  # merges reach every token, so whole words need no rule of their own
        (split_by(LLAMA3, False, lost=True), "lfm2", "dbrx"),
        (split_by(QWEN2), "llama", "qwen2"),
        (split_by(QWEN2, True), "llama", "qwen2"),
        (split_by(QWEN35), "lfm2", "qwen35"),
        (None, "lfm2", "gpt-2"),
    ],
)
def test_splitting_rules_are_named(change: Change | None, kind: str, name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """The published splitting rules, LFM2's among them, are recognised, so llama.cpp cuts text as the tokenizer does."""
    assert read(folders["lfm2"], tmp_path, change, kind).splitter == name


def test_digits_by_themselves_are_a_rule(folders: dict[str, Path], tmp_path: Path) -> None:
    """Single digits before GPT-2's rule is what llama.cpp calls smollm."""

    def change(content: dict[str, Any]) -> None:
        parts = [{"type": "Digits", "individual_digits": True}, content["pre_tokenizer"]]
        content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": parts}

    assert read(folders["lfm2"], tmp_path, change).splitter == "smollm"


def test_our_own_tokenizers_have_a_name(tmp_path: Path) -> None:
    """What `hala tune` trains exports without --splitter."""
    train_tokenizer(PROMPTS, 330).save_pretrained(tmp_path)
    vocabulary = read_vocabulary(tmp_path, 384)
    assert (vocabulary.splitter, vocabulary.adds, vocabulary.warnings) == ("qwen35", {"bos": True, "eos": False}, ())
    assert vocabulary.types[vocabulary.tokens.index("⟦1⟧")] == 4  # user-defined: found in any text, and printed
    assert vocabulary.types[:3] == [3, 3, 3] and vocabulary.types[-1] == 5
    assert vocabulary.special["eos"] == vocabulary.tokens.index("<|im_end|>")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (split_by("[a-z]+"), "Name it with `splitter`"),
        (split_by(QWEN2, True, lost=True), "Name it with `splitter`"),
        (lambda content: content.update(normalizer={"type": "Lowercase"}), "changes text .*Lowercase"),
        (
            lambda content: content["model"].update(type="WordPiece", max_input_chars_per_word=9, unk_token="a"),
            "BPE|cannot be loaded",
        ),
        (lambda content: content["model"].update(continuing_subword_prefix="##"), "without prefixes|cannot be loaded"),
        (lambda content: content["added_tokens"][0].update(id=900), "has token 900, the model only 384"),
        (lambda content: content["added_tokens"].append({**content["added_tokens"][0], "id": 383}), "twice|cannot be loaded"),
    ],
)
def test_what_llama_cpp_would_read_differently_is_refused(
    change: Change, message: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    """A tokenizer that would give other tokens in llama.cpp, or crash it, is refused with the reason."""
    with pytest.raises(InputError, match=message):
        read(folders["lfm2"], tmp_path, change)


def test_a_name_given_is_taken(folders: dict[str, Path], tmp_path: Path) -> None:
    """`splitter` overrides what tokenizer.json says."""
    assert read(folders["lfm2"], tmp_path, split_by("[a-z]+"), splitter="tekken").splitter == "tekken"


def test_small_differences_are_told(folders: dict[str, Path], tmp_path: Path) -> None:
    """NFC and tokens that swallow spaces concern few texts: exported, and said."""

    def change(content: dict[str, Any]) -> None:
        content["normalizer"] = {"type": "NFC"}
        content["added_tokens"][2]["rstrip"] = True

    warnings = read(folders["lfm2"], tmp_path, change).warnings
    assert [("NFC" in warning, "<|im_start|>" in warning) for warning in warnings] == [(True, False), (False, True)]


def test_special_ids_and_ends(folders: dict[str, Path], tmp_path: Path) -> None:
    """Ids come from the tokenizer, else from the configs; an end that llama.cpp does not know by its text is written."""
    copy = Path(shutil.copytree(folders["lfm2"], tmp_path / "model"))
    (copy / "generation_config.json").write_text(json.dumps({"eos_token_id": [3, 200, 2, 9_999]}))
    assert read_vocabulary(copy, 384).special == {"bos": 1, "eos": 3, "pad": 0, "eot": 200, "eom": 2}
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    for key in ("bos_token", "eos_token", "pad_token"):
        del settings[key]
    (copy / "tokenizer_config.json").write_text(json.dumps(settings))
    (copy / "generation_config.json").unlink()
    assert read_vocabulary(copy, 384).special == {"bos": 1, "eos": 3, "pad": 0}


def test_templates_in_every_place(folders: dict[str, Path], tmp_path: Path) -> None:
    """The chat template is found in its own file, in tokenizer_config.json, or there among several with names."""
    copy = Path(shutil.copytree(folders["lfm2"], tmp_path / "model"))
    template = (copy / "chat_template.jinja").read_text()
    assert read_vocabulary(copy, 384).template == template
    (copy / "chat_template.jinja").unlink()
    assert read_vocabulary(copy, 384).template == ""
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    for value in (template, [{"name": "tool", "template": "x"}, {"name": "default", "template": template}]):
        (copy / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": value}))
        assert read_vocabulary(copy, 384).template == template


def test_types_of_a_spaced_tokenizer(tmp_path: Path) -> None:
    """Bytes, the unknown token, control tokens, and tokens of spaces, which must come out as spaces."""
    make_spaced_tokenizer().save_pretrained(tmp_path)
    vocabulary = read_vocabulary(tmp_path, 720)
    kind = dict(zip(vocabulary.tokens, vocabulary.types, strict=True))
    assert (kind["<0x0A>"], kind["<unk>"], kind["<bos>"], kind["▁▁"], kind["\n\n"], kind["e"]) == (6, 2, 3, 1, 4, 1)
    assert (vocabulary.model, vocabulary.splitter, vocabulary.merges) == ("llama", "default", ())
    assert len(vocabulary.scores) == 720


def test_a_folder_without_tokenizer_is_told(tmp_path: Path) -> None:
    """A missing or damaged tokenizer.json is a clear error."""
    with pytest.raises(InputError, match=r"has no tokenizer\.json"):
        read_vocabulary(tmp_path, 10)
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}')
    with pytest.raises(InputError, match="cannot be loaded"):
        read_vocabulary(tmp_path, 10)
