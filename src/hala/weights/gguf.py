"""Export to GGUF, the one-file format of llama.cpp, for LFM2 and Llama models with byte-level BPE tokenizers.

Widths are taken from the tensors and not from the config, whose feed-forward size is not the real one in LFM2. The finished file
is read back and compared with the source before it gets its name.

    report = export(Path("merged"), Path("merged-q8_0.gguf"), "q8_0")
    print(report.worst.name, report.worst.rel_error)
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hala.artifacts import atomic_file, disk_errors
from hala.errors import CorruptError, InputError, RecipeError, nearest
from hala.weights.checkpoint import Checkpoint, open_checkpoint
from hala.weights.headers import read_json

if TYPE_CHECKING:
    import numpy as np

Quant = Literal["f16", "q8_0", "f32"]
QUANTS = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "q8_0": "MOSTLY_Q8_0"}
ARCHITECTURES = ("lfm2", "llama")
GATES = ("feed_forward.w1.weight", "mlp.gate_proj.weight")
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?"
LINES = r"[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# llama.cpp knows splitters by name; these are the names of the regular expressions in tokenizer.json.
SPLITTERS = {
    CONTRACTIONS + r"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+" + LINES: "llama-bpe",
    CONTRACTIONS + r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+" + LINES: "qwen2",
    CONTRACTIONS + r"[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+" + LINES: "qwen35",
}
# Largest |read back - source| / max |source| per tensor; q8_0 rounds to half of 1/127 of a block's maximum, with an f16 scale.
BUG = "This is a bug in the export; please report it."
TOLERANCE = {"F32": 0.0, "F16": 2.0**-11, "Q8_0": 0.005}


@dataclass(frozen=True, slots=True)
class ExportedTensor:
    """One tensor in the file and the `source` it came from; `rel_error` is max |read back - source| / max |source|."""

    name: str
    source: str
    type: str
    rel_error: float


@dataclass(frozen=True, slots=True)
class ExportReport:
    """The finished file: its widths as read back, and every tensor."""

    file: Path
    quant: str
    widths: dict[str, int | list[int]]
    tensors: tuple[ExportedTensor, ...]

    @property
    def worst(self) -> ExportedTensor:
        """The tensor with the largest error."""
        return max(self.tensors, key=lambda tensor: tensor.rel_error)


@dataclass(frozen=True, slots=True)
class Planned:
    """A tensor to write; `heads` > 0 asks for llama.cpp's interleaved order of rotary rows."""

    name: str
    source: str
    shape: tuple[int, ...]
    type: str
    heads: int = 0


def export(src: str | Path, out_file: str | Path, quant: Quant = "f16", *, splitter: str | None = None) -> ExportReport:
    """The report of the GGUF file written to `out_file` and read back.

    `splitter` is llama.cpp's name of the tokenizer's splitting rule (`tokenizer.ggml.pre`); by default tokenizer.json tells.
    Raises: InputError for an architecture, tokenizer or value that has no place there, CorruptError when it reads back wrong.
    """
    import gguf

    if quant not in QUANTS:
        raise RecipeError(f"unknown quant {quant!r}.{nearest(quant, QUANTS)}", f"Choose one of: {', '.join(QUANTS)}.")
    source, out_file = open_checkpoint(src), Path(out_file)
    kind = source.config.get("model_type")
    if kind not in ARCHITECTURES:
        raise InputError(f"{src} is a {kind} model.", f"GGUF export knows: {', '.join(ARCHITECTURES)}.")
    if "quantization_config" in source.config:
        raise InputError(f"{src} is quantised.", "Export the checkpoint it was made from.")
    plan, widths = plan_tensors(source, quant), find_widths(source)
    with disk_errors(out_file):
        out_file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(out_file) as temporary:
            with contextlib.closing(gguf.GGUFWriter(temporary, kind)) as writer:
                writer.add_name(source.path.name)
                writer.add_file_type(gguf.LlamaFileType[QUANTS[quant]])
                writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
                add_architecture(writer, source.config, widths)
                add_tokenizer(writer, source, splitter)
                write_tensors(writer, source, plan)
            tensors = verify(temporary, source, plan, widths)
    return ExportReport(out_file, quant, widths, tensors)


