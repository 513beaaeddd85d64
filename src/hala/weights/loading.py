"""Models in and out of memory: the one place that loads, makes and saves transformers models.

A folder is checked by our own reader before transformers sees it, code from a checkpoint never runs, and 8-bit checkpoints are
unpacked by our own arithmetic with their activations rounded too, so that what is measured on a CPU is the 8-bit model.

    model, tokenizer = load_model("runs/quickstart/hala", dtype="float32", device="cpu")
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hala.artifacts import disk_errors
from hala.errors import HalaError, InputError, RecipeError, nearest
from hala.hardware import native_bfloat16
from hala.weights.checkpoint import INDEX_NAME, check_safe, complete_config, open_checkpoint
from hala.weights.headers import read_json
from hala.weights.hub import fetch, first_line
from hala.weights.quantised import stored_scheme
from hala.weights.safety import read_tokenizer
from hala.weights.writer import to_json, write_file

if TYPE_CHECKING:
    import torch

DTYPE_NAMES = ("auto", "float32", "bfloat16", "float16")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
DAMAGED = "Check the folder, or download or write it again."


def positions_of(path_or_id: str | Path, revision: str | None = None) -> int | None:
    """How many tokens a checkpoint's model takes at most, as its configuration says; None where it says nothing."""
    config = open_checkpoint(fetch(path_or_id, revision)).config
    found = next((config[key] for key in ("max_position_embeddings", "n_positions") if key in config), None)
    return int(found) if isinstance(found, int) else None


def load_model(
    path_or_id: str | Path,
    dtype: str = "auto",
    device: str = "auto",
    revision: str | None = None,
    *,
    round_activations: bool = True,
    native: bool = False,
) -> tuple[Any, Any]:
    """A causal language model in evaluation mode and its tokenizer.

    `dtype` auto is bfloat16 where the device multiplies it natively, else float32; `device` auto is a GPU when there is one. An
    8-bit checkpoint is unpacked on load; with `round_activations` its linear layers round their inputs as its scheme says. With
    `native` they run on the device's own 8-bit products, where it has them: faster and smaller, the same but for the order in
    which floats are added, and not to be trained.
    Raises: InputError when the checkpoint is missing, damaged, incomplete, of unknown architecture or wants to run code.
    """
    from transformers import AutoConfig

    from hala.weights import linears, unpacking

    hush()
    device = pick_device(device)
    torch_dtype = pick_dtype(dtype, device)
    path = fetch(path_or_id, revision)
    checkpoint = open_checkpoint(path)
    tokenizer = load_tokenizer(path)
    scheme = stored_scheme(checkpoint) if "quantization_config" in checkpoint.config else None
    layer = linears.native_layer(scheme, torch_dtype, device) if scheme and native and round_activations else None
    with third_party(path):
        config = AutoConfig.from_pretrained(path, trust_remote_code=False, local_files_only=True)
        options: dict[str, Any] = {"config": config, "output_loading_info": True, "local_files_only": True}
        if getattr(config, "attn_logit_softcapping", None):  # Gemma 2: the default, SDPA, leaves the cap out without a word
            options["attn_implementation"] = "eager"
        if scheme:
            del config.quantization_config
            options["state_dict"] = unpacking.unpacked(checkpoint, torch_dtype, scheme, coded=layer is None)
        model, info = causal_class(config, path).from_pretrained(None if scheme else path, dtype=torch_dtype, **options)
    if missing := sorted(info["missing_keys"]):
        raise InputError(f"{path} lacks tensor {missing[0]} (and {len(missing) - 1} more) of its architecture.", DAMAGED)
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise InputError(f"the tokenizer in {path} has {len(tokenizer)} tokens, the model only {rows}.", DAMAGED)
    if scheme and round_activations:
        linears.install(model, checkpoint, scheme, layer)
    return model.eval().to(device), tokenizer


def hush() -> None:
    """No more advice from transformers (install this kernel, that package); its errors still come through."""
    from transformers.utils import logging

    logging.set_verbosity_error()


