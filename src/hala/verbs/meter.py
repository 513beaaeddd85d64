"""How a translation is going: the live line, early stops, and rates for the manifest."""

from __future__ import annotations

import time
from collections import Counter

from hala.errors import InputError
from hala.recipe import Translate
from hala.verbs import Context

MIN_ROWS_TO_STOP = 1000
PAUSE = 0.1  # seconds between two updates of the line


class Meter:
    """Progress and rates of one session. `stats` are the translator's, which go on changing."""

    def __init__(self, settings: Translate, context: Context, stats: Counter[str]) -> None:
        self.settings, self.progress, self.stats = settings, context.progress, stats
        self.began = time.monotonic()
        takes = [data.take for data in settings.data]
        self.total = sum(take for take in takes if take) if all(takes) else None
        self.earlier = self.taken = self.done = 0  # rows of earlier sessions, taken in by this one, in finished shards of both
        self.kept = self.kept_earlier = 0
        self.answered = self.asked = 0
        self.shown = 0.0

    def taken_in(self, rows: int) -> None:
        """More rows are on their way."""
        self.taken += rows

    def within(self, answered: int, asked: int) -> None:
        """Shards are under way: so many requests were answered of those made so far."""
        self.answered, self.asked = answered, asked
        if (now := time.monotonic()) - self.shown < PAUSE:
            return
        self.shown = now
        place = max(self.earlier + self.taken * answered / asked, self.done) if asked else self.done
        self.progress.update(place, self.total, "rows", self._said())

    def after(self, done: int, counts: Counter[str]) -> None:
        """A shard is finished. Raises InputError when too many rows were rejected."""
        self.done, self.kept = done, counts["kept"]
        if not self.taken:  # a shard of an earlier session
            self.earlier, self.kept_earlier = done, self.kept
            self.progress.skip(done)
        self.progress.update(done, self.total, "rows", self._said())
        self._stop_early(counts)

    def rates(self) -> dict[str, float]:
        """Of this session: rows and tokens a second, the share of tokens that needed no engine, and what was asked."""
        stats, seconds = self.stats, self._seconds()
        needed = stats["tokens"] + stats["tokens/saved"]
        return {
            "rows_per_s": (self.done - self.earlier) / seconds,
            "kept_rows_per_s": (self.kept - self.kept_earlier) / seconds,
            "tokens_per_s": stats["tokens"] / seconds,
            "accepted_tokens_per_s": stats["tokens/passed"] / seconds,
            "saved_tokens_share": stats["tokens/saved"] / needed if needed else 0.0,
            **{key: float(stats[key]) for key in sorted(stats) if not key.startswith("tokens")},
        }

    def _said(self) -> str:
        known = self.stats["remembered"]
        remembered = f", {known:,} segments remembered" if known else ""
        so_far = f"{self.kept:,} kept" if self.done else f"{self.answered:,} of {self.asked:,} requests answered"
        return f"{so_far}, {self.stats['tokens'] / self._seconds():,.0f} tokens/s{remembered}"

    def _seconds(self) -> float:
        return max(time.monotonic() - self.began, 1e-9)

    def _stop_early(self, counts: Counter[str]) -> None:
        refused, limit = self.done - self.kept, self.settings.stop_above
        if self.done >= MIN_ROWS_TO_STOP and refused > limit * self.done:
            reasons = {key: value for key, value in counts.items() if key.startswith("rejected/")}
            worst = max(reasons, key=lambda key: reasons[key])
            raise InputError(
                f"{refused:,} of {self.done:,} rows were rejected, more than stop_above {limit:.0%}; most often {worst}.",
                "Look at them with `hala show --rejected`, then mend the prompt, the model or the data.",
            )
