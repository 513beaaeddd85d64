"""Where a run stands: each step finished, running, half done, damaged or waiting, with what came out, as text for a terminal.

Reads manifests and the small files that they list, never a model.

>>> from hala.verbs.status import stages
>>> [stage.state for stage in stages(Path("runs/quickstart"))]   # doctest: +SKIP
['finished', 'finished', 'running', 'waiting']
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from hala import artifacts
from hala.artifacts import MANIFEST, SCRATCH, STARTED, Manifest
from hala.errors import CorruptError, InputError
from hala.progress import duration
from hala.records import Message, Row, Verdict
from hala.staging import holder, unfinished
from hala.verbs.redact import plain

TOLD = re.compile(r" \| (?=(?:answer|segment): )")  # what a rejection says besides its reason
UNFINISHED = re.compile(r"\.(.+)\.unfinished")
WEIGHTS = (".safetensors", ".gguf", ".tmp")
State = Literal["finished", "running", "half done", "damaged", "waiting"]


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a run as it lies on disk. `counts` of an unfinished data step cover its finished shards."""

    name: str
    verb: str
    folder: Path
    state: State
    manifest: Manifest | None = None
    counts: dict[str, int] = field(default_factory=dict)
    shards: int = 0
    note: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """Facts of the finished step; empty before."""
        return self.manifest.facts if self.manifest else {}

    @property
    def seconds(self) -> float | None:
        """Wall-clock seconds of the finished step."""
        return self.manifest.timings.get("seconds") if self.manifest else None

    @property
    def size(self) -> int:
        """Bytes of the finished step's files."""
        return sum(int(entry["bytes"]) for entry in self.manifest.files.values()) if self.manifest else 0


def plan(root: Path) -> dict[str, Any]:
    """The run's `recipe.json`; for single steps, the folder above them or the only one, the same shape made from what lies there.

    Raises InputError for a folder that is none of these.
    """
    path = root / "recipe.json"
    if path.exists():
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            names = content.get("order") or list(content["steps"])
            return {**content, "steps": {name: content["steps"][name] for name in names}}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptError(f"{path} cannot be read ({error}).", "Run the recipe again to write it anew.") from None
    folders = single_steps(root)
    if not folders:
        raise InputError(f"{root} is not a run (no recipe.json).", "Name a folder made by `hala run`.")
    return {"name": root.resolve().name, "steps": {name: {"name": name, "verb": _verb(p)} for name, p in folders.items()}}


def single_steps(root: Path) -> dict[str, Path]:
    """Steps made alone, by name: `root` itself, else those in it; one that is still made has a hidden folder."""
    for folder in (root, unfinished(root)):
        if is_step(folder):
            return {root.resolve().name: folder}
    found = {place.name: place for place in sorted(root.iterdir()) if is_step(place)} if root.is_dir() else {}
    hidden = {match[1]: found.pop(name) for name in list(found) if (match := UNFINISHED.fullmatch(name))}
    return dict(sorted((hidden | found).items()))


def is_step(folder: Path) -> bool:
    """Whether a step was begun here."""
    return any(os.path.exists(folder / mark) for mark in (MANIFEST, STARTED))


def _verb(folder: Path) -> str:
    path = folder / MANIFEST if (folder / MANIFEST).exists() else folder / STARTED
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["verb"])
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown"


def stages(root: Path, without: str = "") -> list[Stage]:
    """Every step of the run in the recipe's order, except the one named `without`. At most one step of a run is running."""
    steps = plan(root)["steps"]
    alone = {} if (root / "recipe.json").exists() else single_steps(root)
    found = [_stage(alone.get(name, root / name), name, str(each["verb"])) for name, each in steps.items() if name != without]
    begun = [stage for stage in found if stage.state == "half done"]
    if alone:
        running = [stage for stage in begun if holder(stage.folder)]
    else:
        running = sorted(begun, key=_began)[-1:] if holder(root) else []
    return [replace(stage, state="running") if stage in running else stage for stage in found]


def _began(stage: Stage) -> float:
    try:
        return (stage.folder / STARTED).stat().st_mtime
    except OSError:  # it has finished since
        return 0.0


def _stage(folder: Path, name: str, verb: str) -> Stage:
    try:
        manifest = artifacts.read_manifest(folder)
        if manifest is not None:
            missing = [wrong for wrong in artifacts.check_files(folder, manifest) if wrong]
            state: State = "damaged" if missing else "finished"
            return Stage(name, verb, folder, state, manifest, manifest.counts, _shards(folder), "; ".join(missing))
        if not (folder / STARTED).exists():
            return Stage(name, verb, folder, "waiting")
        counts = _partial_counts(folder)
        return Stage(name, verb, folder, "half done", None, counts, _shards(folder), _partial_note(folder, counts, verb))
    except CorruptError as error:
        return Stage(name, verb, folder, "damaged", note=error.message)


