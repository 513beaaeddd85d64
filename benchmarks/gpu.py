"""What a GPU does with hala, in one run: FP8 (products, prefill, decode, engine, memory, compress, the CPU's bits), training.

    PYTHONPATH=src python benchmarks/gpu.py --out gpu.json            # under 9 minutes on an H100
    PYTHONPATH=src python benchmarks/gpu.py --parts training --out training.json
    PYTHONPATH=src python benchmarks/gpu.py --device cpu --quick      # a minute with tiny models, to see that it runs

BF16 and FP8 (`Fp8Linear`: activations rounded per token as part of the layer) run the same random models. Decode is measured
twice: step by step as the local engine runs it, and as one CUDA graph, which is what the kernels alone need. Results are written
after each part, with the table as Markdown beside them; a part that fails leaves its error there and the next one runs.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gpu_training
import torch
from gpu_models import FP8, SHAPES, TINY, Clock, graphed, layers_that_fit, make_model, one_layer, run_all, to_fp8, to_fp8_layer
from record import RESULTS, machine
from stand_ins import byte_tokenizer, texts

Row = dict[str, Any]


class Bench:
    """Where the work runs, how long it may take, and what was found so far."""

    def __init__(self, device: str, quick: bool, seconds: float, out: Path) -> None:
        self.device, self.quick, self.out = device, quick, out
        self.clock = Clock(device, 2 if quick else 3)
        self.ends = time.perf_counter() + seconds
        self.began = time.perf_counter()
        self.result: Row = {
            "machine": machine(),
            "gpu": describe(device),
            "quick": quick,
            "parts": {},
            "errors": {},
            "seconds": {},
        }

    def left(self) -> float:
        """Seconds before nothing new is begun."""
        return self.ends - time.perf_counter()

    def part(self, name: str, rows: Callable[[Bench], Iterator[Row]]) -> None:
        """Runs one part, keeping each row at once; an error is kept too."""
        print(f"== {name}", flush=True)
        began, found = time.perf_counter(), self.result["parts"].setdefault(name, [])
        try:
            for row in rows(self):
                found.append(row)
                print(json.dumps(row), flush=True)
                self.save()
        except Exception:
            self.result["errors"][name] = traceback.format_exc()[-3000:]
            print(self.result["errors"][name], flush=True)
        self.result["seconds"][name] = round(time.perf_counter() - began, 1)
        self.save()
        release()

    def save(self) -> None:
        """The JSON, and the table beside it."""
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self.out.write_text(json.dumps(self.result, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        self.out.with_suffix(".md").write_text(table(self.result), encoding="utf-8")


def describe(device: str) -> Row:
    """The device and the libraries."""
    import transformers

    found: Row = {"device": device, "torch": torch.__version__, "transformers": transformers.__version__}
    if device.startswith("cuda"):
        properties = torch.cuda.get_device_properties(device)
        found |= {"device": properties.name, "gpu_memory_gb": round(properties.total_memory / 1e9), "cuda": torch.version.cuda}
    return found


def release() -> None:
    """Gives the memory of dropped models back."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def used_gb(device: str) -> float | None:
    """GB of tensors on the GPU."""
    return round(torch.cuda.memory_allocated(device) / 1e9, 3) if device.startswith("cuda") else None


def shapes(bench: Bench) -> dict[str, dict[str, int]]:
    """The models of this run."""
    return {name: TINY for name in SHAPES} if bench.quick else SHAPES


