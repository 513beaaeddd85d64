"""The commands that work on weights alone: compress, merge and export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hala.cli.words import JsonOption, OutOption, SetOption, print_json, run_verb, settings_of


def compress(
    model: Annotated[str, typer.Argument(help="Checkpoint folder or hub id.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the result; not with --plan.")] = None,
    scheme: Annotated[str, typer.Option(help="fp8-dynamic, fp8-block, or int8-dynamic (for CPUs).")] = "fp8-dynamic",
    mode: Annotated[str, typer.Option(help="float32-scale (lower error) or exact (as llm-compressor).")] = "float32-scale",
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Module or re:PATTERN to leave as it is; `auto` picks the worst layers. Repeatable."),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read every byte back, compare, and load the result.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Say what it would take (time, disk, memory) and write nothing.")] = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compress a checkpoint to 8 bits (FP8 or int8 W8A8-dynamic, compressed-tensors format)."""
    settings = settings_of(overrides, model=model, scheme=scheme, mode=mode, keep=keep, verify=verify or None)
    if plan:
        from hala.verbs.compress import plan as make_plan

        made = make_plan(settings, out or Path())
        print_json(made.as_json()) if as_json else print(made.text)
        return
    if out is None:
        raise typer.BadParameter("say where the result goes.", param_hint="--out")
    run_verb("compress", out, settings, as_json)


def merge(
    base: Annotated[str, typer.Argument(help="Checkpoint at t = 0.")],
    tuned: Annotated[list[str], typer.Argument(help="Checkpoint at t = 1, or several (soup, task_arithmetic, ties, dare_*).")],
    out: OutOption,
    method: Annotated[str, typer.Option(help="slerp, linear, soup, task_arithmetic, ties, dare_linear or dare_ties.")] = "slerp",
    t: Annotated[
        str,
        typer.Option(
            help="Where between the two, 0 to 1, or search; groups and gradients: --set 't={attention: 0.3, default: 0.5}'."
        ),
    ] = "0.5",
    questions: Annotated[list[str] | None, typer.Option(help="File of multiple-choice questions for --t search.")] = None,
    pairs: Annotated[list[str] | None, typer.Option(help="File of sentence pairs for --t search.")] = None,
    to: Annotated[str, typer.Option(help="Target language of the pairs.")] = "ar",
    start: Annotated[str, typer.Option("--from", help="Source language of the pairs.")] = "en",
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Merge checkpoints of one family; --t search tries several t on a small evaluation and keeps the best."""
    place: dict[str, Any] = {} if any(word.startswith("t=") for word in overrides or ()) else {"t": t}
    if tests := {key: value for key, value in (("questions", questions), ("pairs", pairs)) if value}:
        place["search"] = tests
    settings = settings_of(overrides, base=base, tuned=tuned, method=method, **place)
    run_verb("merge", out, settings, as_json, source=start, target=to)


def export(
    model: Annotated[str, typer.Argument(help="Checkpoint folder or hub id.")],
    out: OutOption,
    format: Annotated[str, typer.Option(help="gguf (one file) or hf (a plain folder).")] = "gguf",
    quant: Annotated[str, typer.Option(help="gguf: f32, f16, bf16, q8_0, q6_k, q5_k_m, q4_k_m or q4_0.")] = "q8_0",
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a checkpoint as one GGUF file for llama.cpp, or as a plain folder that every engine reads."""
    run_verb("export", out, settings_of(overrides, model=model, format=format, quant=quant), as_json)