def _shards(folder: Path) -> int:
    return len([p for p in (folder / "rows").glob("*.parquet") if (folder / "rejected" / p.name).exists()])


def _partial_counts(folder: Path) -> dict[str, int]:
    """Counts over the shards that are whole so far; the file of kept rows is written last. Reads no text, so it is quick."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    counts = {"rows": 0, "kept": 0}
    try:
        for kept in sorted((folder / "rows").glob("*.parquet")):
            reasons = pq.read_table(folder / "rejected" / kept.name, columns=["reason"])["reason"]
            good = int(pq.read_metadata(kept).num_rows)
            counts["kept"] += good
            counts["rows"] += good + len(reasons)
            for entry in reasons.value_counts().to_pylist():
                name = f"rejected/{entry['values']}"
                counts[name] = counts.get(name, 0) + entry["counts"]
    except (pa.ArrowInvalid, OSError) as error:
        raise CorruptError(f"a row shard below {folder} is not whole ({error}).", "Run `hala repair` on the run.") from None
    return counts if counts["rows"] else {}


def _partial_note(folder: Path, counts: dict[str, int], verb: str) -> str:
    if counts:
        return f"{several(_shards(folder), 'shard')} so far, {counts['kept']:,} of {counts['rows']:,} rows kept"
    if verb in ("translate", "filter", "mix"):
        return "begun, no shard of rows is finished yet"
    curve = read_curve(folder)
    if curve:
        last = curve[-1]
        loss = f"loss {last['loss']:.3f}" if "loss" in last else "every update left out"
        return f"step {last.get('step', 0):,} so far, {compact(last.get('tokens', 0))} tokens, {loss}"
    try:
        written = sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.suffix in WEIGHTS)
    except OSError:  # a file got its last name in this moment
        written = 0
    return f"{size(written)} so far" if written else "begun"


def read_curve(folder: Path) -> list[dict[str, float]]:
    """The learning curve of a `tune` step, also of one that still runs; a torn last line is left out."""
    path = next((path for path in (folder / "curve.jsonl", folder / SCRATCH / "curve.jsonl") if path.exists()), folder)
    records: list[dict[str, float]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            record = json.loads(line)
        except ValueError:
            break
        records.append({key: value for key, value in record.items() if isinstance(value, int | float)})
    return records


def rejections(counts: dict[str, int]) -> dict[str, int]:
    """Reason -> number of rejected rows, most frequent first."""
    found = {key.partition("/")[2]: number for key, number in counts.items() if key.startswith("rejected/") and number}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


# Text for people ------------------------------------------------------------------------------------------------------


def compact(number: float) -> str:
    """`950`, `12.3k`, `4.56M`, `1.20B`."""
    for limit, unit, digits in ((1e9, "B", 2), (1e6, "M", 2), (1e4, "k", 1)):
        if abs(number) >= limit:
            return f"{number / (1e3 if unit == 'k' else limit):.{digits}f}{unit}"
    return f"{number:,.0f}"


def several(number: int, noun: str) -> str:
    """`1 shard`, `2 shards`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def size(number: float) -> str:
    """Bytes as `512 B`, `12.3 kB`, `4.56 MB`, `1.20 GB` (powers of ten)."""
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= limit:
            return f"{number / limit:.{1 if unit == 'kB' else 2}f} {unit}"
    return f"{number:.0f} B"


def outcome(stage: Stage) -> str:
    """One line: what the step made, or how far it is."""
    if stage.state != "finished" or stage.manifest is None:
        return stage.note
    described = {
        "tune": _tuned,
        "translate": _rows,
        "filter": _rows,
        "mix": _mixed,
        "compress": _compressed,
        "merge": _merged,
        "evaluate": _evaluated,
    }
    if stage.verb in described:
        return described[stage.verb](stage)
    return f"{several(len(stage.manifest.files), 'file')}, {size(stage.size)}"


def _tuned(stage: Stage) -> str:
    facts, counts = stage.facts, stage.counts
    parts = [f"{compact(facts.get('parameters', 0))} parameters", f"{compact(facts.get('train_tokens', 0))} tokens"]
    parts.append(f"{facts.get('steps', 0):,} steps")
    if facts.get("final_loss") is not None:
        parts.append(f"loss {facts['final_loss']:.3f}")
    if facts.get("eval_loss") is not None:
        parts.append(f"held-out loss {facts['eval_loss']:.3f}")
    if counts.get("left_out_steps"):
        parts.append(f"{several(counts['left_out_steps'], 'update')} left out")
    left_out = sum(rejections(counts).values())
    return ", ".join([*parts, *([f"{left_out:,} rows left out"] if left_out else [])])