def plan_tensors(source: Checkpoint, quant: str) -> list[Planned]:
    """What goes into the file, in the source's order; vectors and the short convolution stay float32, as llama.cpp wants them."""
    import gguf

    config = source.config
    arch = {"lfm2": gguf.MODEL_ARCH.LFM2, "llama": gguf.MODEL_ARCH.LLAMA}[config["model_type"]]
    names = gguf.get_tensor_name_map(arch, config["num_hidden_layers"])
    rotary = {}
    if config["model_type"] == "llama":
        heads = config["num_attention_heads"]
        rotary = {"q_proj": heads, "k_proj": config.get("num_key_value_heads") or heads}
    plan = []
    for name, info in source.tensors.items():
        if name == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if target is None:
            raise InputError(f"tensor {name} of {source.path} has no place in a GGUF file of this architecture.")
        shape = (info.shape[0], info.shape[2]) if name.endswith(".conv.conv.weight") else info.shape
        kind = quant.upper() if len(shape) == 2 and not name.endswith(".conv.conv.weight") else "F32"
        kind = "F16" if kind == "Q8_0" and shape[-1] % 32 else kind  # a block of q8_0 is 32 values of one row
        plan.append(Planned(target, name, shape, kind, rotary.get(name.split(".")[-2], 0)))
    if factors := rope_factors(config):
        plan.append(Planned("rope_freqs.weight", "", (len(factors),), "F32"))
    return plan


def find_widths(source: Checkpoint) -> dict[str, int | list[int]]:
    """The sizes as the tensors have them; `head_count_kv` is a list with 0 for the convolution layers of LFM2."""
    config, layers = source.config, source.config["num_hidden_layers"]
    names = [f"model.layers.{i}.{gate}" for i in range(layers) for gate in GATES]
    gates = [source.tensors[name].shape[0] for name in names if name in source.tensors]
    if len(gates) != layers or "model.embed_tokens.weight" not in source.tensors:
        raise InputError(
            f"{source.path} has {len(gates)} feed-forward gates for {layers} layers, or no embeddings.", "It is incomplete."
        )
    rows, hidden = source.tensors["model.embed_tokens.weight"].shape
    kv = config.get("num_key_value_heads") or config["num_attention_heads"]
    per_layer = [kv if f"model.layers.{i}.self_attn.k_proj.weight" in source.tensors else 0 for i in range(layers)]
    return {
        "block_count": layers,
        "vocab_size": rows,
        "embedding_length": hidden,
        "feed_forward_length": gates[0] if len(set(gates)) == 1 else gates,
        "attention.head_count": config["num_attention_heads"],
        "attention.head_count_kv": kv if all(per_layer) else per_layer,
    }


