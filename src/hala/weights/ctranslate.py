"""Translators in CTranslate2's format: told from others, looked through before the library reads them, or made on the spot.

    model = prepare("Helsinki-NLP/opus-mt-tc-big-en-ar", quantization="int8")
    model.folder, model.tokenizer, model.positions, len(model.source)

The format is one binary file beside lists of tokens. A checkpoint of transformers (Marian, that is OPUS-MT; M2M-100; NLLB) is
converted once for each quantisation, into a cache; pickled weights are refused like everywhere.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

from hala.artifacts import digest_of, disk_errors, make_folder
from hala.digests import digest_file
from hala.errors import EngineError, InputError
from hala.weights.checkpoint import open_checkpoint, side_files
from hala.weights.headers import AGAIN, MAX_JSON, read_json
from hala.weights.hub import FILES, fetch
from hala.weights.loading import load_tokenizer, third_party
from hala.weights.safety import check_entries, check_settings, read_tokenizer, refuse_pickled

MODEL = "model.bin"
VOCABULARIES = ("shared_vocabulary.json", "source_vocabulary.json", "shared_vocabulary.txt", "source_vocabulary.txt")
TOKENIZERS = ("*.spm", "sentencepiece*.model", "spiece.model")
HUB_FILES = (*FILES, MODEL, "*_vocabulary.json", "*_vocabulary.txt", *TOKENIZERS)
CONVERTIBLE = ("marian", "m2m_100")  # model types of transformers
TRANSLATORS = ("TransformerSpec", "TransformerBase", "TransformerBig")
NEWEST = 100  # no version of the format is near
MAX_RANK, MAX_VARIABLES = 8, 100_000
UNKNOWN_POSITIONS = 1024  # where positions are computed, no table says how many there are
PICKLES = (b"PK\x03\x04", b"\x80")


@dataclass(frozen=True, slots=True)
class Translator:
    """A folder that CTranslate2 can read and that of its tokenizer; how many tokens a text or an answer may have, and the tokens
    that are known in texts (`source`) and in translations (`target`)."""

    folder: Path
    tokenizer: Path
    positions: int
    source: list[str]
    target: list[str]


def is_ctranslate(folder: Path) -> bool:
    """Whether this is a model in CTranslate2's format, and no checkpoint of transformers."""
    return (folder / MODEL).is_file() and any((folder / name).is_file() for name in VOCABULARIES)


def prepare(path_or_id: str | Path, revision: str | None = None, quantization: str | None = None) -> Translator:
    """A translator ready for CTranslate2: the folder itself, or the copy that a checkpoint was converted to.

    `quantization` is how the copy stores its matrices (`int8`, `float16`, ...); none keeps the checkpoint's own numbers.
    Raises: InputError when the model is missing, damaged, pickled or no translator, EngineError without the packages.
    """
    folder = fetch(path_or_id, revision, HUB_FILES)
    check_entries(folder)
    source = folder
    if not is_ctranslate(folder):
        folder = convert(folder, str(path_or_id), quantization)
    if (folder / "config.json").is_file():
        check_settings(folder / "config.json", read_json(folder / "config.json"))
    if (source / "tokenizer.json").is_file():
        read_tokenizer(source / "tokenizer.json")
    tables = [shape[0] for name, shape in variables(folder / MODEL) if name.endswith("position_encodings/encodings") and shape]
    positions = min(tables, default=UNKNOWN_POSITIONS)
    return Translator(folder, source, positions, read_vocabulary(folder, "source"), read_vocabulary(folder, "target"))


