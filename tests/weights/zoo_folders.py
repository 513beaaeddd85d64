"""Hostile folders: links, pipes and devices in place of files, pickles and code beside the weights, and paths to none of it."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo_headers import archived, pickled
from zoo_tools import EVERY_VERB, INDEX, SHARDS, SINGLE, WEIGHT_VERBS, Attack, holes, outside, put

Spoil = Callable[[Path], Path | None]


def instead(label: str, about: str, file: str, make: Callable[[Path], Any], verbs: tuple[str, ...] = WEIGHT_VERBS) -> Attack:
    """An attack by something that is no plain file where `file` was."""

    def spoil(folder: Path) -> None:
        outside(folder)
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).unlink(missing_ok=True)
        make(folder / file)

    return Attack(f"{file}: {label}", about, spoil, file, verbs, sharded=file in (INDEX, *SHARDS))


def link(target: str) -> Callable[[Path], Any]:
    """Makes a symbolic link to it."""
    return lambda file: file.symlink_to(target)


def listen(file: Path) -> None:
    """Leaves a socket behind."""
    here = os.getcwd()
    os.chdir(file.parent)  # the path of a socket has at most 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(file.name)
    finally:
        os.chdir(here)


def link_to_pipe(file: Path) -> None:
    """A link to a pipe beside the folder."""
    os.mkfifo(file.parent.parent / "pipe")
    file.symlink_to("../pipe")


def swap(file: Path) -> None:
    """Two links that point at each other."""
    file.symlink_to(f"{file.name}.other")
    (file.parent / f"{file.name}.other").symlink_to(file.name)


def forbid(file: Path) -> None:
    """A file that its owner may not read."""
    put(file, "{}")
    file.chmod(0)


def only(name: str, about: str, file: str, content: bytes) -> Attack:
    """An attack by weights in another format than safetensors."""

    def spoil(folder: Path) -> None:
        (folder / SINGLE).unlink()
        put(folder / file, content)

    return Attack(f"only {name}", about, spoil, "Convert it elsewhere")


def beside(file: str, about: str, content: str | bytes = "open('PWNED', 'w')", names: str | None = None) -> Attack:
    """An attack by a file too many."""

    def spoil(folder: Path) -> None:
        (folder / file).parent.mkdir(exist_ok=True)
        put(folder / file, content)

    return Attack(f"beside: {file!a}", about, spoil, names or Path(file).name, EVERY_VERB)


def given(name: str, about: str, spoil: Spoil, names: str = "", verbs: tuple[str, ...] = EVERY_VERB) -> Attack:
    """An attack by the path that the verbs are given."""
    return Attack(f"path: {name}", about, spoil, names, verbs)


def replaced(make: Callable[[Path], Any], name: str = "model") -> Spoil:
    """Something else in place of the folder."""

    def spoil(folder: Path) -> Path:
        shutil.rmtree(folder)
        make(folder.with_name(name))
        return folder.with_name(name)

    return spoil


def cache_escape(folder: Path) -> Path:
    """The hub's cache, where links are usual, with one to a file of the user's."""
    snapshot = folder.parent / "models--evil" / "snapshots" / "0"
    snapshot.parent.mkdir(parents=True)
    (folder.parent / "models--evil/blobs").mkdir()
    outside(folder)
    folder.rename(snapshot)
    for file in sorted(snapshot.iterdir()):
        file.rename(snapshot / "../../blobs" / file.name)
        file.symlink_to(f"../../blobs/{file.name}")
    (snapshot / "LICENSE").unlink()
    (snapshot / "LICENSE").symlink_to(f"../../{DOT}")
    return snapshot


def crowd(folder: Path) -> None:
    """More files than any checkpoint has."""
    (folder / "crowd").mkdir()
    put(folder / "crowd/x", "")
    for number in range(10_500):
        os.link(folder / "crowd/x", folder / f"crowd/{number}")


def heavy(folder: Path) -> None:
    """Many settings files, each of a permitted size, together of more than any model has."""
    content = b"[" + b" " * 8_000_000 + b"]"
    put(folder / "settings0.json", content)
    for number in range(1, 100):
        os.link(folder / "settings0.json", folder / f"settings{number}.json")


def deep_folders(folder: Path) -> None:
    """Folders in folders."""
    here = folder
    for _ in range(400):
        here = here / "d"
        here.mkdir()
    put(here / "x.py", "")


def pickled_index(folder: Path) -> None:
    """A sharded pickle."""
    (folder / SINGLE).unlink()
    put(folder / "pytorch_model.bin.index.json", {"weight_map": {"w": "pytorch_model-00001-of-00001.bin"}})
    put(folder / "pytorch_model-00001-of-00001.bin", pickled())


DOT = "../outside.safetensors"
NOT_FILES = [
    *(instead("missing", "no file where one is needed", file, lambda file: None) for file in ("config.json", SHARDS[1])),
    *(
        instead(label, about, file, make)
        for file in (SINGLE, SHARDS[1], INDEX, "config.json")
        for label, about, make in (
            ("pipe", "a pipe, which a reader waits on for ever", os.mkfifo),
            ("folder", "a folder where a file is needed", os.mkdir),
            ("link outside", "a link to a file of the user's", link(DOT)),
            ("link to zeros", "a link to a device that never ends", link("/dev/zero")),
        )
    ),
    *(
        instead(label, about, SINGLE, make)
        for label, about, make in (
            ("socket", "a socket", listen),
            ("link to noise", "a link to a device of random bytes", link("/dev/urandom")),
            ("link to memory", "a link to the memory of the process that reads", link("/proc/self/mem")),
            ("link to standard input", "a link to what waits for the user", link("/dev/stdin")),
            ("link to a pipe", "a link to a pipe outside", link_to_pipe),
            ("link to itself", "a link that never arrives", link(SINGLE)),
            ("links in a circle", "two links that point at each other", swap),
            ("link to nothing", "a link whose target is gone", link("gone.safetensors")),
            (
                "absolute link",
                "a link to a file from the root",
                lambda file: file.symlink_to(file.parent.parent / "outside.safetensors"),
            ),
        )
    ),
    instead("link to nothing", "a shard whose target is gone", SHARDS[1], link("gone.safetensors")),
    instead("a terabyte", "an index of a terabyte", INDEX, holes),
    instead("a terabyte", "a config of a terabyte", "config.json", holes),
    instead("device", "a device of its own that never ends", SINGLE, lambda file: os.mknod(file, 0o20666, os.makedev(1, 5))),
    Attack(
        "config.json: forbidden",
        "a config that may not be read",
        lambda f: forbid(f / "config.json"),
        "config.json",
        EVERY_VERB,
        unprivileged=True,
    ),
    Attack("weights forbidden", "weights that may not be read", lambda f: forbid(f / SINGLE), unprivileged=True),
    *(
        instead(label, about, file, make, EVERY_VERB)
        for file, label, about, make in (
            ("tokenizer.json", "pipe", "a tokenizer that is waited on for ever", os.mkfifo),
            ("tokenizer.json", "folder", "a folder where the tokenizer should be", os.mkdir),
            ("tokenizer.json", "link outside", "a tokenizer with the user's own secrets", link(DOT)),
            ("tokenizer.json", "a terabyte", "a tokenizer of a terabyte", holes),
            ("tokenizer_config.json", "pipe", "settings that are waited on for ever", os.mkfifo),
            ("tokenizer.model", "pipe", "another vocabulary that is waited on for ever", os.mkfifo),
            ("vocab.json", "link to zeros", "a vocabulary that never ends", link("/dev/zero")),
            ("added_tokens.json", "a terabyte", "more tokens, a terabyte of them", holes),
            ("merges.txt", "link to zeros", "merges that never end", link("/dev/zero")),
            ("chat_template.jinja", "pipe", "a template that is waited on for ever", os.mkfifo),
            ("chat_template.jinja", "link outside", "a template with the user's own secrets, copied along", link(DOT)),
            ("chat_template.jinja", "a terabyte", "a template of a terabyte", holes),
            ("additional_chat_templates/x.jinja", "pipe", "a second template that is waited on for ever", os.mkfifo),
            (
                "additional_chat_templates/x.jinja",
                "link outside",
                "a second template with the user's own secrets",
                link(f"../{DOT}"),
            ),
            ("LICENSE", "link outside", "a licence with the user's own secrets, copied along", link("/etc/passwd")),
            ("NOTICE", "pipe", "a notice that is waited on for ever when it is copied", os.mkfifo),
            ("generation_config.json", "pipe", "settings that are waited on for ever", os.mkfifo),
            ("hala.json", "link to zeros", "our own settings, without end", link("/dev/zero")),
        )
    ),
]
PICKLES = [
    *(only(file, f"{about}, which runs code when read", file, content) for file, about, content in (
        ("pytorch_model.bin", "weights in a pickle", archived("zip")),
        ("model.pt", "weights in a pickle", archived("zip")),
        ("consolidated.00.pth", "weights in a pickle", pickled()),
        ("model.ckpt", "weights in a pickle", archived("tar")),
        ("model.pkl", "weights in a pickle", pickled()),
        ("model.pickle", "weights in a pickle", pickled()),
        ("model.joblib", "weights in a pickle", pickled()),
    )),
    Attack("only sharded pickles", "an index of pickles", pickled_index, "Convert it elsewhere"),
]  # fmt: skip
CODE = [
    beside("modeling_evil.py", "code beside the weights"),
    beside("__init__.py", "code that an import of the folder runs"),
    beside("custom_generate/generate.py", "code that transformers runs in place of generate"),
    beside("a/setup.py", "code in a folder"),
    beside("evil\x1b[31m\n.py", "code whose name is an escape sequence and a line", names="evil\\x1b[31m\\n.py"),
    beside("tokenization_evil.pyc", "compiled code", b"\x55\x0d\x0d\x0a"),
    beside("kernel.so", "a library", b"\x7fELF"),
    beside("evil\u202e.json", "settings with a name that reads backwards", "[]", names="evil\\u202e.json"),
    beside("adapter_config.json", "an adapter: transformers would load its base model and its weights", '{"peft_type": "LORA"}'),
    Attack("code by link", "a link to code outside", lambda f: (f / "x.py").symlink_to("/etc/x.py"), "x.py", EVERY_VERB),
    Attack("too many files", "time: ten thousand entries to look at", crowd, "", EVERY_VERB),
    Attack("too many settings", "time: 800 MB of settings files", heavy, "settings", EVERY_VERB),
    Attack("deep folders", "code four hundred folders down", deep_folders, "", EVERY_VERB),
]
PATHS = [
    given("pickle", "a pickle for a checkpoint", replaced(lambda p: put(p, pickled()), "model.bin"), "Convert it elsewhere"),
    given("weight file", "the file for the folder", lambda f: f / SINGLE, SINGLE),
    given("empty folder", "nothing in it", replaced(os.mkdir), "model"),
    Attack("path: forbidden folder", "a folder that may not be read", lambda f: f.chmod(0), "", EVERY_VERB, unprivileged=True),
    given("hub cache", "a link out of the hub's cache, where other links are allowed", cache_escape, "LICENSE"),
    given("pipe", "a pipe, which a reader waits on for ever", replaced(os.mkfifo), "model"),
    given("missing", "a folder that is not there", lambda f: f / "gone", "gone"),
    given("link to itself", "a link that never arrives", replaced(link("model")), "model"),
    given("device", "a device that never ends", lambda f: Path("/dev/zero"), "/dev/zero"),
    given("NUL", "a name that no system takes", lambda f: Path(f"{f}\0x"), "model\\x00x"),
    given("too long", "a name longer than any file's", lambda f: f / ("w" * 300), "www"),
    given("escape sequence", "colour for the error message", lambda f: f / "\x1b[31m", "\\x1b[31m"),
]
ATTACKS = [*NOT_FILES, *PICKLES, *CODE, *PATHS]
