"""Texts to the word pieces of a translator and back, and the tokens by which it knows languages.

Three kinds of tokenizer stand beside models of CTranslate2: SentencePiece models, a `tokenizer.json`, or none where a model reads
letter by letter. Unlike a chat model's they are used bare: what opens and closes a text is added by the engine.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hala.errors import EngineError, RecipeError
from hala.languages import Language

# Of texts and of translations; one model for both sides is the usual case beyond Marian.
SENTENCEPIECE = (
    ("source.spm", "target.spm"),
    ("sentencepiece.bpe.model", "sentencepiece.bpe.model"),
    ("sentencepiece.model", "sentencepiece.model"),
    ("spiece.model", "spiece.model"),
)
_LETTER = re.compile(r"[^\W\d_]")
_TAGS = {  # how families of models write a language as one token
    "OPUS": re.compile(r">>([\w-]+)<<"),
    "NLLB": re.compile(r"([a-z]{3}_[A-Z][a-z]{3})"),
    "M2M": re.compile(r"__([a-z]{2,3})__"),
}


class Pieces(Protocol):
    """A tokenizer: the joined `cut` of a text is the text; a stretch of it that the model does not `take` stays as it is."""

    def encode(self, text: str) -> list[str]: ...

    def decode(self, tokens: list[str]) -> str: ...

    def cut(self, text: str) -> list[str]: ...

    def takes(self, text: str) -> bool: ...


class _Whole:
    """Texts go in one piece, if they hold a letter at all."""

    def cut(self, text: str) -> list[str]:
        return [text]

    def takes(self, text: str) -> bool:
        return _LETTER.search(text) is not None


class SentencePieces(_Whole):
    """Pieces by SentencePiece, with a model for each side."""

    def __init__(self, source: Any, target: Any) -> None:
        self.source, self.target = source, target

    def encode(self, text: str) -> list[str]:
        return list(self.source.encode(text, out_type=str))

    def decode(self, tokens: list[str]) -> str:
        return str(self.target.decode(tokens))


class JsonPieces(_Whole):
    """Pieces by the `tokenizer.json` of a checkpoint."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def encode(self, text: str) -> list[str]:
        return list(self.inner.encode(text, add_special_tokens=False).tokens)

    def decode(self, tokens: list[str]) -> str:
        ids = [number for number in map(self.inner.token_to_id, tokens) if number is not None]
        return str(self.inner.decode(ids, skip_special_tokens=True))


class Letters:
    """Every letter that the model knows is a piece; runs of others, and spaces where it knows none, stay as they are."""

    def __init__(self, known: Collection[str]) -> None:
        self.known = frozenset(known)
        self.run = re.compile(f"([{''.join(map(re.escape, sorted(self.known)))}]+)")

    def encode(self, text: str) -> list[str]:
        return list(text)

    def decode(self, tokens: list[str]) -> str:
        return "".join(tokens)

    def cut(self, text: str) -> list[str]:
        return self.run.split(text)

    def takes(self, text: str) -> bool:
        return bool(text) and text[0] in self.known and _LETTER.search(text) is not None


def find_pieces(folder: Path, vocabulary: Sequence[str]) -> Pieces:
    """The tokenizer in a folder, for a model with this vocabulary. Raises EngineError when there is none."""
    for source, target in SENTENCEPIECE:
        if (folder / source).is_file() and (folder / target).is_file():
            return SentencePieces(read_sentencepiece(folder / source), read_sentencepiece(folder / target))
    if (folder / "tokenizer.json").is_file():
        from tokenizers import Tokenizer

        return JsonPieces(Tokenizer.from_file(str(folder / "tokenizer.json")))
    plain = [token for token in vocabulary if not re.fullmatch(r"<[^<>]+>", token)]
    if plain and all(len(token) == 1 for token in plain):
        return Letters(plain)
    names = ", ".join(sorted({name for pair in SENTENCEPIECE for name in pair}))
    raise EngineError(f"{folder} has no tokenizer.", f"Copy that of the model it was made from there: {names} or tokenizer.json.")


def read_sentencepiece(file: Path) -> Any:
    """A SentencePiece model. Raises EngineError when the package is missing, or the file is none."""
    try:
        from sentencepiece import SentencePieceProcessor

        return SentencePieceProcessor(model_file=str(file))
    except ImportError as error:
        raise EngineError(
            f"reading {file} needs the package sentencepiece ({error}).", 'Install it: pip install "hala[ctranslate]"'
        ) from error
    except (RuntimeError, OSError) as error:
        raise EngineError(f"{file} cannot be read by SentencePiece: {error}", "Copy it again.") from error


@dataclass(frozen=True, slots=True)
class Tags:
    """Tokens that open a text, and those that open its translation."""

    before: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()


def find_tags(vocabulary: Sequence[str], source: Language, target: Language) -> Tags:
    """How to tell a model the languages; nothing where its vocabulary names none. Raises RecipeError for one that it lacks."""
    for family, pattern in _TAGS.items():
        named = {match[1]: token for token in vocabulary if (match := pattern.fullmatch(token))}
        if not named:
            continue
        if family == "OPUS":  # the source is what the model was made for
            return Tags(before=(_tag(family, named, target),))
        return Tags(before=(_tag(family, named, source),), prefix=(_tag(family, named, target),))
    return Tags()


def _tag(family: str, named: dict[str, str], wanted: Language) -> str:
    labels = wanted.labels or tuple(filter(None, [iso_639_3(wanted.code)]))
    if family == "NLLB":
        codes = [f"{label}_{wanted.iso}" for label in labels] if wanted.iso else []
        codes += [found[0] for label in labels if len(found := [code for code in named if code.startswith(f"{label}_")]) == 1]
    else:
        codes = [*labels, wanted.code] if family == "OPUS" else [wanted.code, *labels]
    for code in codes:
        if code in named:
            return named[code]
    known = ", ".join(sorted(named)[:12]) + (f" and {len(named) - 12} more" if len(named) > 12 else "")
    raise RecipeError(f"the translator does not know {wanted.name} ({wanted.code}); it knows {known}.", "Choose another model.")


def iso_639_3(code: str) -> str:
    """The three letters of a language given by two (`fr`: `fra`); three stay as they are, and what is unknown is empty."""
    if len(code) == 3:
        return code
    from lingua import IsoCode639_1
    from lingua import Language as Known

    two = getattr(IsoCode639_1, code.upper(), None)
    return Known.from_iso_code_639_1(two).iso_code_639_3.name.lower() if two is not None else ""