def equality(bench: Bench) -> Iterator[Row]:
    """Whether the GPU gives the CPU's bits, and how far an FP8 layer is from its own arithmetic done in float32."""
    from hala.weights.linears import Fp8Linear, code_tokens, fp8_works, round_tokens
    from hala.weights.schemes import SCHEMES

    yield {"what": "FP8 product works here", "equal": fp8_works(bench.device)}
    rows, columns = (64, 96) if bench.quick else (2048, 4096)
    generator = torch.Generator().manual_seed(1)
    for dtype in (torch.bfloat16, torch.float32):
        x = (torch.randn(rows, columns, generator=generator) * 3).to(dtype)
        for scheme in SCHEMES.values():
            pairs = zip(code_tokens(x, scheme), code_tokens(x.to(bench.device), scheme), strict=True)
            differ = sum(int((a.view(torch.uint8) != b.cpu().view(torch.uint8)).sum()) for a, b in pairs)
            yield {"what": f"codes of {scheme.name} from {dtype}", "equal": differ == 0, "bytes_that_differ": differ}
    x, weight = (torch.randn(n, columns, device=bench.device).bfloat16() for n in (rows, 2 * columns))
    codes, scales = code_tokens(weight, FP8)
    exact = round_tokens(x.float(), FP8) @ (codes.float() * scales).t()
    plain = x.float() @ weight.float().t()
    got = Fp8Linear(codes, scales, None, FP8)(x).float()
    norm = plain.norm()
    yield {
        "what": "FP8 layer",
        "relative_error_to_its_own_arithmetic": float((got - exact).norm() / norm),
        "relative_error_of_8_bits": float((exact - plain).norm() / norm),
    }


