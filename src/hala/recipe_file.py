"""Reading recipe files: YAML with line numbers, variables, `--set`, and errors that name file, line and the nearest key.

>>> from hala.recipe_file import load
>>> load("recipes/quickstart.yaml", overrides=["student.epochs=1"]).name   # doctest: +SKIP
'quickstart'
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from hala.errors import RecipeError, nearest
from hala.recipe import SECTIONS, Accepts, Data, Export, Languages, Merge, Recipe, Section, Step
from hala.recipe_data import as_data

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,95}")
VARIABLE = re.compile(r"\$\{vars\.([A-Za-z0-9_-]+)\}")
TOP_KEYS = ("name", "languages", "vars", "steps")
# What each verb leaves behind; `merge` with several values of t leaves `checkpoints`, `export` of the format hf a `checkpoint`.
PRODUCES = {
    "compress": "checkpoint",
    "translate": "rows",
    "filter": "rows",
    "mix": "rows",
    "tune": "checkpoint",
    "merge": "checkpoint",
    "evaluate": "scores",
    "export": "file",
    "report": "page",
    "release": "folder",
}
MESSAGES = {
    "missing": "missing key",
    "int_parsing": "wants a whole number",
    "int_type": "wants a whole number",
    "int_from_float": "wants a whole number",
    "float_parsing": "wants a number",
    "float_type": "wants a number",
    "bool_parsing": "wants true or false",
    "bool_type": "wants true or false",
    "string_type": "wants text",
    "dict_type": "wants a mapping",
    "model_type": "wants a mapping",
}

Place = tuple[str | int, ...]


@dataclass
class Source:
    """The plain content of a recipe file and the line of each key."""

    path: str
    content: dict[str, Any]
    lines: dict[Place, int] = field(default_factory=dict)

    def where(self, place: Place) -> str:
        """`file:line` of the key, or of the nearest key above it."""
        for end in range(len(place), -1, -1):
            if place[:end] in self.lines:
                line = self.lines[place[:end]]
                return f"{self.path}:{line}" if line else "--set"
        return self.path


def load(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The validated recipe. Raises RecipeError with file and line for anything that cannot be meant."""
    source = _parse(Path(path))
    for override in overrides:
        _override(source, override)
    return _build(source)


def from_content(content: Mapping[str, Any], name: str = "command line") -> Recipe:
    """The same checks for a recipe that was never a file, such as a single verb's settings."""
    return _build(Source(name, dict(content)))


def produces(step: Step) -> str:
    """Kind of artefact that the step leaves: checkpoint, checkpoints, rows, scores, file, page or folder."""
    if isinstance(step.settings, Merge) and len(step.settings.t) > 1:
        return "checkpoints"
    if isinstance(step.settings, Export) and step.settings.format == "hf":
        return "checkpoint"
    return PRODUCES[step.verb]


def references(section: Section, place: Place = ()) -> Iterator[tuple[Place, str, tuple[str, ...]]]:
    """Every `$step` in a section: its place, the step's name, the kinds that are accepted there."""
    for name, info in type(section).model_fields.items():
        value = getattr(section, name)
        kinds = next((mark.kinds for mark in info.metadata if isinstance(mark, Accepts)), None)
        for index, item in enumerate(value if isinstance(value, tuple) else (value,)):
            here = (*place, name, index) if isinstance(value, tuple) else (*place, name)
            if isinstance(item, Section):
                yield from references(item, here)
            elif isinstance(item, str) and item.startswith("$"):
                yield here, item[1:], kinds or ()


