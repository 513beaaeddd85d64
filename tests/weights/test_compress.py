"""Compressing checkpoints: what is touched, what is left alone, what the report says, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hala.errors import InputError, RecipeError
from hala.weights.checkpoint import open_checkpoint
from hala.weights.compress import compress
from hala.weights.schemes import MODES, SCHEMES, Mode, decode
from hala.weights.tables import table
from hala.weights.verification import verify

KINDS = ("lfm2", "llama", "gemma2", "cohere2")
FORMATS = [(scheme, mode) for scheme in SCHEMES for mode in MODES]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", KINDS)
def test_only_linear_layers_are_touched(kind: str, scheme: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """Embeddings, head, norms and the short convolution keep their bytes; every other matrix becomes codes and scales."""
    report = compress(folders[kind], tmp_path / "out", scheme)
    before, after = open_checkpoint(folders[kind]), open_checkpoint(tmp_path / "out")
    for name, info in before.tensors.items():
        fixed = len(info.shape) != 2 or "embed" in name or "lm_head" in name or "norm" in name
        assert after.tensors[name].dtype == ("BF16" if fixed else SCHEMES[scheme].dtype), name
        assert after.tensors[name].shape == info.shape
        assert (f"{name}_scale" in after.tensors) != fixed
        if fixed:
            assert before.read(name).tobytes() == after.read(name).tobytes()
        else:
            assert after.tensors[f"{name}_scale"].shape == SCHEMES[scheme].scale_shape(info.shape)
    assert {tensor.name for tensor in report.quantised} | {tensor.name for tensor in report.tensors if tensor.why} == set(
        before.tensors
    )
    assert "lm_head" in after.config["quantization_config"]["ignore"]
    assert ("conv_dim" in after.config) == (kind == "lfm2")


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"])
def test_what_lies_beside_the_weights_comes_along(file: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """Tokenizer, template, generation settings, licence and hala.json are the source's, byte for byte."""
    source = Path(shutil.copytree(folders["lfm2"], tmp_path / "source"))
    (source / "LICENSE").write_text("terms")
    compress(source, tmp_path / "out")
    for name in (file, "LICENSE", "hala.json"):
        assert (tmp_path / "out" / name).read_bytes() == (source / name).read_bytes()
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert json.loads((source / "config.json").read_text()).items() <= config.items()


