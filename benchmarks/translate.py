"""Everything of `translate` but the model: read, route, segment, mask, remember, gate, join and write, on one core.

    python benchmarks/translate.py --data FOLDER --rows 5000          # rows a second, and where the time goes
    python benchmarks/translate.py --rows 1000000 --flat              # memory over a million rows that are made up

FOLDER holds instruction sets (`dolly/*.jsonl`, `gpteacher/*.json.gz`); of their rows those of 800 to 1,400 characters are taken,
again and again with a made-up name put before each segment, so that none occurs twice. The engine writes an Arabic word for
each English one, small words for small words, so that what it gives passes most gates as a translation would; it has no
model, and it remembers, so that it costs next to nothing.
Writes the section `overhead` (or `flat`) of benchmarks/results/translate.json.
"""

from __future__ import annotations

import argparse
import cProfile
import gzip
import itertools
import json
import os
import pstats
import re
import resource
import statistics
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from record import RESULTS, machine

from hala.artifacts import write_json
from hala.languages import language
from hala.progress import Progress
from hala.recipe import Languages, Translate
from hala.records import Completion, Request, Sampling
from hala.verbs import Context, translators
from hala.verbs.translate import run

SHORTEST, LONGEST = 800, 1400
AT_ONCE = 32  # requests that the engine takes before it answers any, as the one for servers does; the others take more
WORD = re.compile(r"[A-Za-z]+(?:['’][a-z]+)?")
ROOMS = {  # of functions, by the file that they are in
    "read": ("data/readers", "data/sources", "data/shapes", "data/rows", "json/"),
    "route": ("data/routing",),
    "segment and mask": ("data/segments", "data/masks", "data/spans", "data/markdown", "data/codelines", "data/payloads",
                         "data/sentences", "markdown_it/"),
    "gates": ("data/gates", "data/numerals", "data/phrases", "data/features", "data/lexicons", "languages.py"),
    "flow and memory": ("data/stream", "data/translating", "data/memory", "data/conversations", "data/prompts", "verbs/"),
    "write": ("shards.py", "artifacts.py", "pyarrow/"),
}  # fmt: skip


