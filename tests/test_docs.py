"""The documentation says what the program does: generated pages are fresh, commands and recipes in it are real."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main
from ruamel.yaml import YAML

import hala
from hala import recipe_file
from hala.cli import app
from hala.recipe import Compress, Evaluate, Filter, Merge, Translate, Tune

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`((?:[\w./-]*/)?hala [a-z][^`\n]*)`(?!`)")
CALL = re.compile(r"^(?:[\w./-]*/)?hala (.*)$")


def fences(page: Path, language: str) -> Iterator[str]:
    """The fenced blocks of a page in one language."""
    for name, body in FENCE.findall(page.read_text(encoding="utf-8")):
        if name == language:
            yield body


def command_lines() -> Iterator[tuple[str, str]]:
    """(file, line) of every `hala ...` line in shell blocks and in the comments on top of recipes."""
    for page in PAGES:
        for body in fences(page, "sh"):
            yield from ((page.name, line) for line in body.replace("\\\n", " ").splitlines() if CALL.match(line.strip()))
    for path in RECIPES:
        lines = (line.lstrip("# ") for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#   "))
        yield from ((path.name, line) for line in lines if CALL.match(line))


def words_of(line: str) -> list[str]:
    """What the shell would hand to hala: comments, pipes and redirections cut off."""
    words = shlex.split(CALL.match(line.strip())[1], comments=True)  # type: ignore[index]
    end = next((place for place, word in enumerate(words) if word in ("|", ">", "&&", "||")), len(words))
    return words[:end]


def generator() -> ModuleType:
    """docs/generate.py as a module."""
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["commands.md", "recipes.md"])
def test_generated_pages_are_fresh(name: str) -> None:
    """A page that is made from the code says what the code says now; else run docs/generate.py."""
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == generator().PAGES[name]()


def test_every_command_has_a_section_and_an_example() -> None:
    """No command is undocumented, and each example is one of that command."""
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"\n### {name}\n" in page
        assert generator().EXAMPLES[name].startswith(f"hala {name} ")


def test_every_recipe_key_has_a_meaning() -> None:
    """A knob without a line under it cannot be documented."""
    for section in recipe_file._nested(recipe_file.Section):
        for name, field in section.model_fields.items():
            if section.__name__ not in ("Step", "Recipe"):
                assert field.description, f"{section.__name__}.{name} has no docstring"


@pytest.mark.parametrize(("file", "line"), list(command_lines()))
def test_command_lines_parse(file: str, line: str) -> None:
    """Every `hala ...` line that a reader may copy is an existing command with existing options and all it needs."""
    name, *rest = words_of(line)
    assert name in COMMANDS, f"{file}: no command {name}"
    COMMANDS[name].make_context(name, rest)


@pytest.mark.parametrize(("file", "line"), list(command_lines()))
def test_command_lines_run_nothing_else(file: str, line: str) -> None:
    """Backticks inside double quotes would be run by the reader's shell; they are escaped."""
    quoted = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
    assert not any("`" in re.sub(r"\\.", "", words) for words in quoted), f"{file}: {line}"


def test_every_reason_of_a_row_is_explained() -> None:
    """A reason that is no gate's name stands in translate.md, or nobody can look it up."""
    rooms = ("conversations", "translating", "stream", "masks", "prompts")
    code = "".join((ROOT / f"src/hala/data/{room}.py").read_text(encoding="utf-8") for room in rooms)
    calls = re.findall(r"rejected\(([^,]+),", code)
    reasons = {reason for call in calls for reason in re.findall(r'"(\w+)"', call)}
    page = (ROOT / "docs/translate.md").read_text(encoding="utf-8")
    assert len(reasons) >= 9 and not {reason for reason in reasons if f"| `{reason}` |" not in page}


