"""The pages commands.md and recipes.md, made from the command line and the recipe's own docstrings: one truth, no drift.

python docs/generate.py            # write both pages
python docs/generate.py --check    # exit 1 when a page on disk is not what the code says
"""

from __future__ import annotations

import argparse
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import typer.main
from pydantic.fields import FieldInfo

from hala import errors, recipe
from hala.cli import app
from hala.data.gates import GATES
from hala.data.prompts import PROMPTS
from hala.evals.benchmarks import SUITES
from hala.recipe_file import PRODUCES

DOCS = Path(__file__).parent
MADE = "<!-- Made by docs/generate.py from the code; change the docstrings there, then run it again. -->"

# One that works for each command, in the order of the page's groups.
EXAMPLES = {
    "run": "hala run recipes/quickstart.yaml --set student.epochs=2 --out runs/try",
    "plan": "hala plan recipes/hala-1.2b.yaml",
    "status": "hala status runs/quickstart",
    "report": "hala report runs/quickstart",
    "verify": "hala verify runs/quickstart",
    "repair": "hala repair runs/quickstart",
    "show": "hala show runs/quickstart/corpus --rejected -n 3",
    "stats": "hala stats runs/quickstart/corpus",
    "new-language": "hala new-language fa --text persian.txt",
    "compress": "hala compress LiquidAI/LFM2-1.2B --out lfm2-fp8",
    "translate": "hala translate README.md --engine echo",
    "filter": "hala filter runs/quickstart/corpus --out clean --set dedup=false",
    "mix": "hala mix bitext.jsonl chats --share 0.3 --tokenizer LiquidAI/LFM2-350M --tokens 5e8 --out mixed",
    "preview": "hala preview chats.jsonl --base LiquidAI/LFM2-350M -n 2",
    "tune": "hala tune --base LiquidAI/LFM2-350M --data chats.jsonl --out tuned --set learning_rate=1e-5",
    "merge": "hala merge LiquidAI/LFM2-350M tuned --out merged --t 0.5",
    "evaluate": "hala evaluate LiquidAI/LFM2-350M merged --suite oall-v2 --out scores",
    "export": "hala export merged --out gguf --quant q8_0",
    "release": "hala release merged --out release --name my-model",
}
GROUPS = {
    "Runs": ("run", "plan", "status", "report", "verify", "repair", "show", "stats", "preview", "new-language"),
    "Verbs": ("compress", "translate", "filter", "mix", "tune", "merge", "evaluate", "export", "release"),
}
OTHER_EXITS = {
    0: "Done.",
    9: "An internal error: our bug. Run it again with `--debug` and report what it prints.",
    130: "Stopped by Ctrl-C. Run the same command again to continue.",
    143: "Stopped by SIGTERM. Run the same command again to continue.",
}
# Shared sections after the verbs, with the sentence that says where they occur.
PARTS: dict[str, tuple[type[recipe.Section], str]] = {
    "data": (recipe.Data, "Wherever a key takes data. A string is short for one key: `$step` is `ref`, anything else `path`."),
    "engine": (
        recipe.EngineSettings,
        "Keys of `translate` and `judge`, written directly in them; `evaluate` takes `dtype` and `batch_tokens` alone.",
    ),
    "recovery": (recipe.Recovery, "The key `recovery` of `compress`."),
    "search": (recipe.Search, "The key `search` of `merge`."),
    "judge": (recipe.Judge, "The keys `judge` of `filter` and `vote` of `translate`; engine keys too."),
    "other": (recipe.Other, "The key `other` of `translate`; engine keys too."),
    "part": (recipe.Part, "The key `parts` of `mix`. A string is short for `data` alone."),
    "new": (recipe.New, "The key `new` of `tune`."),
    "directions": (recipe.Directions, "The key `directions` of `tune`."),
    "referee": (recipe.Referee, "The key `referee` of `evaluate`; also [evaluate.md](evaluate.md)."),
    "learned": (recipe.Learned, "The key `learned` of `evaluate`; also [evaluate.md](evaluate.md)."),
    "lora": (recipe.Lora, "The key `lora` of `tune`; also [tune.md](tune.md)."),
}


