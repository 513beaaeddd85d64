"""The translation memory: safe from kills, flat, shared one after another, and clear about what is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hala.data.memory import MOST_PENDING, WRITES, Memory, default_place, open_memory
from hala.errors import CorruptError, LockedError
from hala.records import Completion

KEY = b"0123456789abcdef"
COMPLETIONS = st.builds(
    Completion,
    st.just(""),
    st.text(st.characters(), max_size=50),
    st.sampled_from(["stop", "length"]),
    st.integers(0, 2**31),
    st.just(""),
    st.none() | st.floats(0.0, 1.0),
)


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Memory:
    """One memory for many examples."""
    return Memory(tmp_path_factory.mktemp("memory") / "shared")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=16, max_size=16), COMPLETIONS)
def test_what_was_added_is_found_unchanged(memory: Memory, key: bytes, completion: Completion) -> None:
    """Every text, half surrogates included, every count and confidence comes back as it was."""
    memory.add(key, completion, 256)
    assert memory.find([key], 256) == {key: completion}


def test_only_the_truncated_are_asked_again_with_more_tokens(memory: Memory) -> None:
    """A higher limit redoes what the lower one cut off and nothing else; a lower one redoes nothing."""
    whole, cut = b"w" * 16, b"c" * 16
    memory.add(whole, Completion("", "whole", "stop", 5), 100)
    memory.add(cut, Completion("", "cut o", "length", 100), 100)
    assert set(memory.find([whole, cut], 100)) == {whole, cut} == set(memory.find([whole, cut], 50))
    assert set(memory.find([whole, cut], 101)) == {whole}


def test_answers_without_confidence_do_not_serve_who_asks_for_it(memory: Memory) -> None:
    """A run with min_confidence asks again where the model had not said how sure it was."""
    memory.add(KEY, Completion("", "x", "stop", 1), 10)
    assert memory.find([KEY], 10, confidence=True) == {} and KEY in memory.find([KEY], 10)


def test_failures_are_not_remembered(memory: Memory) -> None:
    """An engine's error is no answer."""
    memory.add(b"e" * 16, Completion("", "", "error", 0, "down"), 10)
    assert memory.find([b"e" * 16], 10) == {}


def test_sigkill_loses_nothing_that_was_written(tmp_path: Path) -> None:
    """What a killed process had flushed is there for the next one, down to the last answer."""
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom hala.data.memory import Memory\nfrom hala.records import Completion\n"
        "memory = Memory(Path(sys.argv[1]))\n"
        "for i in range(10**9):\n"
        "    memory.add(i.to_bytes(16, 'big'), Completion('', str(i), 'stop', 1), 9)\n"
        "    memory.flush()\n"
        "    print(i, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "m")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(500)]
    os.kill(process.pid, signal.SIGKILL)
    said += process.stdout.readlines()
    process.stdout.close()
    process.wait()
    last = int([line for line in said if line.endswith("\n")][-1])
    memory = Memory(tmp_path / "m")
    assert len(memory.find([i.to_bytes(16, "big") for i in range(last + 1)], 9)) == last + 1 >= 500
    memory.close()


def written(folder: Path) -> set[bytes]:
    """The keys that a process would find in the memory if its owner was killed now."""
    import rocksdict

    options = rocksdict.Options(raw_mode=True)
    base = rocksdict.Rdict(str(folder), options, access_type=rocksdict.AccessType.read_only())
    try:
        return set(base.keys())
    finally:
        base.close()


def test_few_answers_wait_to_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are written as they come, up to some a second; of more, at most MOST_PENDING wait, and are found all the same."""
    clock = 0.0
    monkeypatch.setattr("hala.data.memory.time.monotonic", lambda: clock)
    memory = Memory(tmp_path / "m")
    answer = Completion("", "text", "stop", 1)
    keys = [number.to_bytes(16, "big") for number in range(WRITES + 3 * MOST_PENDING)]
    for number, key in enumerate(keys, 1):
        memory.add(key, answer, 9)
        assert len(memory.pending) == max(0, number - WRITES) % MOST_PENDING
    assert written(tmp_path / "m") == set(keys)
    memory.add(KEY, answer, 9)
    assert KEY not in written(tmp_path / "m") and memory.find([KEY], 9)
    clock += 10.5 / WRITES
    for number in range(1, 12):
        memory.add(KEY[number:], answer, 9)
        assert (KEY[number:] in written(tmp_path / "m")) == (number < 11)
    memory.close()
    assert KEY[11:] in written(tmp_path / "m")


def test_second_process_gets_its_own_memory_or_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs at once do not wait for each other: `auto` makes do with its own folder and says so, a named one is refused."""
    monkeypatch.setenv("HALA_HOME", str(tmp_path))
    assert default_place() == tmp_path / "memory"
    said: list[str] = []
    first = open_memory("auto", tmp_path / "spare", said.append)
    assert first.folder == tmp_path / "memory" and not said
    second = open_memory("auto", tmp_path / "spare", said.append)
    assert second.folder == tmp_path / "spare" and "another process" in said[0]
    with pytest.raises(LockedError, match=r"in use.*\n?"):
        open_memory(str(tmp_path / "memory"), tmp_path / "spare", said.append)
    first.close()
    second.close()
    open_memory("auto", tmp_path / "spare", said.append).close()


def test_damage_is_named_with_the_way_out(tmp_path: Path) -> None:
    """A damaged memory is an error that says what to delete, not a traceback."""
    memory = Memory(tmp_path / "m")
    for number in range(2000):
        memory.add(number.to_bytes(16, "big"), Completion("", "text " * 20, "stop", 1), 9)
    memory.close()
    (tmp_path / "m" / "CURRENT").write_text("nonsense")
    with pytest.raises(CorruptError, match="Delete the folder"):
        Memory(tmp_path / "m")
