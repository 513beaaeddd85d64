"""What a job has finished, kept in its work folder, so that one that was killed continues: a JSON line for each unit.

journal = Journal.begin(work, settings, lost=set())
journal.add("model.norm.weight", {"rel_error": 0.0})
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from threading import Lock
from typing import Any

from hala.artifacts import atomic_file
from hala.errors import DriftError

JOURNAL = "journal.jsonl"
BOOT = Path("/proc/sys/kernel/random/boot_id")

Note = dict[str, Any]


class Journal:
    """Which units are on disk, with their notes: one JSON line for each, after one with the settings and the boot.

    What was written before a power cut or a crash of the system may be lost though the journal names it, so lines of another
    boot are not believed.
    """

    def __init__(self, file: Path, notes: dict[str, Note]) -> None:
        self.file, self.notes, self.lock = file, notes, Lock()
        self.stream: Any = None

    @classmethod
    def begin(cls, work: Path, settings: Note, lost: set[str]) -> Journal:
        """The journal in `work`, with what an earlier call has finished and what is not `lost`.

        Raises: DriftError when it had other settings.
        """
        file, boot = work / JOURNAL, boot_id()
        lines = read_lines(file)
        if lines:
            check_settings(work, lines[0]["settings"], settings)
        work.mkdir(parents=True, exist_ok=True)
        believed = [line for line in lines[1:] if line["unit"] not in lost] if boot and lines and lines[0]["boot"] == boot else []
        with atomic_file(file) as temporary:
            head = {"settings": settings, "boot": boot}
            temporary.write_text("".join(json.dumps(line) + "\n" for line in [head, *believed]), encoding="utf-8")
        return cls(file, {line["unit"]: line["note"] for line in believed})

    def add(self, key: str, note: Note) -> None:
        """Says that the unit is written."""
        with self.lock:
            self.notes[key] = json.loads(json.dumps(note))
            if self.stream is None:
                self.stream = self.file.open("a", encoding="utf-8")
            self.stream.write(json.dumps({"unit": key, "note": note}) + "\n")
            self.stream.flush()

    def close(self) -> None:
        """No more units."""
        if self.stream is not None:
            self.stream.close()


def check_settings(folder: Path, saved: Note, settings: Note) -> None:
    """Nothing, or DriftError naming the settings that differ."""
    if saved != json.loads(json.dumps(settings)):
        fix = f"Choose another folder or delete {folder}."
        changed = sorted(key for key in {*settings, *saved} if saved.get(key) != settings.get(key))
        raise DriftError(f"{folder} was begun with other settings ({', '.join(changed)}).", fix)


def boot_id() -> str:
    """What tells one start of the machine from another; empty where the system does not say, and then nothing is believed."""
    if BOOT.exists():
        return BOOT.read_text().strip()
    try:
        return subprocess.run(["sysctl", "-n", "kern.boottime"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def read_lines(file: Path) -> list[Note]:
    """The whole lines of a journal; one that a kill cut off is left out, with all after it."""
    lines: list[Note] = []
    for line in file.read_bytes().split(b"\n")[:-1] if file.is_file() else []:
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines
