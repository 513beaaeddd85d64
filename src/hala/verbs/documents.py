"""Documents to documents: texts, files and folders through the engines, gates and ladder of translate, without rows.

>>> from hala.verbs.documents import translate_document
>>> translate_document("Run `ls` now.", {"engine": "echo"}, "en", "ar")
'Run `ls` now.'
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from hala.data.translating import Plan, Progress, Text, Translated, no_progress
from hala.errors import InputError
from hala.progress import Progress as Line
from hala.recipe import Languages, Translate
from hala.recipe_file import from_content
from hala.records import Verdict
from hala.verbs import Context
from hala.verbs.translators import open_work

SUFFIXES = (".md", ".markdown", ".txt")  # of documents; everything else is data
MAX_RETRIES = 5  # the most that a recipe takes


def translate_document(text: str, settings: dict[str, Any], source: str, target: str) -> str:
    """The document in the target language, its structure untouched. Raises InputError when a part fails its checks."""
    [result], plan = translate_documents([text], settings, source, target)
    if not result.verdict.kept:
        raise InputError(
            f"the text could not be translated: {result.verdict.reason}: {result.verdict.detail}.",
            _way_out(result.verdict, plan),
        )
    return result.text


def translate_documents(
    texts: Sequence[str], settings: dict[str, Any], source: str, target: str, progress: Progress = no_progress
) -> tuple[list[Translated], Plan]:
    """Each document translated or with the reason why not, and the plan that was followed. Equal segments are asked once."""
    step = {"translate": {"data": {"path": "-"}, **settings}}
    recipe = from_content({"name": "text", "languages": {"source": source, "target": target}, "steps": {"text": step}}, "--set")
    section = recipe.steps["text"].settings
    assert isinstance(section, Translate)
    nowhere = Path("/nonexistent")  # documents have no run folder
    context = Context("text", nowhere, nowhere, Languages(source=source, target=target), {}, Line(quiet=True))
    with closing(open_work(section, context)) as work:
        work.translator.progress = progress
        groups = ([Text(text)] for text in texts)
        found = dict(work.translator.translate(groups))
        return [found[place][0] for place in range(len(texts))], work.translator.plan


def documents_in(folder: Path) -> list[Path]:
    """The documents below a folder, sorted; hidden ones are left out."""
    files = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _way_out(verdict: Verdict, plan: Plan) -> str:
    """What can help after this rejection; `gates=none` does only where a gate objected to what nothing else looks at."""
    if verdict.reason == "engine_error":
        return "Mend the engine or its settings, then run the same command again."
    ways = ["Try another model"]
    if plan.retries < MAX_RETRIES:
        ways.append(f"more tries (--set retries={MAX_RETRIES})")
    if verdict.reason == "low_confidence":
        ways.append("a lower --set min_confidence=...")
    elif verdict.reason in plan.gates and verdict.reason != "placeholders":
        ways.append("--set gates=none to see what the model wrote")
    lost = verdict.reason == "placeholders" and not plan.whole
    legend = "The protected spans of that segment (code, formulas, links, markup, placeholders) are numbered from 1. "
    return f"{legend if lost else ''}{', or '.join(ways)}."