def _parse(path: Path) -> Source:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        known = sorted(str(p) for p in Path("recipes").glob("*.yaml"))
        raise RecipeError(f"no recipe at {path}.{nearest(str(path), known)}", "Give the path of a .yaml file.") from None
    except IsADirectoryError:
        raise RecipeError(f"{path} is a folder.", "Give the path of a .yaml file.") from None
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}.", "Give the path of a .yaml file.") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 (byte {error.start}).", "Save it as UTF-8.") from None
    try:
        loaded = YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RecipeError(f"{error.problem or 'cannot be read as YAML'} ({path}:{line}).", "Mend the YAML there.") from None
    except YAMLError as error:
        raise RecipeError(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(loaded, CommentedMap):
        raise RecipeError(f"{path} holds no mapping.", "A recipe has the keys name, languages, vars and steps.")
    source = Source(str(path), {})
    source.content = _plain(loaded, (), source.lines)
    return source


def _plain(value: Any, place: Place, lines: dict[Place, int]) -> Any:
    """The value without ruamel's wrappers; fills `lines` (1-based) on the way."""
    if isinstance(value, CommentedMap):
        for key in value:
            lines[(*place, str(key))] = _line(value, key)
        return {str(key): _plain(item, (*place, str(key)), lines) for key, item in value.items()}
    if isinstance(value, CommentedSeq):
        for index in range(len(value)):
            lines[(*place, index)] = value.lc.item(index)[0] + 1
        return [_plain(item, (*place, index), lines) for index, item in enumerate(value)]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _line(mapping: CommentedMap, key: Any) -> int:
    """The line (1-based) of a key, or of the key in the anchor that `<<` brought it from."""
    if key in (mapping.lc.data or {}):
        return int(mapping.lc.key(key)[0]) + 1
    return next((_line(merged, key) for merged in mapping.merge if key in merged), mapping.lc.line + 1)


def _override(source: Source, override: str) -> None:
    """Apply one `key=value`; a step's name may stand for `steps.NAME.VERB`."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set {override!r} is not key=value.", "For example: --set student.epochs=2")
    place = _full_place(source, key)
    if place[0] == "vars" and len(place) > 1:
        used = {found for part in _texts(source.content) for found in VARIABLE.findall(part)}
        if place[1] not in used:
            raise RecipeError(f"--set {key}: {source.path} uses no variable '{place[1]}'.{nearest(place[1], used)}")
    target: Any = source.content
    for part in place[:-1]:
        index: str | int = int(part) if isinstance(target, list) and part.isdigit() else part
        if isinstance(target, dict) and target.get(part) is None:
            target[part] = {}
        _spell_out(target, index, place[-1])
        try:
            target = target[index]
        except (IndexError, TypeError, KeyError):
            raise RecipeError(f"--set {key}: there is nothing at '{part}' in {source.path}.") from None
    last: str | int = int(place[-1]) if isinstance(target, list) and place[-1].isdigit() else place[-1]
    try:
        target[last] = _plain(YAML(typ="rt", pure=True).load(text), (), {}) if text else None
    except (YAMLError, IndexError, TypeError) as error:
        raise RecipeError(f"--set {key}: cannot use the value {text!r}: {error}") from None
    source.lines[tuple(int(p) if p.isdigit() else p for p in place)] = 0


def _spell_out(target: Any, index: str | int, key: str) -> None:
    """Data that is named by a string alone gets room for another key: `data: rows.jsonl` becomes `data: {path: rows.jsonl}`."""
    places = target.keys() if isinstance(target, dict) else range(len(target)) if isinstance(target, list) else ()
    if key in Data.model_fields and index in places and isinstance(target[index], str):
        target[index] = as_data(target[index])


def _full_place(source: Source, key: str) -> list[str]:
    """The path that a key of `--set` means: `student.epochs` is `steps.student.tune.epochs`. Step names may hold dots."""
    first, steps = key.partition(".")[0], source.content.get("steps")
    if first in TOP_KEYS or not isinstance(steps, dict):
        return key.split(".")
    name = next((name for name in sorted(steps, key=len, reverse=True) if f"{key}.".startswith(f"{name}.")), None)
    if name is None:
        hint = nearest(first, [*steps, *TOP_KEYS])
        raise RecipeError(f"--set {key}: no step or key '{first}' in {source.path}.{hint}")
    body = steps[name]
    if not isinstance(body, dict) or not body:
        raise RecipeError(f"--set {key}: step '{name}' has no verb ({source.where(('steps', name))}).")
    verb, rest = next(iter(body)), key[len(name) + 1 :].split(".")
    return ["steps", name, *([] if rest[0] == verb else [verb]), *(part for part in rest if part)]


def _build(source: Source) -> Recipe:
    content = source.content
    for key in content:
        if key not in TOP_KEYS:
            raise RecipeError(f"unknown key '{key}' ({source.where((key,))}).{nearest(key, TOP_KEYS)}")
    content = {"vars": {}, **content}
    variables = content.pop("vars") or {}
    if not isinstance(variables, dict):
        raise RecipeError(
            f"vars wants a mapping, found {variables!r} ({source.where(('vars',))}).", "For example: vars: {size: 10}"
        )
    content = _interpolate(content, variables, source, ())
    steps = content.get("steps")
    if not isinstance(steps, dict) or not steps:
        raise RecipeError(f"{source.path} has no steps.", "Add `steps:` with at least one named step.")
    built: dict[str, Step] = {}
    for name, body in steps.items():
        built[name] = _step(name, body, source)
        _check_references(built[name], built, list(steps), source)
    languages = _validate(Languages, content.get("languages") or {}, ("languages",), source)
    name = content.get("name") or Path(source.path).stem
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise RecipeError(f"name {name!r} cannot name a folder ({source.where(('name',))}).", "Use a-z, 0-9, '.', '_' and '-'.")
    return Recipe(name=name, languages=languages, steps=built)


def _texts(value: Any) -> Iterator[str]:
    """Every text in the values of some content."""
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(item)


def _interpolate(value: Any, variables: Mapping[str, Any], source: Source, place: Place) -> Any:
    if isinstance(value, dict):
        return {key: _interpolate(item, variables, source, (*place, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_interpolate(item, variables, source, (*place, index)) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if variables.get(name) is None:
            known = f".{nearest(name, variables)}" if name not in variables else "."
            raise RecipeError(f"variable '{name}' has no value ({source.where(place)}){known}", f"Give it: --set vars.{name}=...")
        return str(variables[name])

    whole = VARIABLE.fullmatch(value)
    if whole and variables.get(whole[1]) is not None:
        return variables[whole[1]]  # keeps numbers and lists as they are
    return VARIABLE.sub(replace, value)


def _step(name: str, body: Any, source: Source) -> Step:
    place: Place = ("steps", name)
    if not NAME.fullmatch(name):
        raise RecipeError(f"step name {name!r} cannot name a folder ({source.where(place)}).", "Use a-z, 0-9, '.', '_' and '-'.")
    if not isinstance(body, dict) or len(body) != 1:
        found = ", ".join(body) if isinstance(body, dict) else type(body).__name__
        raise RecipeError(f"step '{name}' needs exactly one verb, found {found} ({source.where(place)}).")
    verb, settings = next(iter(body.items()))
    if verb not in SECTIONS:
        raise RecipeError(f"unknown verb '{verb}' in steps.{name} ({source.where((*place, verb))}).{nearest(verb, SECTIONS)}")
    section = _validate(SECTIONS[verb], settings or {}, (*place, verb), source)
    return Step(name=name, verb=verb, settings=section)


def _validate(section: type[Any], settings: Any, place: Place, source: Source) -> Any:
    try:
        return section.model_validate(settings)
    except ValidationError as error:
        raise RecipeError("\n".join(_explain(section, dict(item), place, source) for item in error.errors())) from None


def _explain(section: type[Section], error: dict[str, Any], place: Place, source: Source) -> str:
    here: Place = (*place, *error["loc"])
    inside = ".".join(str(part) for part in here[:-1])
    key = here[-1]
    if error["type"] == "extra_forbidden":
        known = _fields(section, error["loc"][:-1])
        return f"unknown key '{key}' in {inside} ({source.where(here)}).{nearest(str(key), known)}"
    if error["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        hint = nearest(str(error["input"]), choices) or f" Choose one of {', '.join(choices)}."
        return f"{'.'.join(map(str, here))}: {error['input']!r} is not a choice ({source.where(here)}).{hint}"
    if error["type"] == "value_error":
        return f"{error['ctx']['error']} in {'.'.join(map(str, here))} ({source.where(here)})."
    what = MESSAGES.get(error["type"], error["msg"])
    if error["type"] == "missing":
        return f"missing key '{key}' in {inside} ({source.where(here)})."
    return f"'{key}' in {inside} {what}, found {error['input']!r} ({source.where(here)})."


def _fields(section: type[Section], loc: Sequence[str | int]) -> list[str]:
    """Names that are known at a place inside a section."""
    current: Any = section
    for part in loc:
        if isinstance(part, str):
            annotation = str(current.model_fields[part].annotation)
            current = next((s for s in _nested(current) if s.__name__ in annotation), current)
    return list(current.model_fields)


def _nested(section: type[Section]) -> list[type[Section]]:
    from hala import recipe

    return [value for value in vars(recipe).values() if isinstance(value, type) and issubclass(value, Section)]


def _check_references(step: Step, built: Mapping[str, Step], names: list[str], source: Source) -> None:
    for place, target, kinds in references(step.settings):
        where = source.where(("steps", step.name, step.verb, *place))
        if target not in built or target == step.name:
            later = " It comes later; steps run in the order of the file." if target in names else nearest(target, built)
            raise RecipeError(f"step '{step.name}' needs ${target}, which no earlier step makes ({where}).{later}")
        kind = produces(built[target])
        if kind not in kinds:
            wanted = " or ".join(kinds) or "no reference"
            fits = [name for name, other in built.items() if name != step.name and produces(other) in kinds]
            hint = f" Steps that fit: {', '.join(fits)}." if fits else ""
            raise RecipeError(f"step '{step.name}' wants {wanted} here, but ${target} makes {kind} ({where}).{hint}")