def causal_class(config: Any, path: Path) -> Any:
    """The transformers class for a config. Asked for directly, it has no way to code from a checkpoint."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise InputError(f"{path} is a {config.model_type} model, no causal language model.", "Choose another model.")
    return MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]


def load_tokenizer(path_or_id: str | Path, revision: str | None = None) -> Any:
    """The tokenizer of a folder or hub model. Raises: InputError when it is missing, unreadable or wants to run code."""
    from transformers import AutoTokenizer

    path = fetch(path_or_id, revision)
    check_safe(path)
    if (path / "tokenizer.json").is_file():
        read_tokenizer(path / "tokenizer.json")
    if not any((path / name).is_file() for name in TOKENIZER_FILES):
        raise InputError(f"{path} has no tokenizer ({', '.join(TOKENIZER_FILES)}).", "Copy the files of its base model there.")
    with third_party(path):
        return AutoTokenizer.from_pretrained(path, trust_remote_code=False, local_files_only=True)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """A block without the progress bars of transformers."""
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if bars:
            logging.enable_progress_bar()


@contextlib.contextmanager
def third_party(path: Path) -> Iterator[None]:
    """A block in which transformers reads `path` and any complaint of it becomes one clear InputError."""
    try:
        with quiet():
            yield
    except (HalaError, MemoryError):
        raise
    except Exception as error:
        raise InputError(f"{path} cannot be loaded: {first_line(error)}", DAMAGED) from error


def pick_dtype(dtype: str, device: str) -> torch.dtype:
    """The torch dtype of a name; `auto` is bfloat16 where `device` multiplies it natively, else float32."""
    import torch

    if dtype not in DTYPE_NAMES:
        raise RecipeError(f"unknown dtype {dtype!r}.{nearest(dtype, DTYPE_NAMES)}", f"Choose one of: {', '.join(DTYPE_NAMES)}.")
    if dtype != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[dtype]
    return torch.bfloat16 if native_bfloat16(device) else torch.float32


def pick_device(device: str) -> str:
    """`device`, with `auto` turned into the best one there is."""
    import torch

    if device != "auto":
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def save_model(
    model: Any, tokenizer: Any, path: str | Path, dtype: str | None = None, extra: dict[str, Any] | None = None
) -> None:
    """Writes a checkpoint folder: weights, config, tokenizer, and `extra` as hala.json. An older one in `path` is replaced.

    `dtype` is that of the saved float tensors, by default the model's own. The same model gives the same bytes; config.json
    comes last, so a folder that has it is complete.
    """
    path = Path(path)
    work = path / ".saving"
    with disk_errors(path):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        with quiet():
            model.save_pretrained(
                work, state_dict=cast_state(model, pick_dtype(dtype, "cpu")) if dtype else None, max_shard_size="5GB"
            )
            tokenizer.save_pretrained(work)
        config = complete_config(read_json(work / "config.json")) | ({"dtype": dtype} if dtype else {})
        write_file(work / "config.json", to_json(config))
        if extra is not None:
            write_file(work / "hala.json", to_json(extra))
        for old in [path / "config.json", path / INDEX_NAME, *path.glob("*.safetensors")]:
            old.unlink(missing_ok=True)
        for file in sorted(work.iterdir(), key=lambda file: (file.name == "config.json", file.name)):
            os.replace(file, path / file.name)
        work.rmdir()


def cast_state(model: Any, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The state dict in `dtype`; tensors that were one (tied embeddings) stay one."""
    casts: dict[tuple[int, torch.Size], torch.Tensor] = {}
    state = {}
    for name, tensor in model.state_dict().items():
        key = (tensor.data_ptr(), tensor.shape)
        if key not in casts:
            casts[key] = tensor.to(dtype) if tensor.is_floating_point() else tensor
        state[name] = casts[key]
    return state


def new_lfm2(
    *,
    vocab_size: int,
    hidden_size: int,
    num_layers: int,
    ff_size: int,
    num_heads: int,
    kv_heads: int,
    seed: int = 0,
    attention_every: int = 2,
    layer_types: Sequence[str] | None = None,
    max_positions: int = 32_768,
    bos: int = 1,
    eos: int = 2,
    pad: int = 0,
) -> Any:
    """A randomly initialised Lfm2ForCausalLM in float32 with tied embeddings; the same `seed` gives the same weights.

    Every `attention_every`-th layer is `full_attention`, the others `conv`, unless `layer_types` says otherwise. `ff_size` is
    the real width, `max_positions` counts tokens, `bos`, `eos` and `pad` are token ids.
    """
    import torch
    from transformers import Lfm2Config, Lfm2ForCausalLM

    hush()
    if hidden_size % num_heads or num_heads % kv_heads:
        raise RecipeError(
            f"hidden_size {hidden_size}, num_heads {num_heads} and kv_heads {kv_heads} do not divide.",
            "hidden_size must be a multiple of num_heads, and num_heads of kv_heads.",
        )
    kinds = layer_types or ["conv" if (i + 1) % attention_every else "full_attention" for i in range(num_layers)]
    settings = Lfm2Config(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=ff_size,
        num_hidden_layers=num_layers,
        num_attention_heads=num_heads,
        num_key_value_heads=kv_heads,
        layer_types=list(kinds),
        block_auto_adjust_ff_dim=False,
        tie_word_embeddings=True,
        max_position_embeddings=max_positions,
        bos_token_id=bos,
        eos_token_id=eos,
        pad_token_id=pad,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Lfm2ForCausalLM(settings)