def commands_page() -> str:
    """docs/commands.md: every command with its options, one example each, and the exit codes."""
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    missing = set(known) ^ {name for names in GROUPS.values() for name in names}
    if missing:
        raise SystemExit(f"docs/generate.py: give a group and an example to {', '.join(sorted(missing))}")
    lines = [
        "# Commands",
        MADE,
        "",
        "`hala COMMAND --help` says the same. `--debug`, anywhere, shows the traceback of an error.",
        "A verb as a command is a recipe of one step: same checks, same resume, same manifest. `--set key=value` reaches every",
        "key of its section in [recipes.md](recipes.md); values are YAML, and dots go deeper (`--set new.hidden_size=256`).",
    ]
    for group, names in GROUPS.items():
        lines += ["", f"## {group}"]
        for name in names:
            lines += _command(name, known[name])
    return "\n".join([*lines, "", "## Exit codes", *_exit_codes(), ""])


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    yield from ["", f"### {name}", command.help, "", "```sh", EXAMPLES[name], "```"]
    yield from ["", "| argument or option | default | meaning |", "|---|---|---|"]
    for each in command.params:
        label = each.metavar or each.name.upper() if each in arguments else ", ".join(each.opts)
        value = "" if each in arguments or each.is_flag else f" {each.metavar or each.name.upper()}"
        more = " ..." if each.nargs == -1 else ""
        yield f"| `{label}{value}{more}` | {_option_default(each)} | {_cell(each.help or '')} |"


def _option_default(option: Any) -> str:
    if option.required:
        return "required"
    if option.is_flag:
        return "off"
    return f"`{option.default}`" if option.default is not None else ""


def _exit_codes() -> Iterator[str]:
    classes = sorted(_subclasses(errors.HalaError), key=lambda each: (each.exit_code, each.__name__))
    rows = {code: [text] for code, text in OTHER_EXITS.items()}
    for each in classes:
        meaning = re.sub(r" \(exit code \d+\)", "", (each.__doc__ or "").splitlines()[0])
        rows.setdefault(each.exit_code, []).append(f"{meaning} (`{each.__name__}`)")
    rows[2].append("Unknown commands and options.")
    yield from ["", "| code | meaning |", "|---|---|"]
    yield from (f"| {code} | {_cell('<br>'.join(texts))} |" for code, texts in sorted(rows.items()))


def _subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses(each)


INTRODUCTION = """\
A recipe is YAML 1.2 (`1e-5` is a number, `no` is Norwegian) with four keys. Unknown keys, wrong types and wrong references are
refused with file and line before anything loads.

```yaml
name: small                              # the run's folder below runs/; default: the file's name
languages: {source: en, target: ar}
vars: {texts: null}                      # ${vars.texts} anywhere below; null must be given: --set vars.texts=my.jsonl
steps:                                   # in order; each has one verb
  corpus: {translate: {data: "${vars.texts}", model: my-translator}}
  sft:    {tune: {base: LiquidAI/LFM2-350M, data: $corpus}}
  merged: {merge: {base: LiquidAI/LFM2-350M, tuned: $sft}}
```

- `$step` names an earlier step. It must leave what the key takes: rows, a checkpoint, or scores.
- `--set key=value` changes one value: `--set vars.texts=my.jsonl`, or `--set sft.epochs=2` (short for `steps.sft.tune.epochs`).
- What several steps share is written once, with YAML's own anchors (`&name` under `vars`) and `<<: *name`. They are
  put in when the file is read, so `--set` names the steps: `--set one.max_steps=4`, not `vars.sft.max_steps`.
- Where a list is taken, one value without brackets will do.
- A default of `null` means "not set"; the meaning says what happens then."""


def recipes_page() -> str:
    """docs/recipes.md: every key of every section with default and meaning."""
    lines = ["# Recipes", MADE, "", INTRODUCTION, "", "## languages", *_table(recipe.Languages)]
    for verb, section in recipe.SECTIONS.items():
        engine = issubclass(section, recipe.EngineSettings)
        lines += ["", f"## {verb}", f"{_doc(section)} Leaves: {PRODUCES[verb]}."]
        lines += ["Also takes the keys of [engine](#engine)."] if engine else []
        lines += _table(section)
    for name, (part, where) in PARTS.items():
        lines += ["", f"## {name}", f"{_doc(part)} {where}", *_table(part)]
    lines += ["", "## gates", "Checks of a translation, in this order; the first that objects names the rejection.", *_gates()]
    lines += ["", "## prompts", "Names that `prompt` takes beside a template of your own.", *_prompts()]
    lines += ["", "## suites", "Names that `suite` and `decontaminate` take; each benchmark also by itself.", *_suites()]
    return "\n".join([*lines, ""])


