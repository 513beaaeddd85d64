"""The report's part on weights: charts come from the checkpoints' own reports, and every layer that was weighed is listed."""

from __future__ import annotations

from pathlib import Path

from hala import artifacts, pipeline
from hala.progress import Progress
from hala.verbs.report_weights import by_layer, layer_chart, weights
from hala.verbs.status import stages


def made(tmp_path: Path, tiny: Path, tiny_child: Path) -> Path:
    """A run of one compress step that keeps layers and one merge step."""
    recipe = f"""name: weights
steps:
  small: {{compress: {{model: "{tiny}", keep: auto, keep_budget: 0.2}}}}
  merged: {{merge: {{base: "{tiny}", tuned: "{tiny_child}", t: [0.25, 0.75]}}}}
"""
    path = tmp_path / "weights.yaml"
    path.write_text(recipe, encoding="utf-8")
    return pipeline.run(path, [], tmp_path / "run", pipeline.Choice(), Progress(quiet=True))


def test_charts_and_kept_layers_of_a_real_run(tmp_path: Path, tiny: Path, tiny_child: Path) -> None:
    """A finished compress step shows errors by layer and its kept layers; a merge over several t its angles."""
    page = weights(stages(made(tmp_path, tiny, tiny_child)))
    assert page.count("<svg viewBox") == 2 and "relative error in percent" in page and "angle in degrees" in page
    facts = artifacts.read_manifest(tmp_path / "run/small").facts
    kept = [layer["name"] for layer in facts["layers"] if layer["kept"]]
    assert f"({len(kept)} of {len(facts['layers'])} kept)" in page and all(layer["name"] in page for layer in facts["layers"])


def test_a_layer_is_the_mean_of_its_matrices() -> None:
    """Values are averaged within a group of a layer; norms and embeddings are no part of the chart."""
    names = {"layers.0.mlp.up_proj": 1.0, "layers.0.mlp.down_proj": 3.0, "layers.1.self_attn.q_proj": 5.0, "embed_tokens": 7.0}
    tensors = [{"name": f"model.{name}.weight", "angle": value} for name, value in names.items()]
    assert by_layer(tensors, "angle", 2.0) == {"feed_forward": {0: 4.0}, "attention": {1: 10.0}}


def test_no_layers_no_chart() -> None:
    """A model without layers draws nothing instead of an empty frame."""
    assert layer_chart([{"name": "embed.weight", "angle": 1.0}], "angle", 1.0, "angle") == ""
