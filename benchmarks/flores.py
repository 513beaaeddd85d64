"""Metrics on real output: six systems' translations of FLORES-200 devtest both ways, beside the BLEU published with them.

    python benchmarks/flores.py --data FOLDER [--flores200 MODEL]
    python benchmarks/flores.py    # the page alone, from the stored results

FOLDER holds `flores-test.{en,ar}`, `flores-test.SYSTEM.{en,ar}` (output in that language) and `flores-test.SYSTEM.LANG.bleu`
(a published BLEU). Every metric is computed raw and after `arabic-light` (into Arabic); each BLEU tokenizer of sacrebleu that
needs no model is compared with the published figures, so that the page can say which one they were made with.
Writes benchmarks/results/flores.json and the tables in docs/evaluate.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from record import RESULTS, machine

from hala.artifacts import Manifest, write_json
from hala.evals.statistics import holm
from hala.evals.translation import Metrics, compare_translations, score_translations
from hala.verbs.results import terminal
from hala.verbs.scoreboard import board
from hala.verbs.sheet import correct_for_many
from hala.verbs.status import Stage

SYSTEMS = ("google", "microsoft", "bergamot-base", "nllb", "opusmt", "argos")
TOKENIZERS = ("13a", "intl", "char", "none")
PAGE = Path(__file__).parent.parent / "docs" / "evaluate.md"
SCRIPTS = {"ar": "Arab", "en": "Latn"}


def lines(path: Path) -> list[str]:
    """The lines of a text file; a carriage return or U+2028 inside one does not end it."""
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def settings_for(lang: str, flores200: str) -> Metrics:
    """Every metric, raw and for Arabic also normalised."""
    names = (*(f"bleu-{each}" for each in TOKENIZERS), *(("bleu-flores200",) if flores200 else ()))
    return Metrics(
        names=(*names, "chrf++", "ter", "rouge-l", "rouge-l-latin"),
        script=SCRIPTS[lang],
        normalise=("none", "arabic-light") if lang == "ar" else ("none",),
        flores200=flores200,
    )


def direction(folder: Path, lang: str, flores200: str) -> dict[str, Any]:
    """All systems into one language: scores, published BLEU, paired tests against the best system, seconds by step."""
    references, sources = lines(folder / f"flores-test.{lang}"), lines(folder / f"flores-test.{'en' if lang == 'ar' else 'ar'}")
    settings = settings_for(lang, flores200)
    outputs = {system: lines(folder / f"flores-test.{system}.{lang}") for system in SYSTEMS}
    systems: dict[str, Any] = {}
    for system, texts in outputs.items():
        begin = time.thread_time()
        result = score_translations(texts, references, sources, settings)
        systems[system] = {
            "published": float((folder / f"flores-test.{system}.{lang}.bleu").read_text()),
            "seconds": round(time.thread_time() - begin, 2),
            "distance_from_sacrebleu": official(texts, references, {score.name: score.value for score in result.scores}),
            "scores": {score.name: _rounded(score) for score in (*result.scores, *result.failures)},
        }
    best = max(SYSTEMS, key=lambda system: systems[system]["scores"]["chrf++"]["value"])
    pairs = [system for system in SYSTEMS if system != best]
    for kind in ("bootstrap", "randomisation"):
        tests = Metrics(names=("bleu-13a", "chrf++", "ter"), paired=kind)
        found = {system: compare_translations(outputs[best], outputs[system], references, tests) for system in pairs}
        for at, name in enumerate(tests.names):
            for system, p in zip(pairs, holm([found[system][at].p for system in pairs]), strict=True):
                gain = found[system][at]
                told = {"delta": round(gain.value, 3), "p": round(gain.p, 6), "p_holm": round(p, 6)}
                systems[system].setdefault("against", {}).setdefault(kind, {})[name] = told
    return {"n": len(references), "best": best, "systems": systems, "tokenizers": dict(misses(systems))}


def official(texts: list[str], references: list[str], ours: dict[str, float]) -> float:
    """The largest distance of our BLEU, chrF++ and TER from what sacrebleu's public functions say."""
    from sacrebleu.metrics import BLEU, CHRF, TER

    theirs = {"bleu-13a": BLEU(), "chrf++": CHRF(word_order=2), "ter": TER()}
    return max(abs(metric.corpus_score(texts, [references]).score - ours[name]) for name, metric in theirs.items())