def _rows(stage: Stage) -> str:
    counts = stage.counts
    total, kept = counts.get("rows", 0), counts.get("kept", 0)
    share = f" ({100 * kept / total:.1f}%)" if total else ""
    reasons = ", ".join(f"{reason} {number:,}" for reason, number in list(rejections(counts).items())[:4])
    malformed = f"; {counts['malformed']:,} malformed" if counts.get("malformed") else ""
    return f"{kept:,} of {total:,} rows kept{share}" + (f"; rejected: {reasons}" if reasons else "") + malformed


def _mixed(stage: Stage) -> str:
    facts, counts = stage.facts, stage.counts
    copies = f", {counts['copies']:,} of them copies" if counts.get("copies") else ""
    malformed = f"; {counts['malformed']:,} malformed" if counts.get("malformed") else ""
    left_out = f"{sum(rejections(counts).values()):,} of {counts.get('rows', 0):,} rows left out"
    parts = several(len(facts.get("parts", [])), "part")
    return f"{facts.get('rows', 0):,} rows{copies}, {compact(facts.get('tokens', 0))} tokens of {parts}; {left_out}{malformed}"


def _compressed(stage: Stage) -> str:
    facts = stage.facts
    before, after = facts.get("bytes_before", 0), facts.get("bytes_after", 0)
    error, kind = facts.get("mean_rel_error"), "int8" if facts.get("scheme") == "int8-dynamic" else "FP8"
    tensors = f"{facts.get('tensors_quantised', 0)} tensors in {kind}, {facts.get('tensors_kept', 0)} kept"
    tested = ", every byte read back" if "verified" in facts else ""
    if entries := facts.get("recovery"):
        tested += f", translation test {'passed' if all(entry['passed'] for entry in entries) else 'failed'}"
    rounding = f", mean error {100 * error:.2f}%" if error is not None else ""
    return f"{size(before)} -> {size(after)}, {tensors}{rounding}{tested}"


def _merged(stage: Stage) -> str:
    facts = stage.facts
    places = ", ".join(f"{t:g}" if isinstance(t, float) else "by layer or group" for t in facts.get("t", []))
    angle = facts.get("mean_angle_degrees")
    searched = f", the best of {len(facts['search']['points'])}" if facts.get("search") else ""
    turned = f", mean angle {angle:.1f} degrees" if angle is not None else ""
    return f"{facts.get('method', 'merge')} at t = {places}{searched}{turned}"


def _evaluated(stage: Stage) -> str:
    facts = stage.facts
    sets = {score.get("set") for score in facts.get("scores", [])}
    models = several(len(facts.get("models", [])), "model")
    return f"{models} on {several(len(sets), 'set')}, baseline {facts.get('baseline', 'none')}"


def text_table(header: list[str], rows: list[list[str]]) -> str:
    """A table of plain text, columns aligned, safe for a terminal."""
    lines = [[" ".join(plain(cell).split()) for cell in row] for row in [header, *rows]]
    widths = [max(len(line[index]) for line in lines) for index in range(len(header))]
    ruled = [lines[0], ["-" * width for width in widths], *lines[1:]]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in ruled)


def stage_table(found: list[Stage]) -> str:
    """Step, verb, state, time and outcome of each stage as plain text."""
    rows = [[s.name, s.verb, s.state, "" if s.seconds is None else duration(s.seconds), outcome(s)] for s in found]
    return text_table(["step", "verb", "state", "time", "outcome"], rows)


def row_text(row: Row, verdict: Verdict) -> str:
    """A row for the terminal: its id, its notes, why it was rejected with what the model answered, messages under originals.

    Text that runs from right to left has lines of its own: after a label, a terminal would turn the two round.
    """
    lines = [f"--- {row.id}" + (f"  [{row.lang}]" if row.lang else "")]
    lines += [f"{note}: {value}" for note, value in sorted(row.notes.items())]
    if not verdict.kept:
        what, *told = (" ".join(part.split()) for part in TOLD.split(verdict.detail))
        lines.append(f"rejected: {verdict.reason}" + (f" ({what})" if what else ""))
        lines += [f"  {_said(*part.split(': ', 1))}" for part in told]
    for before, after in message_pairs(row):
        sides = (("original ", before), ("", after))
        lines += [_said(f"{side}{message.role}", message.content) for side, message in sides if message]
    return plain("\n".join(lines)) + "\n"


def _said(label: str, text: str = "") -> str:
    return f"{label}:\n{text}" if runs_from_right(text) else f"{label}: {text}"


def runs_from_right(text: str) -> bool:
    """Whether the text holds a letter of a script that is written from right to left."""
    return not text.isascii() and any(unicodedata.bidirectional(character) in ("R", "AL") for character in text)


def message_pairs(row: Row) -> Iterator[tuple[Message | None, Message | None]]:
    """(original, message) turn by turn; a side that is missing is None."""
    originals = row.original or ()
    for index in range(max(len(originals), len(row.messages))):
        yield (originals[index] if index < len(originals) else None, row.messages[index] if index < len(row.messages) else None)
