"""How long a step was worked on: `started.json` adds up the sessions of a step that was stopped and continued."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hala import artifacts
from hala.artifacts import STARTED


@dataclass(frozen=True)
class Session:
    """One session of work on the step in `out`; `earlier` are the seconds of the sessions before it."""

    out: Path
    identity: Mapping[str, Any]
    earlier: float
    number: int
    began: float

    @staticmethod
    def begin(out: Path, identity: Mapping[str, Any]) -> Session:
        """The session, written down: a SIGKILL loses its seconds, not its number."""
        before = read_started(out)
        same = before.get("fingerprint") == identity["fingerprint"]
        earlier, number = (before.get("seconds", 0.0), before.get("sessions", 0)) if same else (0.0, 0)
        session = Session(out, identity, float(earlier), int(number) + 1, time.monotonic())
        session._write(session.earlier)
        return session

    def seconds(self) -> float:
        """Of all sessions so far."""
        return self.earlier + time.monotonic() - self.began

    def pause(self) -> None:
        """The session ended early."""
        self._write(self.seconds())

    def timings(self) -> dict[str, float]:
        """`seconds`, and `sessions` when there were several: a killed one has no seconds."""
        return {"seconds": round(self.seconds(), 3), **({"sessions": self.number} if self.number > 1 else {})}

    def _write(self, seconds: float) -> None:
        content = {**self.identity, "seconds": round(seconds, 3), "sessions": self.number}
        artifacts.write_json(self.out / STARTED, content)


def read_started(out: Path) -> dict[str, Any]:
    """What `started.json` says, or nothing; whether it may be trusted is for `_is_finished` to say."""
    try:
        content = json.loads((out / STARTED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
