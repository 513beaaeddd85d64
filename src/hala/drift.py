"""What differs between a step as it was made and as it is wanted now, said in a few lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hala import recipe as sections

MOST_DIFFERENCES = 10  # shown, so that the ways out stay in sight


def describe_drift(name: str, out: Path, before: dict[str, Any], now: dict[str, Any], finished: bool, alone: bool) -> str:
    """Old and new value of what differs, and both ways out; `alone` is a verb without a recipe, where nothing can be replaced.

    `before` and `now` hold verb, config and inputs of the step.
    """
    if alone and before.get("verb", now["verb"]) != now["verb"]:
        return f"{out} was made by `{before['verb']}`, not by `{now['verb']}`; choose another --out."
    state = "finished" if finished else "half-finished"
    lines = [f"step {name} is {state} with other settings or inputs ({out}):"]
    changes = list(_differences(before, now))
    lines += [f"  {key}: {was} -> {is_now}" for key, was, is_now in changes[:MOST_DIFFERENCES]]
    if len(changes) > MOST_DIFFERENCES:
        lines.append(f"  and {len(changes) - MOST_DIFFERENCES} more")
    again = f"removing {out} starts anew" if alone else "--replace makes changed steps again in place"
    lines.append(f"Two ways out: --out DIR makes a new one beside it; {again}.")
    return "\n".join(lines)


def _differences(before: dict[str, Any], now: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(key, old, new); of another verb's step only the verb, for their settings have nothing to do with each other."""
    if before.get("verb", now["verb"]) != now["verb"]:
        yield "verb", before["verb"], now["verb"]
        return
    kind = sections.SECTIONS[now["verb"]]
    config, wanted = (sections.identity(kind, part) for part in (before.get("config", {}), now["config"]))
    yield from _changes(config, wanted, "config")
    yield from _changes(before.get("inputs", {}), now["inputs"], "inputs")


def _changes(old: Any, new: Any, key: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            yield from _changes(old.get(name), new.get(name), f"{key}.{name}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new) and all(isinstance(each, dict) for each in new):
        for place, (was, is_now) in enumerate(zip(old, new, strict=True)):
            yield from _changes(was, is_now, f"{key}.{place}")
    elif old != new:
        yield key, _short(old), _short(new)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