def variables(file: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of each tensor in a model file, whose data are skipped.

    Raises: InputError when the file is pickled, cut off, or nothing that CTranslate2 wrote for an encoder and a decoder.
    """
    size = file.stat().st_size
    with file.open("rb") as handle:
        fields = _Fields(handle, file)
        form, count = fields.head()
        for _ in range(count):
            name, (rank,) = fields.word(), fields.read("<B")
            if rank > MAX_RANK:
                raise InputError(f"tensor {name[:60]} in {file} has {rank} dimensions.", AGAIN)
            shape = fields.read(f"<{rank}I")
            code, length = fields.read("<BI")
            # Up to version 3 the size of an element and how many there are; later the dtype, and bytes.
            handle.seek(code * length if form < 4 else length, os.SEEK_CUR)
            if handle.tell() > size:
                raise InputError(f"{file} is cut off inside tensor {name[:60]}.", AGAIN)
            yield name, shape


class _Fields:
    """Numbers and words of a model file, in their order."""

    def __init__(self, handle: BinaryIO, file: Path) -> None:
        self.handle, self.file = handle, file

    def head(self) -> tuple[int, int]:
        """The version of the format, and how many tensors follow. Raises: InputError for any other file."""
        if self.handle.read(4).startswith(PICKLES):
            refuse_pickled(self.file)
        self.handle.seek(0)
        (form,) = self.read("<I")
        if not 2 <= form <= NEWEST:
            raise InputError(f"{self.file} is no model of CTranslate2.", "Give a folder that ct2-transformers-converter wrote.")
        if (kind := self.word()) not in TRANSLATORS:
            fix = "Give a translator; language models run with the local or the vllm engine."
            raise InputError(f"{self.file} is a {kind[:60]}, no encoder with a decoder.", fix)
        _, count = self.read("<II")
        if count > MAX_VARIABLES:
            raise InputError(f"{self.file} has {count} tensors, more than any real one.", AGAIN)
        return form, count

    def read(self, layout: str) -> tuple[Any, ...]:
        raw = self.handle.read(struct.calcsize(layout))
        if len(raw) < struct.calcsize(layout):
            raise InputError(f"{self.file} is cut off, or no model of CTranslate2.", AGAIN)
        return struct.unpack(layout, raw)

    def word(self) -> str:
        (length,) = self.read("<H")
        raw: bytes = self.read(f"<{length}s")[0]
        return raw.rstrip(b"\0").decode("utf-8", "replace")


def convert(folder: Path, name: str, quantization: str | None) -> Path:
    """The converted copy of a checkpoint of transformers, made now or before; `name` is what the user calls the checkpoint."""
    if not any(folder.glob("*.safetensors")) and not (folder / MODEL).exists():
        raise InputError(
            f"{name} holds neither safetensors nor a model of CTranslate2; many repositories of OPUS-MT and NLLB hold pickled"
            " weights (pytorch_model.bin) alone, which can run code when read and are never opened here.",
            "Give `revision: refs/pr/N` of the pull request on its hub page that adds safetensors, or a folder that"
            " ct2-transformers-converter wrote elsewhere.",
        )
    checkpoint = open_checkpoint(folder)
    kind = checkpoint.config.get("model_type")
    if kind not in CONVERTIBLE:
        raise InputError(
            f"{name} is a {kind} model; the ctranslate engine converts {' and '.join(CONVERTIBLE)} (OPUS-MT, M2M-100, NLLB).",
            "Choose another engine, or give a folder in CTranslate2's format.",
        )
    files = {info.file for info in checkpoint.tensors.values()} | {*side_files(folder), *tokenizer_files(folder)}
    content = {file.name: digest_file(file) for file in sorted(files)}
    place = cache() / digest_of([content, quantization, *(version(each) for each in ("ctranslate2", "transformers"))])[:32]
    if not is_ctranslate(place):
        work = place.with_name(f".{place.name}.{os.getpid()}")
        with third_party(folder), disk_errors(place):
            make_folder(place.parent)
            try:
                _convert(folder, work, quantization)
                os.replace(work, place)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return place


def tokenizer_files(folder: Path) -> list[Path]:
    """The SentencePiece models of a folder, sorted."""
    return sorted(file for pattern in TOKENIZERS for file in folder.glob(pattern))


def cache() -> Path:
    """Where converted copies are kept: `ctranslate` in the folder that HALA_HOME names, else in `~/.cache/hala`."""
    home = os.environ.get("HALA_HOME")
    return (Path(home) if home else Path.home() / ".cache" / "hala") / "ctranslate"


def _convert(folder: Path, work: Path, quantization: str | None) -> None:
    try:
        import sentencepiece  # noqa: F401  the tokenizers of these models need it
        from ctranslate2.converters import TransformersConverter
    except ImportError as error:
        raise EngineError(
            f"converting {folder} needs packages that are missing ({error}).", 'Install them: pip install "hala[ctranslate]"'
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice to install what changes some quotation marks
        converter = TransformersConverter(str(folder))
        converter.load_tokenizer = lambda *_, **__: with_languages(load_tokenizer(folder))
        converter.convert(str(work), quantization=quantization)


def with_languages(tokenizer: Any) -> Any:
    """The tokenizer with the tokens of languages in its vocabulary.

    The converter takes them from a property that tokenizers have no more since transformers 5, and fails on M2M-100 without them.
    """
    vocabulary: dict[str, int] = tokenizer.get_vocab() | getattr(tokenizer, "lang_token_to_id", {})
    tokenizer.get_vocab = lambda: vocabulary
    return tokenizer


def read_vocabulary(folder: Path, side: str) -> list[str]:
    """The tokens that a model knows on a side (`source` or `target`), in the order of their ids. Raises: InputError."""
    for name in (f"{side}_vocabulary.json", "shared_vocabulary.json", f"{side}_vocabulary.txt", "shared_vocabulary.txt"):
        file = folder / name
        if not file.is_file():
            continue
        if file.stat().st_size > MAX_JSON:
            raise InputError(f"{file} has {file.stat().st_size} bytes, too many for a vocabulary.", AGAIN)
        try:
            text = file.read_text(encoding="utf-8")
            tokens = json.loads(text) if file.suffix == ".json" else text.removesuffix("\n").split("\n")
        except ValueError as error:
            raise InputError(f"{file} cannot be read: {error}.", AGAIN) from error
        if not isinstance(tokens, list) or not tokens or not all(isinstance(token, str) for token in tokens):
            raise InputError(f"{file} is no list of tokens.", AGAIN)
        return tokens
    raise InputError(f"{folder} has no {side}_vocabulary and no shared_vocabulary.", AGAIN)
