"""The report's part on weights: the error of each layer after compression, the angle of each layer in a merge, and what was kept.

>>> from hala.verbs.report_weights import by_layer
>>> by_layer([{"name": "model.layers.3.mlp.up_proj.weight", "rel_error": 0.02}], "rel_error", 100.0)
{'feed_forward': {3: 2.0}}
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

from hala.verbs.report_charts import Line, line_chart
from hala.verbs.report_page import data_cell, details, grid, paragraph, text
from hala.verbs.status import Stage, size
from hala.weights.groups import LAYER, group_of

DRAWN = ("attention", "conv", "feed_forward")


def weights(found: list[Stage]) -> str:
    """Compress and merge steps that are finished: charts by layer, kept layers, the translation test."""
    parts = []
    for stage in found:
        if stage.state == "finished" and stage.verb in ("compress", "merge"):
            made = _compressed(stage) if stage.verb == "compress" else _merged(stage)
            parts += [f"<h3>{text(stage.name)} <span class='soft'>{text(stage.verb)}</span></h3>{made}"] if made else []
    return "".join(parts)


def _compressed(stage: Stage) -> str:
    quantised = [tensor for tensor in _tensors(stage, "", "compress.json") if tensor.get("kind") != "kept"]
    picture = layer_chart(quantised, "rel_error", 100.0, "relative error in percent")
    facts = stage.facts
    kept = ", ".join(f"{text(why)} {number}" for why, number in facts.get("kept", {}).items())
    lead = (
        f"Mean relative error {100 * facts.get('mean_rel_error', 0):.2f}%, largest {100 * facts.get('worst_rel_error', 0):.2f}%"
    )
    lead += f" in <bdi>{text(facts.get('worst_tensor', ''))}</bdi>. Tensors that stayed: {kept or 'none'}."
    return paragraph(lead) + picture + _recovery(facts.get("recovery", [])) + _layers(facts.get("layers", []))


def _merged(stage: Stage) -> str:
    folder = next(iter(stage.facts.get("checkpoints", [])), "")
    tensors = _tensors(stage, folder, "merge.json")
    return paragraph(text(stage.facts.get("summary", ""))) + layer_chart(tensors, "angle", 1.0, "angle in degrees")


def _tensors(stage: Stage, folder: str, name: str) -> list[dict[str, Any]]:
    """What a checkpoint's own report says of each tensor; nothing where it is missing or damaged."""
    try:
        tensors = json.loads((stage.folder / folder / name).read_text(encoding="utf-8"))["tensors"]
    except (OSError, ValueError, KeyError):
        return []
    return [tensor for tensor in tensors if isinstance(tensor, dict)]


def layer_chart(tensors: Iterable[Mapping[str, Any]], key: str, factor: float, label: str) -> str:
    """A value over the layers, one line for attention, convolutions and feed-forward; empty for a model without layers."""
    values = by_layer(tensors, key, factor)
    lines = tuple(Line(group, tuple(sorted(values[group].items())), marks=True) for group in DRAWN if group in values)
    picture = line_chart(lines, "layer", label)
    return f"<figure><figcaption>{text(label)}, mean of the matrices of a layer</figcaption>{picture}</figure>" if picture else ""


def by_layer(tensors: Iterable[Mapping[str, Any]], key: str, factor: float) -> dict[str, dict[int, float]]:
    """The mean of a value over the tensors of each group in each layer."""
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for tensor in tensors:
        group, layer = group_of(tensor["name"]), LAYER.search(tensor["name"])
        if group in DRAWN and layer and tensor.get(key) is not None:
            found[group][int(layer[1])].append(factor * tensor[key])
    return {group: {layer: fmean(values) for layer, values in layers.items()} for group, layers in found.items()}


def _recovery(entries: list[dict[str, Any]]) -> str:
    rows = (
        data_cell(entry["set"])
        + data_cell(entry["metric"])
        + f"<td>{entry['original']:.1f}</td><td>{entry['compressed']:.1f}</td>"
        f"<td>{entry['loss']:.2f} ({entry['loss_low']:.2f} to {entry['loss_high']:.2f})</td><td>{entry['tolerance']:g}</td>"
        for entry in entries
    )
    header = ("translation test", "metric", "original", "compressed", "loss (95% interval)", "tolerance")
    return grid(header, rows, "numbers") if entries else ""


def _layers(layers: list[dict[str, Any]]) -> str:
    """Every layer with its harm, the kept ones marked."""
    rows = (
        f"{data_cell(layer['name'])}<td>{layer['harm']:.3g}</td><td>{100 * layer['rel_error']:.2f}%</td>"
        f"<td>{size(layer['cost'])}</td><td>{'kept' if layer['kept'] else ''}</td>"
        for layer in layers
    )
    kept = sum(layer["kept"] for layer in layers)
    table = grid(("layer", "harm", "relative error", "costs", ""), rows, "numbers")
    return details(f"Layers weighed for keep: auto ({kept} of {len(layers)} kept)", table) if layers else ""