def misses(systems: dict[str, Any]) -> Iterator[tuple[str, dict[str, float]]]:
    """For each tokenizer, how many published figures it gives when rounded as they are, and the largest distance."""
    names = [name for name in next(iter(systems.values()))["scores"] if name.startswith("bleu-") and "(" not in name]
    for name in names:
        far = [abs(each["scores"][name]["value"] - each["published"]) for each in systems.values()]
        same = sum(f"{each['scores'][name]['value']:.1f}" == f"{each['published']:.1f}" for each in systems.values())
        yield name, {"equal": same, "of": len(systems), "largest_distance": round(max(far), 3)}


def _rounded(score: Any) -> dict[str, Any]:
    kept = {key: round(getattr(score, key), 4) for key in ("value", "low", "high")}
    return {**kept, "signature": score.signature}


def table(found: dict[str, Any]) -> str:
    """The table of the page."""
    names = ("published", "BLEU 13a", "spBLEU", "chrF++", "TER", "ROUGE-L", "Latin-only ROUGE-L", "chrF++ arabic-light")
    keys = ("published", "bleu-13a", "bleu-flores200", "chrf++", "ter", "rouge-l", "rouge-l-latin", "chrf++ (arabic-light)")
    parts = []
    for lang, one in found["directions"].items():
        shown = [at for at, key in enumerate(keys) if at == 0 or any(key in each["scores"] for each in one["systems"].values())]
        parts += [f"**Into {'Arabic' if lang == 'ar' else 'English'}** ({one['n']:,} sentences)", ""]
        parts += ["| system | " + " | ".join(names[at] for at in shown) + " |", "| --- |" + " --- |" * len(shown)]
        for system in SYSTEMS:
            each = one["systems"][system]
            cells = [f"{each['published']:.1f}", *(_cell(each["scores"][keys[at]]) for at in shown[1:])]
            parts.append(f"| {system} | {' | '.join(cells)} |")
        parts.append("")
    equal = ", ".join(
        f"{name.removeprefix('bleu-')} {sum(one['tokenizers'][name]['equal'] for one in found['directions'].values())}"
        for name in next(iter(found["directions"].values()))["tokenizers"]
    )
    parts.append(f"Of the 12 published figures, this many are the same to the printed digit, by tokenizer: {equal}.")
    return "\n".join(parts)


def shown_board(found: dict[str, Any]) -> str:
    """The systems as `hala evaluate` shows models: the best first, differences to it tested by approximate randomisation."""
    scores = []
    for lang, one in found["directions"].items():
        order = [one["best"], *(system for system in SYSTEMS if system != one["best"])]
        for metric in ("bleu-13a", "chrf++"):
            for system in order:
                each = one["systems"][system]
                tested = each.get("against", {}).get("randomisation", {}).get(metric, {})
                basis = {"model": system, "set": f"flores to {lang}", "metric": metric, "lang": lang, "n": one["n"]}
                scores.append({**basis, "delta": None, "p": None, **each["scores"][metric], **tested})
    correct_for_many(scores)
    best = " and ".join(dict.fromkeys(one["best"] for one in found["directions"].values()))
    made = Manifest("flores", "evaluate", "scores", {}, {}, "", {}, {"baseline": best, "scores": scores})
    shown = board(Stage("flores", "evaluate", PAGE.parent, "finished", made))
    return f"```text\n{terminal(shown)}\n{shown.note}\n```"


def _filled(page: str, name: str, content: str) -> str:
    """The page with what stands between the marks of that name replaced."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if begin not in page:
        return page
    return f"{page.split(begin)[0]}{begin}\n{content}\n{end}{page.split(end)[1]}"


def _cell(score: dict[str, Any]) -> str:
    return f"{score['value']:.1f} ({score['low']:.1f} to {score['high']:.1f})"


def main() -> None:
    """Score, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the systems' output; none makes the page from the stored results")
    parser.add_argument("--flores200", default="", help="SentencePiece model of spBLEU")
    options = parser.parse_args()
    if options.data is None:
        found = json.loads((RESULTS / "flores.json").read_text(encoding="utf-8"))
    else:
        scored = {lang: direction(options.data, lang, options.flores200) for lang in ("ar", "en")}
        found = {"machine": machine(), "directions": scored}
        write_json(RESULTS / "flores.json", found)
    if PAGE.exists():
        page = _filled(PAGE.read_text(encoding="utf-8"), "flores", table(found))
        PAGE.write_text(_filled(page, "board", shown_board(found)), encoding="utf-8")
    print(table(found))
    print(json.dumps({lang: one["tokenizers"] for lang, one in found["directions"].items()}))


if __name__ == "__main__":
    main()