@pytest.mark.parametrize(("scheme", "mode"), FORMATS)
def test_blocks_and_threads_do_not_change_the_result(
    scheme: str, mode: Mode, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few rows at a time, on one thread or four, into many shards: every tensor has the same bytes."""
    compress(folders["lfm2"], tmp_path / "whole", scheme, mode, threads=1)
    monkeypatch.setattr("hala.weights.schemes.BLOCK", 300)
    compress(folders["lfm2"], tmp_path / "parts", scheme, mode, threads=4, shard_bytes=20_000)
    whole, parts = open_checkpoint(tmp_path / "whole"), open_checkpoint(tmp_path / "parts")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 3
    assert list(whole.tensors) == list(parts.tensors)
    assert all(whole.read(name).tobytes() == parts.read(name).tobytes() for name in whole.tensors)


def test_large_matrices_are_measured_on_an_eighth(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample stands for the rest: the reported error of ordinary weights is close to that of all rows."""
    whole = compress(folders["lfm2"], tmp_path / "whole")
    monkeypatch.setattr("hala.weights.schemes.BLOCK", 300)
    sampled = compress(folders["lfm2"], tmp_path / "sampled")
    assert [tensor.rel_error for tensor in whole.tensors] != [tensor.rel_error for tensor in sampled.tensors]
    for one, two in zip(whole.quantised, sampled.quantised, strict=True):
        assert two.rel_error == pytest.approx(one.rel_error, rel=0.2)


@pytest.mark.parametrize(("scheme", "mode"), FORMATS)
def test_report_tells_the_truth(scheme: str, mode: Mode, folders: dict[str, Path], tmp_path: Path) -> None:
    """Errors, zero rows and sizes in the report are those of the files."""
    source = shutil.copytree(folders["lfm2"], tmp_path / "source")
    tensors = load_file(source / "model.safetensors")
    name = "model.layers.0.feed_forward.w1.weight"
    tensors[name][3:5] = 0
    save_file(tensors, source / "model.safetensors")
    steps: list[tuple[int, int]] = []
    report = compress(source, tmp_path / "out", scheme, mode, progress=lambda done, total: steps.append((done, total)))
    line = next(tensor for tensor in report.tensors if tensor.name == name)
    assert (line.kind, line.zero_rows, line.why) == (SCHEMES[scheme].dtype, 2, "")
    written = open_checkpoint(tmp_path / "out")
    value = decode(written.read(name), written.read(f"{name}_scale"), SCHEMES[scheme]).astype(np.float64)
    weight = tensors[name].double().numpy()
    assert line.rel_error == pytest.approx(float(np.linalg.norm(weight - value) / np.linalg.norm(weight)), rel=1e-5)
    assert not value[3:5].any()
    assert report.bytes_before == sum(t.numel() * t.element_size() for t in tensors.values())
    assert report.bytes_after == sum(info.size for info in written.tensors.values()) == steps[-1][1] == steps[-1][0]
    assert line.bytes_before == 2 * weight.size
    assert line.bytes_after == weight.size + written.tensors[f"{name}_scale"].size
    low, high = (0.005, 0.02) if scheme == "int8-dynamic" else (0.015, 0.04)
    assert low < report.worst.rel_error < high
    assert (report.scheme, report.mode) == (scheme, mode)
    assert compress(source, tmp_path / "out", scheme, mode) == report


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "name", ["model.layers.1.self_attn.q_proj.weight", "model.embedding_norm.weight", "model.embed_tokens.weight"]
)
def test_nan_and_inf_are_refused_by_name(value: float, name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    """A diverged or damaged checkpoint is stopped with the tensor's name, and leaves no checkpoint behind."""
    source = shutil.copytree(folders["lfm2"], tmp_path / "source")
    tensors = load_file(source / "model.safetensors")
    tensors[name].view(-1)[7] = value
    save_file(tensors, source / "model.safetensors")
    for scheme in SCHEMES:
        with pytest.raises(InputError, match=re.escape(f"tensor {name} of") + ".* has 1 NaN or Inf"):
            compress(source, tmp_path / "out", scheme)
        assert not (tmp_path / "out").exists()
        shutil.rmtree(tmp_path / ".out.partial")


@pytest.mark.parametrize(("dtype", "bits"), [("bfloat16", 0x7F81), ("float16", 0x7C01), ("float32", 0x7F800001)])
@pytest.mark.parametrize("name", ["layers.0.w.weight", "norm.weight"])
def test_a_signalling_nan_is_one_error_and_no_warning(name: str, dtype: str, bits: int, tmp_path: Path) -> None:
    """NaN of the kind that no arithmetic makes, but a flipped bit does, ends in the same error in every dtype."""
    kind = getattr(torch, dtype)
    tensors = {each: torch.ones(8, 8, dtype=kind) for each in ("layers.0.w.weight", "norm.weight")}
    whole = torch.int16 if kind.itemsize == 2 else torch.int32
    tensors[name].view(whole)[3, 3] = bits
    (tmp_path / "source").mkdir()
    save_file(tensors, tmp_path / "source" / "model.safetensors")
    (tmp_path / "source" / "config.json").write_text("{}")
    with pytest.raises(InputError, match=re.escape(f"tensor {name} of") + ".* has 1 NaN"):
        compress(tmp_path / "source", tmp_path / "out")


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_other_dtypes_stay_what_they_are(dtype: torch.dtype, folders: dict[str, Path], tmp_path: Path) -> None:
    """Masters keep their dtype where they are kept and in the scales of mode exact; ignored layers are named in the config."""
    source = shutil.copytree(folders["llama"], tmp_path / "source")
    tensors = {name: tensor.to(dtype) for name, tensor in load_file(source / "model.safetensors").items()}
    save_file(tensors, source / "model.safetensors")
    compress(source, tmp_path / "out", mode="exact", ignore=["lm_head", r"re:.*\.mlp\."])
    out, code = open_checkpoint(tmp_path / "out"), {2: "F16", 4: "F32", 8: "F64"}[dtype.itemsize]
    assert out.tensors["model.layers.0.mlp.up_proj.weight"].dtype == code
    assert out.tensors["model.layers.0.self_attn.q_proj.weight_scale"].dtype == code
    mlp = [f"model.layers.{i}.mlp.{part}_proj" for i in (0, 1) for part in ("down", "gate", "up")]
    assert out.config["quantization_config"]["ignore"] == ["lm_head", "model.embed_tokens", *mlp]
    compress(source, tmp_path / "default")
    assert open_checkpoint(tmp_path / "default").tensors["model.layers.0.mlp.up_proj.weight_scale"].dtype == "F32"


def test_impossible_requests_are_explained(folders: dict[str, Path], tmp_path: Path) -> None:
    """An unknown scheme or mode suggests the right one, a quantised source is not quantised again, nor one without a matrix."""
    with pytest.raises(RecipeError, match="Did you mean 'fp8-dynamic'"):
        compress(folders["lfm2"], tmp_path / "x", scheme="fp8-dynamc")
    with pytest.raises(RecipeError, match="Did you mean 'exact'"):
        compress(folders["lfm2"], tmp_path / "x", mode="exat")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no matrix to quantise"):
        compress(folders["lfm2"], tmp_path / "x", ignore=["re:.*"])
    compress(folders["lfm2"], tmp_path / "packed")
    with pytest.raises(InputError, match="already quantised"):
        compress(tmp_path / "packed", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_extra_facts_are_kept_with_the_report(folders: dict[str, Path], tmp_path: Path) -> None:
    """What the caller adds lies in compress.json beside settings and tensors."""
    compress(folders["lfm2"], tmp_path / "out", extra={"licence": "apache-2.0"})
    saved = json.loads((tmp_path / "out" / "compress.json").read_text())
    assert saved["licence"] == "apache-2.0"
    assert saved["settings"]["scheme"] == "fp8-dynamic"
    assert len(saved["tensors"]) == len(open_checkpoint(folders["lfm2"]).tensors)


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of twenty matrices of 8 MB each."""
    folder = tmp_path_factory.mktemp("twenty")
    weight = torch.randn(2048, 2048, generator=torch.Generator().manual_seed(0)).bfloat16()
    save_file({f"layers.{i}.w.weight": weight.clone() for i in range(20)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    return folder


@pytest.mark.parametrize("scheme", SCHEMES)
def test_memory_is_that_of_a_few_tensors(scheme: str, twenty: Path, tmp_path: Path) -> None:
    """Of twenty matrices never more than four times one is held, besides the tables, nor when the result is verified."""
    if not SCHEMES[scheme].side:
        table(SCHEMES[scheme], "float32-scale")  # 12 MB for any model, made once
    for work in (
        lambda: compress(twenty, tmp_path / "out", scheme, threads=2),
        lambda: verify(twenty, tmp_path / "out", threads=2),
    ):
        tracemalloc.start()
        try:
            work()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 4 * 2 * 2048 * 2048
