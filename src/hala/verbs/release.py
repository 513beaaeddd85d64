"""release: a folder that is ready for the hub: weights, tokenizer, and a card that states scores, data, lineage and licence.

Nothing is uploaded. The licence is the strictest of all inputs; anything that looks like a secret stops the release.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from hala import artifacts, recipe
from hala.errors import InputError
from hala.verbs import Context, Outcome, trained_for
from hala.verbs.card import Card, compose
from hala.verbs.licences import classify, strictest
from hala.verbs.lineage import Lineage, trace
from hala.verbs.redact import find_secret
from hala.verbs.results import evaluations
from hala.verbs.status import Stage


def run(settings: recipe.Release, context: Context) -> Outcome:
    """`context.out` with the checkpoint's files, `README.md` (the card) and `provenance.json`.

    Raises InputError for a folder that is no checkpoint, and when a published file holds something like a secret.
    """
    from hala.weights.checkpoint import INDEX_NAME, copy_side_files, find_shards, open_checkpoint

    model = Path(context.locate(settings.model))
    parameters = _parameters(open_checkpoint(model))
    lineage = trace(model, [context.locate(step) for step in settings.data], settings.licence)
    scores = [_scores(Path(context.locate(step))) for step in settings.scores]
    card = _card(settings, context, lineage, scores, parameters)
    text = compose(card)
    shards = find_shards(model)
    refuse_secrets(model, {"README.md": text, **{shard.name: _header(shard) for shard in shards}})
    index = [model / INDEX_NAME] if len(shards) > 1 else []
    for number, file in enumerate([*shards, *index], 1):
        context.progress.update(number, len(shards) + len(index), "files", file.name)
        with artifacts.atomic_file(context.out / file.name) as temporary:
            shutil.copyfile(file, temporary)
    copied = copy_side_files(model, context.out, skip=())
    with artifacts.atomic_file(context.out / "README.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    artifacts.write_json(context.out / "provenance.json", provenance(lineage))
    return _outcome(card, copied, len(shards))


def _card(settings: recipe.Release, context: Context, lineage: Lineage, scores: list[Stage], parameters: int) -> Card:
    model = Path(context.locate(settings.model))
    return Card(
        name=settings.name or _run_name(context.run) or model.resolve().name,
        model=settings.model.removeprefix("$") if settings.model.startswith("$") else model.name,
        about=trained_for(str(model)),
        languages=(context.languages.target, context.languages.source),
        parameters=parameters,
        lineage=lineage,
        scores=tuple(evaluations(scores)),
        has_licence_file=any(model.glob("LICENSE*")),
    )


def _outcome(card: Card, copied: list[str], shards: int) -> Outcome:
    decided = strictest(classify(terms.licence) for terms in card.lineage.terms)
    facts: dict[str, Any] = {
        "name": card.name,
        "licence": decided.name,
        "licence_class": decided.group,
        "forced_by": [terms.name for terms in card.lineage.terms if classify(terms.licence) == decided],
        "to_do": card.to_do,
    }
    return Outcome(counts={"files": shards + len(copied) + 2, "lineage_steps": len(card.lineage.steps)}, facts=facts)


def _parameters(checkpoint: Any) -> int:
    """Elements of all weight tensors; FP8 scales are no parameters."""
    total = 0
    for name, info in checkpoint.tensors.items():
        if not name.endswith(("_scale", "_scale_inv")):
            elements = 1
            for size in info.shape:
                elements *= size
            total += elements
    return total


def _scores(folder: Path) -> Stage:
    manifest = artifacts.read_manifest(folder)
    if manifest is None or manifest.verb != "evaluate":
        raise InputError(f"{folder} holds no scores.", "Name a folder made by `hala evaluate`.")
    return Stage(manifest.step, manifest.verb, folder, "finished", manifest, manifest.counts)


def _run_name(run: Path) -> str:
    path = run / "recipe.json"
    return str(json.loads(path.read_text(encoding="utf-8")).get("name", "")) if path.exists() else ""


def refuse_secrets(model: Path, texts: dict[str, str]) -> None:
    """Nothing, or InputError when a file that would be published (or one of `texts`) holds something like a secret.

    The message names the file and the kind of token, never the token.
    """
    from hala.weights.checkpoint import INDEX_NAME, SIDE_FILES

    files = [file for pattern in (*SIDE_FILES, INDEX_NAME) for file in sorted(model.glob(pattern))]
    for name, content in [*((str(file), file.read_text(encoding="utf-8", errors="replace")) for file in files), *texts.items()]:
        if start := find_secret(content):
            raise InputError(
                f"{name} holds what looks like a secret ({start}...), so nothing is published.",
                "Remove it from its source, revoke it if it is real, and run the step again.",
            )


def _header(shard: Path) -> str:
    """The text in front of a safetensors file, metadata included."""
    with shard.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        return stream.read(length).decode("utf-8", errors="replace")


def provenance(lineage: Lineage) -> dict[str, Any]:
    """Steps with digests, inputs and counts, and the terms of every outside input; no path of this machine and no clock."""
    steps = [
        {
            "step": manifest.step,
            "verb": manifest.verb,
            "digest": manifest.digest,
            "fingerprint": manifest.fingerprint,
            "inputs": {_portable(name): _portable(digest) for name, digest in sorted(manifest.inputs.items())},
            "counts": manifest.counts,
            "versions": manifest.versions,
        }
        for manifest in lineage.steps.values()
    ]
    terms = [
        {"name": each.name, "role": each.role, "licence": classify(each.licence).name, "rows": each.rows}
        for each in lineage.terms
    ]
    return {"steps": steps, "inputs": terms}


def _portable(name: str) -> str:
    """A name without the folders of this machine: hub ids and steps as they are, paths by their last part."""
    kind, colon, value = name.rpartition(":")
    return f"{kind}{colon}{Path(value).name}" if value.startswith(("/", "~", ".")) or value.count("/") > 1 else name