def add_architecture(writer: Any, config: dict[str, Any], widths: dict[str, Any]) -> None:
    """Writes every key that llama.cpp needs to build the network."""
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_block_count(widths["block_count"])
    writer.add_vocab_size(widths["vocab_size"])
    writer.add_embedding_length(widths["embedding_length"])
    writer.add_feed_forward_length(widths["feed_forward_length"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(widths["attention.head_count_kv"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(rope(config)["rope_theta"])
    writer.add_layer_norm_rms_eps(next(config[key] for key in ("norm_eps", "block_norm_eps", "rms_norm_eps") if key in config))
    if head_dim * heads != config["hidden_size"]:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    if config["model_type"] == "lfm2":
        writer.add_shortconv_l_cache(config["conv_L_cache"])


def rope(config: dict[str, Any]) -> dict[str, Any]:
    """The rotary settings, whichever of the two ways the config spells them."""
    settings = dict(config.get("rope_scaling") or {}) | dict(config.get("rope_parameters") or {})
    default = 1_000_000.0 if config["model_type"] == "lfm2" else 10_000.0
    settings["rope_theta"] = settings.get("rope_theta") or config.get("rope_theta") or default
    settings["rope_type"] = settings.get("rope_type") or settings.get("type") or "default"
    if settings["rope_type"] not in ("default", "llama3"):
        raise InputError(f"rope_type {settings['rope_type']} cannot be exported.", "Only default and llama3 can.")
    return settings


def rope_factors(config: dict[str, Any]) -> list[float]:
    """What each rotary frequency is divided by, empty for plain rotary positions. Source: Llama 3.1's frequency scaling."""
    settings = rope(config)
    if settings["rope_type"] == "default":
        return []
    factor, low, high = settings["factor"], settings["low_freq_factor"], settings["high_freq_factor"]
    original = settings["original_max_position_embeddings"]
    size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    factors = []
    for i in range(0, size, 2):
        turns = original / (2 * math.pi * settings["rope_theta"] ** (i / size))  # how often it turns within the original context
        smooth = min(1.0, max(0.0, (turns - low) / (high - low)))
        factors.append(1 / ((1 - smooth) / factor + smooth))
    return factors


def add_tokenizer(writer: Any, source: Checkpoint, splitter: str | None) -> None:
    """Writes tokens, merges, special ids and the chat template."""
    import gguf
    from tokenizers import Tokenizer

    file = source.path / "tokenizer.json"
    if not file.is_file():
        raise InputError(f"{source.path} has no tokenizer.json.", "GGUF export needs a byte-level BPE tokenizer in that format.")
    content = read_json(file)
    if content["model"].get("type") != "BPE" or content["model"].get("byte_fallback"):
        raise InputError(f"{file} is not a byte-level BPE tokenizer.", "Other kinds are not exported.")
    rows = source.tensors["model.embed_tokens.weight"].shape[0]
    tokens, types = list_tokens(content, rows, file)
    writer.add_tokenizer_model("gpt2")  # llama.cpp's name for byte-level BPE
    writer.add_tokenizer_pre(splitter or find_splitter(content, source))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    special = gguf.SpecialVocab(source.path, load_merges=True, n_vocab=rows)
    if "bos" not in special.add_special_token:
        first = Tokenizer.from_file(str(file)).encode("a").ids[:1]
        special.add_special_token["bos"] = first == [special.special_token_ids.get("bos")]
    special.add_to_gguf(writer, quiet=True)


def list_tokens(content: dict[str, Any], rows: int, file: Path) -> tuple[list[str], list[int]]:
    """Token texts and GGUF token types by id; ids that the tokenizer leaves out become unused tokens."""
    from gguf import TokenType

    tokens, types = [f"[PAD{i}]" for i in range(rows)], [int(TokenType.UNUSED)] * rows
    entries = [(index, text, TokenType.NORMAL) for text, index in content["model"]["vocab"].items()]
    for added in content.get("added_tokens") or []:
        entries.append((added["id"], added["content"], TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED))
    for index, text, kind in entries:
        if not 0 <= index < rows:
            raise InputError(f"{file} has token {index}, the model only {rows} embeddings.", "The tokenizer is another model's.")
        tokens[index], types[index] = text, int(kind)
    return tokens, types


def find_splitter(content: dict[str, Any], source: Checkpoint) -> str:
    """llama.cpp's name for how this tokenizer cuts text before merging."""
    outer = content.get("pre_tokenizer") or {}
    parts = outer.get("pretokenizers") or [outer]
    patterns = [part["pattern"].get("Regex", "") for part in parts if part.get("type") == "Split"]
    prefix = any(part.get("add_prefix_space") for part in parts)  # llama.cpp never adds one
    if not patterns and not prefix and any(part.get("type") == "ByteLevel" and part.get("use_regex", True) for part in parts):
        return "gpt-2"
    if len(patterns) == 1 and patterns[0] in SPLITTERS:
        name = SPLITTERS[patterns[0]]
        return "lfm2" if name == "llama-bpe" and source.config["model_type"] == "lfm2" else name
    file = source.path / "tokenizer.json"
    raise InputError(f"{file} splits text by a rule that has no known name in llama.cpp.", "Name it with `splitter`.")


def read_values(source: Checkpoint, planned: Planned) -> np.ndarray[Any, Any]:
    """The tensor as float32 in the shape and row order of the file."""
    import numpy as np

    if not planned.source:
        return np.array(rope_factors(source.config), dtype=np.float32)
    values: np.ndarray[Any, Any] = source.read(planned.source).astype(np.float32).reshape(planned.shape)
    if not np.isfinite(values).all():
        raise InputError(f"tensor {planned.source} of {source.path} has NaN or Inf values.", "The checkpoint is damaged.")
    if planned.heads:  # transformers keeps the two halves of each rotary pair apart, llama.cpp side by side
        pairs = values.reshape(planned.heads, 2, -1, *planned.shape[1:])
        values = np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(planned.shape))
    return values


def write_tensors(writer: Any, source: Checkpoint, plan: Sequence[Planned]) -> None:
    """Writes the file: keys, the table of tensors, then one tensor after another."""
    import gguf
    import numpy as np

    for planned in plan:
        kind = gguf.GGMLQuantizationType[planned.type]
        if planned.type == "Q8_0":
            shape, dtype = gguf.quant_shape_to_byte_shape(planned.shape, kind), "uint8"
        else:
            shape, dtype = planned.shape, "float32" if planned.type == "F32" else "float16"
        writer.add_tensor_info(planned.name, shape, np.dtype(dtype), math.prod(shape) * np.dtype(dtype).itemsize, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for planned in plan:
        values = read_values(source, planned)
        if planned.type == "F16" and np.abs(values).max(initial=0) > 65504:
            raise InputError(
                f"tensor {planned.source} has values beyond 65504, the limit of f16.", "Export with quant f32 or q8_0."
            )
        writer.write_tensor_data(gguf.quantize(values, gguf.GGMLQuantizationType[planned.type]))


def verify(file: Path, source: Checkpoint, plan: Sequence[Planned], widths: dict[str, Any]) -> tuple[ExportedTensor, ...]:
    """The tensors as read back from `file`. Raises: CorruptError when a width or a value is not what was meant."""
    import gguf

    reader = gguf.GGUFReader(file)
    for key, width in widths.items():
        found = reader.fields[f"{source.config['model_type']}.{key}"].contents()
        if found != width:
            raise CorruptError(f"{file}: {key} reads back as {found}, not {width}.", BUG)
    by_name = {tensor.name: tensor for tensor in reader.tensors}
    if set(by_name) != {planned.name for planned in plan}:
        raise CorruptError(f"{file}: the tensors read back are not those written.", BUG)
    return tuple(compare_all(by_name, source, plan, file))


def compare_all(by_name: dict[str, Any], source: Checkpoint, plan: Sequence[Planned], file: Path) -> Iterator[ExportedTensor]:
    """Each tensor with its error; CorruptError for one that is off by more than its type explains."""
    import gguf
    import numpy as np

    for planned in plan:
        tensor, values = by_name[planned.name], read_values(source, planned)
        found = gguf.dequantize(tensor.data, tensor.tensor_type).reshape(planned.shape)
        largest = float(np.abs(values).max(initial=0))
        error = float(np.abs(found - values).max(initial=0)) / (largest or 1.0)
        if tensor.tensor_type.name != planned.type or not error <= TOLERANCE[planned.type]:
            raise CorruptError(f"{file}: tensor {planned.name} reads back with an error of {error:.3g}.", BUG)
        yield ExportedTensor(planned.name, planned.source, planned.type, error)
