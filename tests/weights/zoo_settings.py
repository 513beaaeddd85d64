"""Hostile settings: config.json and the tokenizer's files asking for code, for another folder's files, or for the absurd."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo_tools import (
    CONFIG,
    EVERY_VERB,
    FEW_VERBS,
    TOKENIZER_VERBS,
    WEIGHT_VERBS,
    Attack,
    edit,
    make_tokenizer,
    many_keys,
    nested,
    put,
    twice_wide,
)

FEW_READERS = ("merge tuned", "load_tokenizer")
LETTER = {"String": "a"}


def settings(file: str, name: str, about: str, verbs: tuple[str, ...] = EVERY_VERB, **changes: Any) -> Attack:
    """An attack by other values in a settings file."""
    return Attack(f"{file}: {name}", about, lambda folder: edit(folder / file, **changes), file, verbs)


def config(name: str, about: str, **changes: Any) -> Attack:
    """An attack by other values in config.json."""
    return settings("config.json", name, about, WEIGHT_VERBS, **changes)


def written(file: str, name: str, about: str, value: Any, verbs: tuple[str, ...] = EVERY_VERB) -> Attack:
    """An attack by a file of any JSON value or raw bytes."""
    return Attack(f"{file}: {name}", about, lambda folder: put(folder / file, value() if callable(value) else value), file, verbs)


def tokenizer(name: str, about: str, change: Callable[[dict[str, Any]], Any]) -> Attack:
    """An attack by other values in tokenizer.json."""

    def spoil(folder: Path) -> None:
        content = make_tokenizer()
        put(folder / "tokenizer.json", change(content) or content)

    return Attack(f"tokenizer.json: {name}", about, spoil, "tokenizer.json", TOKENIZER_VERBS)


def expanding(content: dict[str, Any]) -> None:
    """Makes a normalizer that turns one letter into 10^15."""
    step = {"type": "Replace", "pattern": LETTER, "content": "a" * 1000}
    content["normalizer"] = {"type": "Sequence", "normalizers": [step] * 5}
    content["added_tokens"][0] |= {"content": "a", "normalized": True}


def doubling(content: dict[str, Any]) -> None:
    """Makes a normalizer of many harmless-looking steps that each double a text."""
    step = {"type": "Replace", "pattern": {"Regex": ""}, "content": "a"}
    content["normalizer"] = {"type": "Sequence", "normalizers": [step] * 60_000}


def added(**changes: Any) -> Callable[[dict[str, Any]], None]:
    """Changes the first added token."""
    return lambda content: content["added_tokens"][0].update(changes)


def vocabulary(**changes: Any) -> Callable[[dict[str, Any]], None]:
    """Changes or adds entries of the vocabulary."""
    return lambda content: content["model"]["vocab"].update(changes)


TEXTS = [
    written("config.json", "empty", "a config of no bytes", b""),
    written("config.json", "list", "a list in place of the object", [CONFIG]),
    written("config.json", "text", "text in place of the object", '"lfm2"'),
    written("config.json", "null", "null in place of the object", "null"),
    written("config.json", "cut off", "a config that broke off", json.dumps(CONFIG)[:60]),
    written("config.json", "gzipped", "a config inside gzip", gzip.compress(json.dumps(CONFIG).encode())),
    written("config.json", "not UTF-8", "a config that is no text", b'{"a": "\xff"}'),
    written("config.json", "UTF-16", "a config in an encoding that some parsers guess", json.dumps(CONFIG).encode("utf-16")),
    written(
        "config.json",
        "byte order mark",
        "a mark before the brace: some readers skip it",
        b"\xef\xbb\xbf" + json.dumps(CONFIG).encode(),
    ),
    written(
        "config.json",
        "key twice",
        "two architectures: readers disagree which counts",
        json.dumps(CONFIG)[:-1] + ', "model_type": "llama"}',
    ),
    written("config.json", "deep lists", "brackets that overflow the stack of a parser", b'{"a":' + nested(100_000) + b"}"),
    written(
        "config.json",
        "deep objects",
        "braces just below the limit of the parser, above that of what reads them",
        nested(900, "dict"),
    ),
    written(
        "config.json", "endless number", "an integer whose conversion takes quadratic time", b'{"a":' + b"9" * 4_000_000 + b"}"
    ),
    written("config.json", "a million keys", "memory: a million settings", lambda: many_keys(1_000_000)),
    written("config.json", "million lists", "memory: a list of two million empty ones", b'{"a":[' + b"[]," * 2_000_000 + b"0]}"),
    written(
        "config.json", "60 MB of text", "memory: a letter of four bytes makes all letters so", lambda: twice_wide(60_000_000)
    ),
    written(
        "config.json",
        "within limits: letters",
        "memory: as long a text as is allowed, of letters of four bytes",
        lambda: twice_wide(15_000_000),
        FEW_VERBS,
    ),
    written(
        "config.json",
        "within limits: keys",
        "time: as many keys as are allowed, one of them twice",
        lambda: many_keys(235_000),
        FEW_VERBS,
    ),
    written("generation_config.json", "cut off", "settings that broke off", b'{"eos_token_id":'),
    written("tokenizer_config.json", "list", "a list in place of the object", ["PreTrainedTokenizerFast"]),
    written("special_tokens_map.json", "deep", "brackets that overflow the stack of a parser", b'{"a":' + nested(100_000) + b"}"),
]
CODE = [
    settings("config.json", "auto_map", "classes to load from a module of the folder", auto_map={"AutoConfig": "evil.Config"}),
    settings(
        "config.json",
        "auto_map elsewhere",
        "classes to load from a module of another repository",
        auto_map={"AutoModelForCausalLM": "evil/repo--evil.Model"},
    ),
    settings("config.json", "auto_map null", "the key without a value, for tools that fill it", auto_map=None),
    settings(
        "config.json",
        "auto_map below",
        "the same in a part of the config",
        text_config={"auto_map": {"AutoConfig": "evil.Config"}},
    ),
    settings("config.json", "auto_map in a list", "the same deep in a list", parts=[[{"a": [{"auto_map": {}}]}]]),
    settings("config.json", "trust_remote_code", "permission that the checkpoint gives itself", trust_remote_code=True),
    settings(
        "config.json",
        "custom_pipelines",
        "a pipeline to load from a module",
        custom_pipelines={"evil": {"impl": "evil.Pipeline"}},
    ),
    written(
        "config.json",
        "auto_map escaped",
        "the key in letters that a search would miss",
        json.dumps(CONFIG)[:-1] + ', "auto\\u005fmap": {}}',
    ),
    settings("config.json", "attention of the hub", "a compiled kernel to fetch and run", attn_implementation="evil/kernel"),
    settings(
        "config.json",
        "attention of the hub, hidden",
        "the same by the attribute's own name",
        _attn_implementation="kernels-community/evil",
    ),
    settings("config.json", "experts of the hub", "the same for experts", experts_implementation={"": "evil/kernel:run"}),
    settings(
        "tokenizer_config.json",
        "auto_map",
        "a tokenizer to load from a module",
        auto_map={"AutoTokenizer": ["evil.Slow", "evil.Fast"]},
    ),
    settings(
        "tokenizer_config.json",
        "class: model",
        "a class that would load the weights instead",
        tokenizer_class="AutoModelForCausalLM",
    ),
    settings("tokenizer_config.json", "class: function", "something that is no class", tokenizer_class="pipeline"),
    settings("tokenizer_config.json", "class: path", "a function of another module", tokenizer_class="os.system"),
    settings(
        "tokenizer_config.json", "class: recursive", "a class that looks the class up again", tokenizer_class="AutoTokenizer"
    ),
    settings("tokenizer_config.json", "class: number", "a class that is a number", tokenizer_class=7),
    settings("config.json", "tokenizer class", "the class in the other file", tokenizer_class="AutoModelForCausalLM"),
    settings("generation_config.json", "auto_map", "the key where nobody looks", auto_map={"AutoModel": "evil.Model"}),
    settings("special_tokens_map.json", "auto_map", "the key where nobody looks", auto_map={}),
    settings(
        "processor_config.json", "auto_map", "a processor to load from a module", auto_map={"AutoProcessor": "evil.Processor"}
    ),
    settings(
        "preprocessor_config.json",
        "auto_map",
        "a feature extractor to load from a module",
        auto_map={"AutoFeatureExtractor": "evil.X"},
    ),
    settings("hala.json", "auto_map", "the key in our own file", auto_map={}),
]
VALUES = [
    config("model_type number", "an architecture that is a number", model_type=7),
    config("model_type list", "an architecture that cannot be looked up", model_type=["lfm2"]),
    config("model_type path", "a module elsewhere", model_type="../../evil"),
    config("model_type colours the terminal", "an escape sequence for the error message", model_type="\x1b[31mlfm2\n"),
    config("model_type of a megabyte", "an error message of a megabyte", model_type="l" * 1_000_000),
    config("10^12 layers", "a model whose layers never end", num_hidden_layers=10**12),
    config("4000 layers", "more layers than there are tensors", num_hidden_layers=4000),
    config("layers in quotes", "a count that is text", num_hidden_layers="2"),
    config("layers float", "a count that is 2.0", num_hidden_layers=2.0),
    config("layers true", "a count that is true", num_hidden_layers=True),
    config("layers negative", "a count below nothing", num_hidden_layers=-1),
    config("layers list", "a list of counts", num_hidden_layers=[2]),
    config("10^12 layers below", "the same in a part of the config", text_config={"num_hidden_layers": 10**12}),
    config("hidden_size 10^15", "a width beyond every memory", hidden_size=10**15),
    config("hidden_size lies", "a width that the embedding does not have", hidden_size=64),
    config("hidden_size text", "a width that is text", hidden_size="32"),
    config("hidden_size 0", "a width of nothing, to divide by", hidden_size=0),
    settings("config.json", "hidden_size null", "a width that is null", ("export",), hidden_size=None),
    config("intermediate_size 10^15", "a width beyond every memory", intermediate_size=10**15),
    config("vocab_size lies", "more tokens than rows of the embedding", vocab_size=10**6),
    config("vocab_size negative", "tokens below nothing", vocab_size=-288),
    config("eos_token_id text", "a token that is text", eos_token_id="2"),
    config("eos_token_id list of lists", "tokens that cannot be looked up", eos_token_id=[[2]]),
    config("heads 0", "a number of heads to divide by", num_attention_heads=0),
    config("heads 10^12", "more heads than any model", num_attention_heads=10**12),
    config("heads text", "a number of heads that is text", num_attention_heads="2"),
    config("key-value heads negative", "heads below nothing", num_key_value_heads=-1),
    config("head_dim 10^15", "a table of frequencies beyond every memory", head_dim=10**15),
    config("conv_L_cache 10^12", "a cache beyond every memory", conv_L_cache=10**12),
    config("positions 10^30", "a number that no integer holds", max_position_embeddings=10**30),
    config("positions text", "positions that are text", max_position_embeddings="128"),
    config("experts 10^12", "more experts than any model", num_local_experts=10**12),
    config("layer_types text", "letters in place of a list", layer_types="conv"),
    config("layer_types numbers", "kinds of layers that are numbers", layer_types=[0, 1]),
    config("layer_types long", "a million kinds for two layers", layer_types=["conv"] * 400_000),
    config("rope_parameters list", "a list in place of the object", rope_parameters=[1]),
    config("rope_theta text", "a base that is text", rope_parameters={"rope_theta": "1", "rope_type": "default"}),
    config("rope_theta not a number", "NaN, which compares with nothing", rope_theta=float("nan")),
    config(
        "rope_type colours the terminal",
        "an escape sequence for the error message",
        rope_parameters={"rope_type": "\x1b[31m", "rope_theta": 1.0},
    ),
    config("norm_eps text", "a small number that is text", norm_eps="1e-5"),
    config("dtype function", "a function of torch in place of a dtype", dtype="load"),
    config("dtype number", "a dtype that is a number", dtype=16),
    config("lone surrogate", "text that cannot be written again", note="\ud800"),
    config("quantised: text", "text in place of the object", quantization_config="fp8"),
    config("quantised: list", "a list in place of the object", quantization_config=[]),
    config("quantised: unknown", "a method that nobody reads", quantization_config={"quant_method": "evil/quantiser"}),
    config(
        "quantised: colours the terminal",
        "an escape sequence for the error message",
        quantization_config={"quant_method": "\x1b[31m"},
    ),
]
TOKENIZERS = [
    settings("generation_config.json", "eos_token_id text", "a token that is text", eos_token_id=["2"]),
    settings("tokenizer_config.json", "token list", "a special token that cannot be looked up", bos_token=["<bos>"]),
    settings("tokenizer_config.json", "template numbers", "templates that are numbers", chat_template=[1]),
    written("tokenizer.json", "empty", "a tokenizer of no bytes", b"", TOKENIZER_VERBS),
    written("tokenizer.json", "pickle", "a pickle in place of the tokenizer", b"\x80\x04.", TOKENIZER_VERBS),
    written(
        "tokenizer.json",
        "deep",
        "brackets that overflow the stack of a parser",
        b'{"a":' + nested(100_000) + b"}",
        TOKENIZER_VERBS,
    ),
    written(
        "tokenizer.json",
        "a letter too wide",
        "memory: a letter of four bytes makes all letters so",
        lambda: twice_wide(39_000_000),
        TOKENIZER_VERBS,
    ),
    written(
        "tokenizer.json",
        "lists",
        "memory: eight million empty lists",
        lambda: b'{"a":[' + b"[]," * 8_000_000 + b"0]}",
        TOKENIZER_VERBS,
    ),
    written(
        "tokenizer.json",
        "within limits: letters",
        "memory: as long a text as is allowed",
        lambda: twice_wide(35_900_000),
        FEW_READERS,
    ),
    written(
        "tokenizer.json",
        "within limits: keys",
        "time: as many keys as are allowed, one of them twice",
        lambda: many_keys(595_000),
        FEW_READERS,
    ),
    written(
        "tokenizer.json",
        "within limits: lists",
        "time: as many lists as are allowed",
        lambda: b'{"a":[' + b"[]," * 1_790_000 + b"0]}",
        FEW_READERS,
    ),
    tokenizer("list", "a list in place of the object", lambda content: [content]),
    tokenizer("no model", "a tokenizer without a model", lambda content: content.pop("model") and None),
    tokenizer("model list", "a model that is a list", lambda content: content.update(model=[])),
    tokenizer("vocabulary of numbers", "tokens without text", lambda content: content["model"].update(vocab=[1, 2])),
    tokenizer("vocabulary text", "a vocabulary that is text", lambda content: content["model"].update(vocab="abc")),
    tokenizer("id negative", "a token before the first row", vocabulary(evil=-1)),
    tokenizer("id huge", "a token beyond every embedding", vocabulary(evil=2**62)),
    tokenizer("id float", "a token between two rows", vocabulary(evil=1.5)),
    tokenizer("id text", "a token in a row that is text", vocabulary(evil="1")),
    tokenizer("id list", "a token in a row that cannot be looked up", vocabulary(evil=[1])),
    tokenizer("added tokens text", "text in place of a list", lambda content: content.update(added_tokens="abc")),
    tokenizer("added token number", "a token that is a number", lambda content: content.update(added_tokens=[7])),
    tokenizer("added token without id", "a token in no row", lambda content: content["added_tokens"][0].pop("id") and None),
    tokenizer("added token id huge", "a token beyond every embedding", added(id=2**62)),
    tokenizer("added token id negative", "a token before the first row", added(id=-1)),
    tokenizer("added token content list", "a token whose text cannot be looked up", added(content=["<pad>"])),
    tokenizer("merges of numbers", "rules that are numbers", lambda content: content["model"].update(merges=[1])),
    tokenizer("merges text", "rules that are text", lambda content: content["model"].update(merges="a b")),
    tokenizer("pre-tokenizer text", "a way of splitting that is text", lambda content: content.update(pre_tokenizer="ByteLevel")),
    tokenizer("doubling normalizer", "memory: a letter put before each letter, over and over", doubling),
    tokenizer("expanding normalizer", "memory: one letter becomes 10^15", expanding),
]
ATTACKS = [*TEXTS, *CODE, *VALUES, *TOKENIZERS]