def _gates() -> Iterator[str]:
    yield from ["", "| gate | what must hold, or what is rejected |", "|---|---|"]
    yield from (f"| `{name}` | {_cell((gate.__doc__ or '').strip().splitlines()[0])} |" for name, gate in GATES.items())


def _prompts() -> Iterator[str]:
    yield from ["", "| prompt | user turn |", "|---|---|"]
    yield from (f"| `{name}` | {_cell(prompt.user.replace(chr(10), '⏎').join('``'))} |" for name, prompt in PROMPTS.items())


def _suites() -> Iterator[str]:
    yield from ["", "| suite | benchmark | data set | subsets |", "|---|---|---|---|"]
    for name, suite in SUITES.items():
        yield from (f"| `{name}` | `{each.name}` | `{each.source}` | {len(each.subsets)} |" for each in suite)


def _doc(section: type[Any]) -> str:
    return (section.__doc__ or "").strip().splitlines()[0]


def _table(section: type[recipe.Section]) -> Iterator[str]:
    """Rows for the fields that the section itself declares, in their order."""
    runs_models = issubclass(section, recipe.EngineSettings) and section is not recipe.EngineSettings
    inherited = recipe.EngineSettings.model_fields if runs_models else {}
    yield from ["", "| key | takes | default | meaning |", "|---|---|---|---|"]
    for name, field in section.model_fields.items():
        if name not in inherited:
            yield f"| `{name}` | {_cell(_takes(field))} | {_cell(_default(field))} | {_cell(field.description or '')} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value == "" or value == ():
        return "`null`" if value is None else "none"
    if isinstance(value, tuple):
        return f"`{value[0]}`" if len(value) == 1 else f"`[{', '.join(map(str, value))}]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _takes(field: FieldInfo) -> str:
    kinds = next((mark.kinds for mark in field.metadata if isinstance(mark, recipe.Accepts)), None)
    return _type(field.annotation, kinds) + _bounds(field.metadata)


def _type(annotation: Any, kinds: tuple[str, ...] | None = None) -> str:
    """A type in the words of YAML."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        marks = [mark.kinds for mark in arguments[1:] if isinstance(mark, recipe.Accepts)]
        return _type(arguments[0], marks[0] if marks else kinds)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(each, kinds) for each in arguments if each is not type(None))
    if origin is tuple:
        return f"list of {_type(arguments[0], kinds)}"
    if origin in (dict, list):
        inner = [_type(each) for each in arguments]
        return f"map of {inner[0]} to {inner[1]}" if origin is dict else f"list of {inner[0]}"
    if isinstance(annotation, type) and issubclass(annotation, recipe.Section):
        name = annotation.__name__.lower()
        return f"[{name}](#{name})"
    if kinds is not None:
        outside = " or a path or hub id" if "checkpoint" in kinds else ""
        return f"`$step` ({', '.join(kinds)}){outside}"
    return {str: "text", int: "whole number", float: "number", bool: "`true`, `false`"}[annotation]


def _bounds(marks: list[Any]) -> str:
    words = []
    for mark in marks:
        for kind, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<=")):
            if isinstance(mark, getattr(annotated_types, kind.capitalize())):
                words.append(f"{sign} {getattr(mark, kind)}")
    return f" {', '.join(words)}" if words else ""


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


PAGES = {"commands.md": commands_page, "recipes.md": recipes_page}


def main() -> None:
    """Write the pages, or with --check say which are out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a page is out of date")
    check = parser.parse_args().check
    for name, page in PAGES.items():
        path, text = DOCS / name, page()
        if check and (not path.exists() or path.read_text(encoding="utf-8") != text):
            sys.exit(f"{path} is out of date. Run: python docs/generate.py")
        if not check:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