def products(bench: Bench) -> Iterator[Row]:
    """The matrix products of one block, weights too many for the cache: BF16, FP8 with rounding, as CUDA graphs."""
    for name, shape in shapes(bench).items():
        size = sum(linear.weight.numel() for linear in one_layer(name, shape, bench.device))
        copies = 1 if bench.quick else max(2, -(-200_000_000 // size))
        plain = [linear for _ in range(copies) for linear in one_layer(name, shape, bench.device)]
        small = [to_fp8_layer(linear) for linear in plain]
        widths = {linear.in_features for linear in plain}
        for tokens in (1, 32) if bench.quick else (1, 16, 64, 256, 1024, 4096, 16384):
            inputs = {width: torch.randn(tokens, width, device=bench.device, dtype=torch.bfloat16) for width in widths}
            calls = {"bf16": plain, "fp8": small}
            ready = {
                way: graphed(lambda layers=layers, x=inputs: run_all(layers, x), bench.device) for way, layers in calls.items()
            }
            seconds = bench.clock.contest(ready, 2 if bench.quick or tokens > 2000 else 10)
            work = 2 * tokens * size * copies / 1e12
            yield {
                "model": name,
                "tokens": tokens,
                "tflops": {way: round(work / value, 3) for way, value in seconds.items()},
                "ratio": round(seconds["bf16"] / seconds["fp8"], 3),
            }
            del ready
        del plain, small
        release()


def models(bench: Bench) -> Iterator[Row]:
    """Prefill and decode of whole models, first in BF16, then with the same layers turned to FP8 in place."""
    for name, shape in shapes(bench).items():
        layers = layers_that_fit(shape, bench.device)
        model, found = make_model(name, shape | {"layers": layers}, bench.device), {}
        part = layers / shape["layers"]
        for way in ("bf16", "fp8"):
            if way == "fp8":
                to_fp8(model)
                release()
            found[way] = {"memory_gb": used_gb(bench.device)} | measure(bench, model, part)
        yield {
            "model": name,
            "layers": layers,
            "of": shape["layers"],
            "memory_gb": {w: r.pop("memory_gb") for w, r in found.items()},
        }
        for phase in found["bf16"]:
            both = {way: rows.get(phase) for way, rows in found.items()}
            ratio = round(both["fp8"] / both["bf16"], 3) if both["bf16"] and both["fp8"] else None
            kind, batch = phase.rsplit(" ", 1)
            yield {"model": name, "phase": kind, "batch": int(batch), "tokens_per_second": both, "ratio": ratio}
        del model
        release()


def measure(bench: Bench, model: Any, part: float) -> dict[str, float | None]:
    """Tokens a second by phase and batch; None where memory or time ended. With `part` of the layers, scaled to all of them."""
    found: dict[str, float | None] = {}
    prompt = 16 if bench.quick else 256
    for batch in (1, 4) if bench.quick else (1, 16, 64, 256):
        jobs: dict[str, tuple[int, Callable[[], float]]] = {
            "prefill": (batch * prompt, lambda batch=batch: prefill_seconds(bench, model, batch, prompt)),
            "decode": (batch, lambda batch=batch: decode_seconds(bench, model, batch, prompt)),
            "decode graph": (batch, lambda batch=batch: graph_seconds(bench, model, batch, prompt)),
        }
        for phase, (tokens, job) in jobs.items():
            key = f"{phase} {batch}"
            try:
                found[key] = round(part * tokens / job(), 1) if bench.left() > 0 else None
            except torch.OutOfMemoryError:
                found[key] = None
            except RuntimeError as error:  # a capture that this version of torch or transformers does not allow
                found[key] = None
                bench.result["errors"][f"{type(model).__name__} {key}"] = str(error)[:300]
            release()
    return found


@torch.inference_mode()
def prefill_seconds(bench: Bench, model: Any, batch: int, prompt: int) -> float:
    """Seconds to read `batch` prompts."""
    ids = torch.randint(4, 300, (batch, prompt), device=bench.device)
    return bench.clock.seconds(lambda: model(ids, use_cache=False, logits_to_keep=1))


@torch.inference_mode()
def decode_seconds(bench: Bench, model: Any, batch: int, prompt: int) -> float:
    """Seconds of one step of the local engine, after prompts of that length."""
    from hala.engines.decoding import Job, open_state

    state = open_state(model, [Job(str(row), [5] * prompt, 99) for row in range(batch)], 0)
    state.prefill()
    tokens = torch.full((batch,), 7, device=bench.device)
    return bench.clock.seconds(lambda: state.step(tokens), 2 if bench.quick else 8)


@torch.inference_mode()
def graph_seconds(bench: Bench, model: Any, batch: int, prompt: int) -> float:
    """Seconds of the kernels of one step: the step is captured once, and the same step is launched again and again."""
    from hala.engines.decoding import Lfm2State
    from hala.engines.lfm2 import can_run

    ids = torch.full((batch, prompt), 5, device=bench.device)
    if can_run(model):
        state = Lfm2State(model, ids, torch.ones_like(ids))
        state.prefill()
        ready = graphed(lambda: state.step(ids[:, 0]), bench.device)
    else:
        from transformers import DynamicCache

        cache = DynamicCache(config=model.config)
        model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        places = torch.full((batch, 1), prompt, device=bench.device)
        ready = graphed(lambda: model(ids[:, :1], position_ids=places, past_key_values=cache, use_cache=True), bench.device)
    return bench.clock.seconds(ready, 2 if bench.quick else 8)


def engine(bench: Bench) -> Iterator[Row]:
    """The local engine from chats to texts, with the LFM2."""
    from hala.engines.local import LocalEngine
    from hala.records import Message, Request, Sampling

    count, limit = (4, 4) if bench.quick else (256, 48)
    asked = [Request(str(n), (Message("user", text),), limit) for n, text in enumerate(texts(count, 64))]
    model = make_model("lfm2-1.2b", shapes(bench)["lfm2-1.2b"], bench.device)
    speeds = {}
    for way in ("bf16", "fp8"):
        if way == "fp8":
            to_fp8(model)
        ready = LocalEngine(model, byte_tokenizer(), batch_tokens=1 << 16)
        ready.ends = frozenset()
        seconds = bench.clock.seconds(lambda ready=ready: list(ready.complete(asked, Sampling(max_tokens=limit))))
        speeds[way] = round(count * limit / seconds, 1)
    yield {
        "model": "lfm2-1.2b",
        "chats": count,
        "answer": limit,
        "tokens_per_second": speeds,
        "ratio": speeds["fp8"] / speeds["bf16"],
    }


def compression(bench: Bench) -> Iterator[Row]:
    """`hala compress` on this device and on the CPU: seconds, and whether every byte is the same."""
    import weights
    from hala.weights.compress import compress

    size = "1.2b"
    if bench.quick:
        size, weights.LFM2["tiny"] = "tiny", (64, 128, 3, 2)
    with tempfile.TemporaryDirectory() as work:
        source = Path(work) / "source"
        weights.make_checkpoint(source, size, False)
        for scheme in ("fp8-dynamic", "fp8-block", "int8-dynamic"):
            for mode in ("float32-scale", "exact"):
                seconds, digests = {}, {}
                for device in dict.fromkeys(["cpu", bench.device]):
                    out = Path(work) / device
                    began = time.perf_counter()
                    compress(source, out, scheme, mode, device=device)
                    seconds[device] = round(time.perf_counter() - began, 3)
                    digests[device] = digest(out)
                    for file in out.iterdir():
                        file.unlink()
                    out.rmdir()
                yield {"size": size, "scheme": scheme, "mode": mode, "seconds": seconds, "equal": len(set(digests.values())) == 1}


def training(bench: Bench) -> Iterator[Row]:
    """Tokens a second and MFU of training LFM2's sizes on packed rows of 4,096."""
    for row in gpu_training.rows(bench.device, bench.quick, bench.left):
        yield row
        release()


def digest(folder: Path) -> str:
    """SHA-256 over the weights in a folder."""
    found = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        found.update(file.read_bytes())
    return found.hexdigest()


def table(result: Row) -> str:
    """What was measured, as Markdown."""
    where, parts = result["gpu"], result["parts"]
    lines = [f"Measured by `benchmarks/gpu.py` on {where['device']}, torch {where['torch']}.", ""]
    if rows := parts.get("products"):
        lines += ["| one block of | tokens | BF16 TFLOP/s | FP8 TFLOP/s | FP8 / BF16 |", "|---|---|---|---|---|"]
        lines += [f"| {r['model']} | {r['tokens']} | {r['tflops']['bf16']} | {r['tflops']['fp8']} | {r['ratio']} |" for r in rows]
        lines.append("")
    if rows := [row for row in parts.get("models", []) if "phase" in row]:
        lines += ["| model | phase | batch | BF16 tokens/s | FP8 tokens/s | FP8 / BF16 |", "|---|---|---|---|---|---|"]
        for row in rows:
            speeds = " | ".join(str(row["tokens_per_second"][way]) for way in ("bf16", "fp8"))
            lines.append(f"| {row['model']} | {row['phase']} | {row['batch']} | {speeds} | {row['ratio']} |")
        lines.append("")
    if rows := parts.get("training"):
        lines += ["| training | way | tokens/s | MFU | GB at most |", "|---|---|---|---|---|"]
        for r in rows:
            mfu = "" if r["mfu"] is None else f"{r['mfu']:.1%}"
            lines.append(f"| {r['model']} | {r['way']} | {r['tokens_per_second']:,} | {mfu} | {r['peak_gb'] or ''} |")
        lines.append("")
    for row in [row for row in parts.get("models", []) if "layers" in row]:
        scaled = (
            ""
            if row["layers"] == row["of"]
            else f" ({row['layers']} of {row['of']} layers ran; speeds are scaled to all of them)"
        )
        lines.append(f"- {row['model']}: GB of weights {row['memory_gb']}{scaled}")
    lines += [f"- {name}: {json.dumps(row)}" for name in ("engine", "compression", "equality") for row in parts.get(name, [])]
    return "\n".join(lines) + "\n"


PARTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "equality": equality,
    "products": products,
    "engine": engine,
    "models": models,
    "compression": compression,
    "training": training,
}


def main() -> None:
    """Runs the parts that were asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu.json")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny models, to see that everything runs")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--seconds", type=float, default=480, help="after these nothing new is begun")
    args = parser.parse_args()
    torch.manual_seed(0)
    bench = Bench(args.device, args.quick, args.seconds, args.out)
    for name in args.parts:
        if bench.left() > 0:
            bench.part(name, PARTS[name])
    print(args.out.with_suffix(".md").read_text(encoding="utf-8"))
    print(json.dumps({"seconds": bench.result["seconds"], "errors": list(bench.result["errors"])}))


if __name__ == "__main__":
    main()