class Words:
    """An engine without a model: for each English word an Arabic one, the lexicon's where it has one, in the same order.

    The most frequent words become the most frequent ones: without any, a text makes the gates ask which language it is in.

    What it has written once it writes again without work, so that only a first round pays for it; unless its memory would grow.
    """

    def __init__(self, remembers: bool = True) -> None:
        from hala.data import world
        from hala.data.lexicon import lexicon

        self.known = {name.lower(): concept.stems[0] for name, concept in lexicon("ar").concepts.items() if concept.stems}
        arabic = (row.messages[0].content for row in world.pairs("train", 3000, 0) if row.original)
        self.others = sorted({word for text in arabic for word in re.findall(r"[\u0621-\u064a]{3,}", text)})
        small = sorted(language("ar").frequent)
        self.known |= {word: small[zlib.crc32(word.encode()) % len(small)] for word in language("en").frequent}
        self.remembers = remembers
        self.written: dict[str, str] = {}

    def complete(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
        source = iter(requests)
        while asked := list(itertools.islice(source, AT_ONCE)):
            for request in asked:
                yield self._answer(request)

    def _answer(self, request: Request) -> Completion:
        answer = self.written.get(request.id)  # which stands for all that is asked
        if answer is None:
            text = request.messages[-1].content.partition("\n\n")[2]
            answer = WORD.sub(self._word, text).replace("?", "؟").replace(",", "،")
            if self.remembers:
                self.written[request.id] = answer
        return Completion(request.id, answer, "stop", len(answer) // 4)

    def close(self) -> None:
        """Nothing to close."""

    def _word(self, match: re.Match[str]) -> str:
        word = match[0].lower()
        return self.known.get(word) or self.others[zlib.crc32(word.encode()) % len(self.others)]


def real_rows(data: Path) -> list[tuple[str, str]]:
    """Instructions and answers of the wanted length."""
    found: list[tuple[str, str]] = []
    for file in sorted(data.glob("dolly/*.jsonl")):
        records = map(json.loads, file.read_text(encoding="utf-8").splitlines())
        found += [(each["instruction"], each["response"]) for each in records]
    for file in sorted(data.glob("gpteacher/*.json.gz")):
        records = json.loads(gzip.decompress(file.read_bytes()))
        found += [(f"{each['instruction']}\n\n{each['input']}".strip(), each["response"]) for each in records]
    return [pair for pair in found if SHORTEST <= sum(map(len, pair)) <= LONGEST and all(pair)]


def made_rows() -> list[tuple[str, str]]:
    """A question or request and some sentences, from the world that ships with hala."""
    from hala.data import world

    sentences = [row.original[0].content for row in world.pairs("train", 4000, 0) if row.original]
    return [(sentences[i], "\n\n".join(" ".join(sentences[i + j : i + j + 2]) for j in (1, 3))) for i in range(0, 3900, 5)]


def write_rows(file: Path, pairs: list[tuple[str, str]], rows: int) -> int:
    """So many rows, no two with a segment in common; returns their characters.

    They differ by a name and not by a number, for few segments of real rows hold any, and those cost the gates more.
    """
    from hala.data.segments import join, split

    characters = 0
    documents = [tuple(map(split, pair)) for pair in pairs]
    with file.open("w", encoding="utf-8") as stream:
        for number, both in zip(range(rows), itertools.cycle(documents), strict=False):
            asked, answer = (join(each, [f"{name(number)} {text}" for text in each.segments]) for each in both)
            characters += len(asked) + len(answer)
            stream.write(json.dumps({"instruction": asked, "response": answer}, ensure_ascii=False) + "\n")
    return characters


def name(number: int) -> str:
    """A name for each number below 24 million."""
    syllables = []
    for _ in range(4):
        number, place = divmod(number, 70)
        syllables.append("bdfgklmnprstvz"[place % 14] + "aeiou"[place // 14])
    return "".join(syllables).title()


def translate_once(file: Path, folder: Path, memory: bool) -> dict[str, int]:
    """One run of the verb over the file; its counts, segments among them."""
    place = str(folder / "memory") if memory else "none"
    settings = Translate(data=str(file), model="words", engine="server", url="http://unused", memory=place)
    context = Context("step", folder / "out", folder, Languages(), {}, Progress(quiet=True))
    write_json(folder / "out" / "started.json", {"inputs": {"name:1:words": "words"}})
    outcome = run(settings, context)
    return {**outcome.counts, "segments": round(outcome.timings["segments"])}


def timed(file: Path, memory: bool) -> tuple[float, dict[str, int]]:
    """Seconds of the processor, all threads together, and counts."""
    with tempfile.TemporaryDirectory() as folder:
        before = time.process_time()
        counts = translate_once(file, Path(folder), memory)
        return time.process_time() - before, counts


def yardstick(texts: list[str]) -> float:
    """Seconds of the processor for some work of the standard library on a million characters; now more, now less."""
    began = time.process_time()
    for _ in range(3):
        seen: Counter[str] = Counter()
        for text in texts:
            for line in json.loads(json.dumps(text)).split("\n"):
                for word in WORD.findall(line):
                    seen[word.lower()] += 1
        sorted(seen, key=lambda word: (-seen[word], word))
    return (time.process_time() - began) / (3 * sum(map(len, texts)) / 1e6)


def profile(file: Path) -> dict[str, float]:
    """Share of the time by room, from a run under the profiler, which slows small functions down most."""
    profiler = cProfile.Profile()
    with tempfile.TemporaryDirectory() as folder:
        profiler.runcall(translate_once, file, Path(folder), True)
    stats = pstats.Stats(profiler)
    rooms = dict.fromkeys([*ROOMS, "other"], 0.0)
    for (name, _, function), (_, _, own, _, callers) in stats.stats.items():  # type: ignore[attr-defined]
        if name == "~":  # a function in C counts for who calls it
            for (caller, _, _), (_, _, part, _) in callers.items():
                rooms[room_of(caller, function)] += part
        else:
            rooms[room_of(name, function)] += own
    total = sum(rooms.values())
    stats.sort_stats("tottime").print_stats(25)
    return {room: round(seconds / total, 3) for room, seconds in rooms.items()}


def room_of(name: str, function: str) -> str:
    """The room that a function belongs to."""
    return next((room for room, marks in ROOMS.items() if any(mark in name for mark in marks)), "other")


def flat(rows: int) -> dict[str, Any]:
    """Resident memory in MB while so many rows go through: at the start, and each tenth."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        write_rows(file, made_rows(), rows)
        seen: list[float] = []
        stop = threading.Event()
        started = resident()
        watcher = threading.Thread(target=lambda: [seen.append(resident()) for _ in iter(lambda: stop.wait(1.0), True)])
        watcher.start()
        began = time.process_time()
        counts = translate_once(file, Path(folder), True)
        seconds = time.process_time() - began
        stop.set()
        watcher.join()
        tenths = [round(max(seen[i * len(seen) // 10 : (i + 1) * len(seen) // 10 + 1], default=0.0)) for i in range(10)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": counts["rows"], "kept": counts["kept"], "start_mb": round(started), "peak_mb": round(peak),
            "above_start_mb": round(peak - started), "tenths_mb": tenths, "rows_per_cpu_s": round(rows / seconds)}  # fmt: skip


def resident() -> float:
    """Memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with dolly/ and gpteacher/; without it, rows are made up")
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--flat", action="store_true")
    chosen = parser.parse_args()
    engine = Words(remembers=not chosen.flat)
    translators.open_engine = lambda *_, **__: engine  # type: ignore[assignment,return-value]
    if chosen.flat:
        write_section("flat", flat(chosen.rows))
        return
    pairs = real_rows(chosen.data) if chosen.data else made_rows()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        characters = write_rows(file, pairs, chosen.rows) / chosen.rows
        timed(file, True)  # warms up
        runs: dict[str, list[float]] = {"memory": [], "no memory": []}
        beside: dict[str, list[float]] = {name: [] for name in runs}
        counts: dict[str, int] = {}
        texts = [text for pair in pairs for text in pair]
        for _ in range(chosen.rounds):
            for name, values in runs.items():
                before = yardstick(texts)
                seconds, counts = timed(file, name == "memory")
                values.append(chosen.rows / seconds)
                beside[name].append((before + yardstick(texts)) / 2)
        found = {name: round(statistics.median(values)) for name, values in runs.items()}
        result = {"rows": chosen.rows, "different": len(pairs), "characters": round(characters), "rows_per_cpu_s": found,
                  "yardstick_s": {name: [round(value, 4) for value in values] for name, values in beside.items()},
                  "all": {name: [round(value) for value in values] for name, values in runs.items()},
                  "counts": counts, "shares": profile(file)}  # fmt: skip
    write_section("overhead", {**result, "machine": machine()})


def write_section(name: str, result: dict[str, Any]) -> None:
    """Into the JSON of results, and on the screen."""
    file = RESULTS / "translate.json"
    content = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    write_json(file, {**content, name: result, "machine": machine()})
    print(json.dumps(result, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
