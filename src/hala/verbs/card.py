"""The model card: front matter that the hub reads, then scores, data, licence, lineage and limits for people.

>>> from hala.verbs.card import front_matter
>>> print(front_matter({"language": ["no"], "license": "mit"}))
language:
  - "no"
license: "mit"
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hala.languages import language
from hala.verbs.licences import Licence, classify, hub_fields, strictest
from hala.verbs.lineage import Lineage
from hala.verbs.redact import plain
from hala.verbs.results import Cell, Table, headline_tables, inert, markdown, scores_of
from hala.verbs.status import Stage, compact, outcome, rejections

METRIC_TYPES = {"accuracy": "accuracy", "chrf++": "chrf", "bleu": "bleu", "bleu-13a": "bleu"}


@dataclass(frozen=True, slots=True)
class Card:
    """Everything that the card says. `model` is the name under which the scores know the checkpoint."""

    name: str
    model: str
    about: Mapping[str, str]
    languages: tuple[str, str]
    parameters: int
    lineage: Lineage
    scores: tuple[Stage, ...]
    has_licence_file: bool = False

    @property
    def licence(self) -> Licence:
        """The strictest licence of all inputs."""
        return strictest(classify(terms.licence) for terms in self.lineage.terms)

    @property
    def task(self) -> str:
        """`translation`, `chat` or `text`."""
        return self.about.get("task", "chat")

    @property
    def to_do(self) -> list[str]:
        """What a person has to settle before publishing."""
        unknown = sorted({terms.name for terms in self.lineage.terms if classify(terms.licence).group == "unknown"})
        tasks = [f"Find out the licence of {name}." for name in unknown]
        if any(classify(terms.licence).name == "lfm1.0" for terms in self.lineage.terms) and not self.has_licence_file:
            tasks.append("Add the LICENSE and NOTICE files of the LFM Open License v1.0.")
        return tasks


def compose(card: Card) -> str:
    """The whole README.md."""
    parts = [f"---\n{front_matter(_front(card))}\n---", f"# {inert(card.name)}", _opening(card), _usage(card)]
    for heading, body in (
        ("Results", _results(card)),
        ("Training data", _data(card)),
        ("Licence", _licence(card)),
        ("Lineage", _lineage(card)),
        ("Limits", _limits(card)),
    ):
        parts += [f"## {heading}", body] if body else []
    return "\n\n".join(parts) + "\n"


def front_matter(content: Mapping[str, Any]) -> str:
    """YAML that readers of version 1.1 and 1.2 understand alike: every string is quoted, so `no` stays a language."""
    return "\n".join(_yaml(content, 0))


def _yaml(value: Any, depth: int) -> Iterator[str]:
    space = "  " * depth
    if isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(item, Mapping | list):
                yield f"{space}{key}:"
                yield from _yaml(item, depth + 1)
            else:
                yield f"{space}{key}: {_scalar(item)}"
    else:
        for item in value:
            lines = list(_yaml(item, 0)) if isinstance(item, Mapping) else [_scalar(item)]
            yield f"{space}- {lines[0]}"
            yield from (f"{space}  {line}" for line in lines[1:])


def _scalar(value: Any) -> str:
    return json.dumps(" ".join(plain(value).split()) if isinstance(value, str) else value, ensure_ascii=False)


def _front(card: Card) -> dict[str, Any]:
    bases = [terms.name for terms in card.lineage.terms if terms.role == "base" and terms.hub]
    verbs = {manifest.verb for manifest in card.lineage.steps.values()}
    relation = "merge" if "merge" in verbs else "finetune" if "tune" in verbs else "quantized" if "compress" in verbs else ""
    front: dict[str, Any] = {"language": list(dict.fromkeys(card.languages)), **hub_fields(card.licence)}
    front |= {"base_model": bases} if bases else {}
    front |= {"base_model_relation": relation} if bases and relation else {}
    datasets = sorted(card.lineage.datasets)
    front |= {"datasets": datasets} if datasets else {}
    front |= {"library_name": "transformers", "pipeline_tag": "translation" if card.task == "translation" else "text-generation"}
    front |= {"tags": ["hala", *(["slerp"] if "merge" in verbs else [])]}
    results = list(_index(card))
    return front | ({"model-index": [{"name": card.name, "results": results}]} if results else {})


def _index(card: Card) -> Iterator[dict[str, Any]]:
    """The released model's own scores as the hub's model-index, one entry for each set."""
    own = [score for stage in card.scores for score in scores_of(stage) if score.get("model") == card.model]
    own = [score for score in own if score.get("metric") in METRIC_TYPES and score.get("value") is not None]
    for name in dict.fromkeys(str(score["set"]) for score in own):
        here = [score for score in own if str(score["set"]) == name]
        is_questions = any(score["metric"] == "accuracy" for score in here)
        task = {"type": "multiple-choice" if is_questions else "translation"}
        metrics = [
            {"type": METRIC_TYPES[score["metric"]], "name": str(score["metric"]), "value": round(float(score["value"]), 2)}
            for score in here
        ]
        yield {"task": task, "dataset": {"name": name, "type": name}, "metrics": metrics}


def _opening(card: Card) -> str:
    target, source = (language(code).name for code in card.languages)
    what = {"translation": f"translates {source} into {target}", "chat": f"answers in {target} and {source}"}
    made = ", ".join(dict.fromkeys(manifest.verb for manifest in card.lineage.steps.values()))
    how = f" It was made with hala ({made})." if made else ""
    return f"A model of {compact(card.parameters)} parameters that {what.get(card.task, 'continues text')}.{how}"


def _usage(card: Card) -> str:
    prompt = card.about.get("prompt", "") if card.task == "translation" else ""
    content = json.dumps(plain(prompt), ensure_ascii=False) + '.format(text="Good morning!")' if prompt else '"مرحبا"'
    folder = json.dumps(plain(card.name), ensure_ascii=False)
    return (
        "```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f"tokenizer = AutoTokenizer.from_pretrained({folder})\nmodel = AutoModelForCausalLM.from_pretrained({folder})\n"
        f'messages = [{{"role": "user", "content": {content}}}]\n'
        'inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)\n'
        "outputs = model.generate(**inputs, max_new_tokens=128)\n"
        'print(tokenizer.decode(outputs[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))\n```'
    )


def _results(card: Card) -> str:
    tables = [markdown(table) for stage in card.scores for table in headline_tables(stage)]
    own = any(score.get("model") == card.model for stage in card.scores for score in scores_of(stage))
    name = f"This model is **{inert(card.model)}** in the tables." if own and tables else ""
    return "\n\n".join(part for part in (name, *tables) if part)


def _data(card: Card) -> str:
    rows = []
    for manifest in card.lineage.data_steps().values():
        total, kept = manifest.counts.get("rows", 0), manifest.counts.get("kept", 0)
        reasons = ", ".join(f"{reason} {number:,}" for reason, number in rejections(manifest.counts).items())
        rows.append(
            tuple(Cell(t) for t in (manifest.step, manifest.verb, f"{total:,}", f"{kept:,}", f"{total - kept:,}", reasons or "–"))
        )
    return markdown(Table("", ("step", "verb", "rows", "kept", "rejected", "reasons"), tuple(rows))) if rows else ""


def _licence(card: Card) -> str:
    decided = card.licence
    forced = [terms for terms in card.lineage.terms if classify(terms.licence) == decided]
    rows = tuple(
        (Cell(terms.name), Cell(terms.role), Cell(f"{terms.rows:,}" if terms.rows else "–"), Cell(classify(terms.licence).name),
         Cell(classify(terms.licence).group))
        for terms in card.lineage.terms
    )  # fmt: skip
    names = ", ".join(dict.fromkeys(f"{inert(terms.name)} ({terms.role})" for terms in forced))
    because = f", which {names} demands" if names else "; nothing is known about what it was made from"
    lead = f"**{inert(decided.name)}** ({decided.group}): the strictest licence of all inputs{because}."
    lead += " Each input's own terms apply as well."
    table = markdown(Table("", ("input", "role", "rows", "licence", "class"), rows)) if rows else ""
    tasks = "\n".join(f"- To do before publishing: {inert(task)}" for task in card.to_do)
    return "\n\n".join(part for part in (lead, table, tasks) if part)


def _lineage(card: Card) -> str:
    rows = []
    for folder, manifest in card.lineage.steps.items():
        stage = Stage(manifest.step, manifest.verb, folder, "finished", manifest, manifest.counts)
        inputs = ", ".join(name for name in sorted(manifest.inputs) if name.startswith("$")) or "–"
        rows.append(tuple(Cell(t) for t in (manifest.step, manifest.verb, inputs, outcome(stage), manifest.digest[:12])))
    table = markdown(Table("", ("step", "verb", "from", "outcome", "digest"), tuple(rows))) if rows else ""
    return table + "\n\nFull digests and versions are in `provenance.json`." if table else ""


def _limits(card: Card) -> str:
    roles = {terms.role for terms in card.lineage.terms}
    lines = ["It was not tuned for safety, and it states wrong things with confidence; check what matters."]
    if "teacher" in roles or any(manifest.verb == "translate" for manifest in card.lineage.steps.values()):
        lines.append(
            "Its training data was translated by a machine: errors of the translator and the tone of its sources are in it."
        )
    if any(manifest.verb == "compress" for manifest in card.lineage.steps.values()):
        lines.append("A compressed (FP8) model took part in making it; its error is in the lineage.")
    scored = "Scores hold for the sets above with the prompts used there; intervals cover the choice of items, nothing else."
    lines.append(scored if card.scores else "It comes without scores.")
    return "\n".join(f"- {line}" for line in lines)
