"""A benchmark as a file: where it lives, which of its columns hold what, and the exact words in which it is asked.

The files in `sets/` are the benchmarks that hala knows; another one is a file of the same kind (docs/evaluate.md lists the keys).

>>> from hala.evals.forms import FORMS
>>> FORMS["exams"].prompt.option
' {label}) {option}\\n'
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from hala.errors import InputError, nearest

SETS = Path(__file__).parent / "sets"
MOST_OPTIONS = 10
_PLACE = re.compile(r"\{(question|options|context|topic|label|option)\}")

_NAMED = re.compile(r"\{([A-Za-z_]+)\}")
_IN_BODY = ("question", "options", "context", "topic")


@dataclass(frozen=True, slots=True)
class Columns:
    """What stands in which column of the data."""

    question: str
    options: tuple[str, ...]
    """One column for each option, or a single one that holds a list of them."""
    answer: str
    answers: tuple[str, ...] = ()
    """What the answer says for the first option, the second one, ...; `text` means the option itself, none an index from 0."""
    listed: bool = False
    """Whether the options are a list in one column."""
    absent: Literal["refuse", "drop"] = "refuse"
    """Columns of options that a row lacks."""
    empty: Literal["refuse", "drop", "print"] = "refuse"
    """Options without text: dropped, though the labels of the others keep their places, or printed as they are."""
    option_marks: tuple[str, ...] = ()
    """Letters that the options carry in their own text."""
    context: str = ""
    topic: str = ""
    needs_topic: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """The words of a question: `instruction`, then `body` with {question}, {options}, {context}, {topic}.

    `option` is written for each option, with {label} and {option}, and `between` between two of them.
    """

    body: str
    option: str
    instruction: str = ""
    between: str = ""
    shown: Literal["never", "always", "filled"] = "filled"
    """Of a layout with context: when the leaderboard's profiles use it. Others do wherever there is a context."""

    def parts(self, question: str, labelled: Sequence[tuple[str, str]], context: object, topic: str) -> tuple[str, str]:
        """(instruction, the rest) of one question."""
        options = self.between.join(_filled(self.option, {"label": label, "option": text}) for label, text in labelled)
        words = {"question": question, "options": options, "context": str(context), "topic": topic.replace("_", " ")}
        return _filled(self.instruction, words), _filled(self.body, words)


@dataclass(frozen=True, slots=True)
class Form:
    """A benchmark's file: its columns (none where hala reads the questions itself), how it is asked, and where it lives."""

    name: str
    prompt: Layout
    labels: tuple[str, ...]
    columns: Columns | None = None
    context: Layout | None = None
    source: str = ""
    subsets: tuple[str, ...] = ("",)
    split: str = "test"
    average: Literal["macro", "micro"] = "macro"
    revision: str = "main"
    lang: str = "ar"
    original: str = ""
    passages: int = 0
    """Questions of a subset that begin with the same so many characters are on one passage; 0 where passages have a column."""


def _filled(text: str, words: Mapping[str, str]) -> str:
    """The text with its places filled; braces in what is filled in stay what they are."""
    return _PLACE.sub(lambda place: words.get(place[1], place[0]), text)


def read_form(path: Path) -> Form:
    """The benchmark in a TOML file. Raises InputError that names a wrong or missing key."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}.", "docs/evaluate.md shows a benchmark's file.") from None
    parts: dict[str, Any] = {"prompt": None, "context": None, "columns": None}
    for name, kind in (("prompt", Layout), ("context", Layout), ("columns", Columns)):
        if name in content:
            parts[name] = _made(kind, content.pop(name), path, f"[{name}]")
    if parts["prompt"] is None:
        raise InputError(f"{path} has no [prompt].", "Say how the question is asked: body and option.")
    whole = {**content, **{name: part for name, part in parts.items() if part is not None}}
    form: Form = _made(Form, {"name": path.stem, **whole}, path, "")
    if form.source.startswith("."):  # beside the file
        form = replace(form, source=str(path.parent / form.source))
    columns = form.columns
    if (
        columns is not None
        and not columns.listed
        and columns.answers != ("text",)
        and 0 < len(columns.answers) < len(columns.options)
    ):
        raise InputError(
            f"{path} has {len(columns.options)} options and {len(columns.answers)} answers.", "Give one for each option."
        )
    for layout in (form.prompt, form.context):
        if layout is not None:
            _check_places(layout, path)
    if form.columns is not None and not form.source:
        raise InputError(f"{path} names no source.", "Give the hub id or the place of its files.")
    return form


def _check_places(layout: Layout, path: Path) -> None:
    """Raises InputError for a place that nothing fills, and where the question or its options would not be shown."""
    texts = {"body": ("question", "options"), "option": ("option",)}
    for name, known in (("instruction", _IN_BODY), ("body", _IN_BODY), ("option", ("label", "option"))):
        text = getattr(layout, name)
        if strange := next((word for word in _NAMED.findall(text) if word not in known), None):
            raise InputError(f"{path}: {name} has {{{strange}}}.{nearest(strange, known)}", f"Known: {', '.join(known)}.")
        if missing := next((word for word in texts.get(name, ()) if f"{{{word}}}" not in text), None):
            raise InputError(f"{path}: {name} does not show {{{missing}}}.", "docs/evaluate.md shows a benchmark's file.")


def _made(kind: type[Any], content: Mapping[str, Any], path: Path, where: str) -> Any:
    """A section of a file as what it describes."""
    known = {field.name: field for field in fields(kind)}
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key not in known or key == "listed":
            raise InputError(f"{path}: unknown key '{key}' {where}.{nearest(key, known)}", "docs/evaluate.md lists the keys.")
        values[key] = _value(value, str(known[key].type))
    if kind is Columns and isinstance(content.get("options"), str):
        values |= {"options": (content["options"],), "listed": True}
    missing = [name for name, field in known.items() if field.default is MISSING and name not in values]
    if missing:
        raise InputError(f"{path}: {where or 'it'} lacks {' and '.join(missing)}.", "docs/evaluate.md says what it holds.")
    wrong = [key for key, value in values.items() if not _fits(value, str(known[key].type))]
    if wrong:
        raise InputError(
            f"{path}: {wrong[0]} = {content.get(wrong[0])!r} is of the wrong kind {where}.", "docs/evaluate.md lists them."
        )
    return kind(**values)


def _value(value: Any, kind: str) -> Any:
    """Lists become tuples, and words between spaces do where several are wanted."""
    if kind.startswith("tuple"):
        return tuple(value.split()) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
    return value


def _fits(value: Any, kind: str) -> bool:
    if kind.startswith("tuple"):
        return isinstance(value, tuple) and all(isinstance(each, str) for each in value)
    if kind.startswith("Literal"):
        return isinstance(value, str) and repr(value) in kind
    return isinstance(value, {"str": str, "bool": bool, "int": int}.get(kind, object))


FORMS: dict[str, Form] = {path.stem: read_form(path) for path in sorted(SETS.glob("*.toml"))}
