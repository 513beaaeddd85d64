"""Documents to documents: texts, files and folders through the engines, gates and ladder of translate, without rows.

>>> from hala.verbs.documents import translate_document
>>> translate_document("Run `ls` now.", {"engine": "echo"}, "en", "ar")
'Run `ls` now.'
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from hala.data.drafts import SHOWN as SHOWN_CHARS
from hala.data.translating import Plan, Text, Translated, document_of
from hala.errors import InputError
from hala.progress import Progress as Line
from hala.recipe import Translate
from hala.recipe_file import from_content
from hala.records import Verdict
from hala.verbs import Context
from hala.verbs.translators import open_work

SUFFIXES = (".md", ".markdown", ".txt")  # of documents; everything else is data
NEVER_ACCEPTED = ("truncated", "empty", "placeholders")  # whatever the gates
MAX_RETRIES = 5  # the most that a recipe takes
SHOWN = 5  # failing segments that a message names
Digests = Callable[[Translate], Mapping[str, str]]
NOWHERE = Path("/nonexistent")  # documents have no run folder


def is_document(path: str | Path) -> bool:
    """Whether a file of this name is a document: text in gives text out."""
    return Path(path).suffix.lower() in SUFFIXES


def translate_document(text: str, settings: dict[str, Any], source: str, target: str) -> str:
    """The document in the target language, its structure untouched. Raises InputError when a part fails its checks.

    Nothing is remembered.
    """
    with closing(Documents({"memory": "none", **settings}, source, target)) as documents:
        return documents.translate_one(text)


class Documents:
    """What translates documents, one after the other as they are done. `stats` are those of the translator. Close it.

    `digests` finds those of the models, by which the translation memory knows them: without it, nothing is remembered.
    Raises RecipeError for settings that do not fit, InputError for a model that is not there.
    """

    def __init__(
        self, settings: dict[str, Any], source: str, target: str, line: Line | None = None, digests: Digests = lambda _: {}
    ) -> None:
        self.line = line or Line(quiet=True)
        step = {"translate": {"data": {"path": "-"}, **settings}}
        languages = {"source": source, "target": target}
        recipe = from_content({"name": "text", "languages": languages, "steps": {"text": step}}, "--set")
        section = recipe.steps["text"].settings
        assert isinstance(section, Translate)
        context = Context("text", NOWHERE, NOWHERE, recipe.languages, {}, self.line)
        self.work = open_work(section, context, digests(section))
        self.plan: Plan = self.work.translator.plan
        self.stats: Counter[str] = self.work.translator.stats
        self.held: dict[int, str] = {}

    def translate(self, texts: Iterable[str], total: int | None = None) -> Iterator[tuple[int, Translated]]:
        """(place, document translated or with the reason why not), each as soon as it is done; equal segments are asked once.

        `total` is how many there are, for the progress line; none means that there is but one.
        """
        done = 0

        def show(answered: int, asked: int) -> None:
            known = f", {self.stats['remembered']:,} segments remembered" if self.stats["remembered"] else ""
            if total is not None:
                self.line.update(done, total, "documents", f"{answered:,} of {asked:,} requests answered{known}")
            elif answered < asked:
                self.line.update(answered, asked, "requests", known.removeprefix(", "))

        def groups() -> Iterator[list[Text]]:
            for place, text in enumerate(texts):
                self.held[place] = text
                yield [Text(text)]

        self.line.step("translate")
        self.work.translator.progress = show
        for place, [result] in self.work.translator.translate(groups()):
            done += 1
            yield place, result
            del self.held[place]

    def translate_one(self, text: str) -> str:
        """The document alone. Raises InputError with the segments that failed."""
        for place, result in self.translate([text]):
            if not result.verdict.kept:
                raise InputError(f"the text could not be translated: {self.why(place, result)}.", self.way_out(result.verdict))
        return result.text

    def why(self, place: int, result: Translated) -> str:
        """The segments of a document, just translated, that failed, with what was wrong with each: the first few, in order."""
        distinct = set(document_of(Text(self.held[place]), self.plan).segments)
        said = [f"{each.reason}: {each.detail} | segment: {text[:SHOWN_CHARS]}" for text, each in result.failed]
        if len(said) < 2:
            return f"{result.verdict.reason}: {result.verdict.detail}"
        more = f"\n  and {len(said) - SHOWN:,} more" if len(said) > SHOWN else ""
        listed = "".join(f"\n  {' '.join(each.split())}" for each in said[:SHOWN])
        return f"{len(said):,} of its {len(distinct):,} distinct segments failed{listed}{more}"

    def way_out(self, verdict: Verdict) -> str:
        """What can help after this rejection; `gates=none` does only where a gate objected to what nothing else looks at."""
        plan = self.plan
        if verdict.reason == "engine_error":
            return "Mend the engine or its settings, then run the same command again."
        ways = ["try another model"]
        if plan.retries < MAX_RETRIES:
            ways.append(f"more tries (--set retries={MAX_RETRIES})")
        if verdict.reason == "truncated":
            ways.insert(0, f"allow longer answers (--set max_tokens={4 * plan.sampling.max_tokens})")
        elif verdict.reason == "low_confidence":
            ways.append("a lower --set min_confidence=...")
        elif verdict.reason in plan.gates and verdict.reason not in NEVER_ACCEPTED:
            ways.append("--set gates=none to see what the model wrote")
        lost = verdict.reason == "placeholders" and not plan.whole
        legend = "The protected spans of that segment (code, formulas, links, markup, placeholders) are numbered from 1. "
        advice = ", or ".join(ways)
        return f"{legend if lost else ''}{advice[0].upper()}{advice[1:]}."

    def close(self) -> None:
        """Close engines and memory."""
        self.work.close()