def test_commands_named_in_sentences_exist() -> None:
    """`hala verify` in a sentence is a command, and its options exist; what is planned stands under "Left for later"."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8").partition("## Left for later")[0]
        for quoted in INLINE.findall(FENCE.sub("", text)):
            name, *rest = words_of(quoted)
            known = {option for each in COMMANDS[name].params for option in each.opts} if name in COMMANDS else {"--help"}
            assert name in COMMANDS or not name.islower(), f"{page.name}: no command {name}"
            assert {word for word in rest if word.startswith("--")} <= known | {"--help", "--debug"}, f"{page.name}: {quoted}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_recipes_in_pages_load(page: Path) -> None:
    """A recipe that a page shows passes the same checks as a file."""
    for body in fences(page, "yaml"):
        content = YAML(typ="safe", pure=True).load(body)
        for name, value in (content.get("vars") or {}).items():
            content["vars"][name] = value or "file.jsonl"
        recipe_file.from_content(content, "page")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_in_pages_uses_what_exists(page: Path) -> None:
    """Python examples parse, and every `hala.name` in them is there."""
    for body in fences(page, "python"):
        for node in ast.walk(ast.parse(body)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "hala":
                assert hasattr(hala, node.attr), f"{page.name}: no hala.{node.attr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Relative links name files that exist, and anchors headings that exist."""
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text(encoding="utf-8"))):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or f"\n## {anchor}\n" in target.read_text(encoding="utf-8"), f"{page.name}: {link}"


def test_readme_is_short_and_has_a_place_for_results() -> None:
    """A newcomer reads under 200 lines, and figures come from a file, between the two marks."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 200
    assert text.count("<!-- results:begin -->") == text.count("<!-- results:end -->") == 1


def test_published_recipe_states_what_is_published() -> None:
    """The GPU recipe loads offline and keeps the published models, data, counts, prompt and merge."""
    steps = {name: step.settings for name, step in recipe_file.load(ROOT / "recipes" / "hala-1.2b.yaml").steps.items()}
    teacher, orca, opus, translator = (steps[name] for name in ("teacher", "orca_ar", "opus", "translator"))
    corpus, sft, merged, scores = (steps[name] for name in ("corpus", "sft", "hala", "scores"))
    assert isinstance(teacher, Compress) and teacher.model == "CohereLabs/command-a-translate-08-2025"
    assert isinstance(orca, Translate) and (orca.data[0].hub, orca.data[0].take) == ("Open-Orca/OpenOrca", 405_000)
    assert isinstance(opus, Filter) and opus.judge and opus.judge.model == "Qwen/Qwen2.5-3B-Instruct"
    assert (opus.data[0].hub, opus.data[0].config) == ("Helsinki-NLP/opus-100", "ar-en")
    assert isinstance(translator, Tune) and translator.base == "LiquidAI/LFM2-1.2B"
    assert translator.prompt == "Translate everything that follows into Arabic:\n\n{text}"
    assert isinstance(corpus, Translate) and corpus.prompt == translator.prompt and len(corpus.data) == 7
    assert isinstance(sft, Tune) and sft.save_dtype == "float32"
    assert isinstance(merged, Merge) and (merged.base, merged.method, merged.t) == ("LiquidAI/LFM2-1.2B", "slerp", (0.5,))
    assert isinstance(scores, Evaluate) and scores.suite == "oall-v2" and len(scores.models) == 3


def test_published_recipe_leaves_the_system_prompt_out() -> None:
    """A column map to a column that no record has drops an optional field: OpenOrca rows become question and answer."""
    from hala.data.shapes import parse

    orca = recipe_file.load(ROOT / "recipes" / "hala-1.2b.yaml").steps["orca_ar"].settings
    assert isinstance(orca, Translate)
    record = {"id": "1", "system_prompt": "Be brief.", "question": "1 + 1?", "response": "2"}
    messages, _ = parse(record, "question", orca.data[0].columns or {})
    assert [message.role for message in messages] == ["user", "assistant"]
