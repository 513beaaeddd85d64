"""What is refused is hostile and not just unusual: the settings of real models pass, and any JSON is passed or refused."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from hala.errors import InputError
from hala.weights.headers import parse_json, work_of
from hala.weights.safety import SIZES, VALUES, check_settings, read_tokenizer

CONFIG = Path("config.json")
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
KEYS = st.sampled_from([*VALUES, "attn_implementation", "tokenizer_class", "x"])


@pytest.mark.parametrize("kind", sorted(set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - {"musicgen", "musicgen_melody"}))
def test_configs_of_transformers_pass(kind: str) -> None:
    """No language model that transformers knows has settings that are refused (two for music have no defaults)."""
    check_settings(CONFIG, json.loads(json.dumps(CONFIG_MAPPING[kind]().to_dict())))


@pytest.mark.parametrize(
    "settings",
    [
        {"intermediate_size": [16384, 8192], "num_key_value_heads": [1, 2], "text_config": {"vocab_size": 262_400}},
        {"time_step_limit": [0.0, float("inf")], "pad_token_id": -1, "eos_token_id": [1, 106], "head_dim": None},
        {"torch_dtype": "torch.float8_e4m3fn", "attn_implementation": "flash_attention_2", "tokenizer_class": "CohereTokenizer"},
        {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}, "rms_norm_eps": 1e-06, "rope_theta": 5e5, "bos_token": None},
    ],
)
def test_unusual_settings_of_real_models_pass(settings: dict[str, Any]) -> None:
    """Sizes by layer, infinities, ids of -1 and ends of several kinds are in models that people use."""
    check_settings(CONFIG, settings)


@given(st.dictionaries(KEYS, st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner))))
def test_any_settings_are_passed_or_refused(settings: dict[str, Any]) -> None:
    """Whatever the values, the answer is nothing or InputError, never a crash."""
    with contextlib.suppress(InputError):
        check_settings(CONFIG, settings)


@given(st.dictionaries(st.text(max_size=3), st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=5), max_leaves=30)))
def test_work_is_at_least_the_number_of_values(value: dict[str, Any]) -> None:
    """What a JSON text costs is never underestimated, so a bomb cannot hide from the count; what is read is what was written."""

    def count(each: Any) -> int:
        inner = each.values() if isinstance(each, dict) else each if isinstance(each, list) else []
        return 1 + sum(map(count, inner))

    raw = json.dumps(value).encode()
    assert work_of(raw) >= count(value) - 1
    assert parse_json(raw, CONFIG) == value
    with pytest.raises(InputError, match="more entries"):
        parse_json(raw, CONFIG, work_of(raw) - 1)


@pytest.mark.parametrize("key", sorted(SIZES))
def test_sizes_have_a_limit(key: str) -> None:
    """The largest permitted size passes and the next does not, so the limit is where it is said to be."""
    check_settings(CONFIG, {key: SIZES[key]})
    with pytest.raises(InputError, match=rf"{key}, not a whole number up to {SIZES[key]}"):
        check_settings(CONFIG, {"below": [{key: SIZES[key] + 1}]})


@pytest.mark.parametrize(
    "model",
    [
        {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b", ["a", "b"]]},
        {"type": "Unigram", "vocab": [["<unk>", 0], ["a", -1.5]]},
        {"type": "WordLevel", "vocab": {"a": 0}},
    ],
)
def test_vocabularies_of_all_kinds_pass(model: dict[str, Any], tmp_path: Path) -> None:
    """Both spellings of merges, scored tokens and tokenizers without merges are read, with the usual replacements of spaces."""
    spaces = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "_"}, {"type": "Replace", "content": "_"}]}
    content = {"model": model, "added_tokens": [{"id": 0, "content": "a"}], "normalizer": spaces, "pre_tokenizer": None}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    assert read_tokenizer(tmp_path / "tokenizer.json") == content
