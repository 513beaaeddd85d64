"""Hostile safetensors files: lengths, JSON, names, dtypes, shapes and offsets that lie."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo_tools import FEW_VERBS, SHARDS, SINGLE, WEIGHT_VERBS, Attack, entry, framed, holes, many_keys, nested, put, twice_wide

ONE = {"w": entry([1], 0, 4)}
FOUR = b"\0" * 4


class Payload:
    """What pickle would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("open('PWNED', 'w').close()",)


def pickled() -> bytes:
    """A pickle that leaves a file behind when it is read."""
    return pickle.dumps(Payload())


def archived(kind: str) -> bytes:
    """The pickle inside the archives that torch and others make."""
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("archive/data.pkl", pickled())
    else:
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            info = tarfile.TarInfo("../../data.pkl")
            info.size = len(pickled())
            archive.addfile(info, io.BytesIO(pickled()))
    return buffer.getvalue()


def header(name: str, about: str, value: Any, data: bytes = FOUR, verbs: tuple[str, ...] = WEIGHT_VERBS) -> Attack:
    """An attack that is a header of any JSON value or raw bytes."""

    def spoil(folder: Path) -> None:
        put(folder / SINGLE, framed(value() if callable(value) else value, data))

    return Attack(name, about, spoil, verbs=verbs)


def whole(name: str, about: str, content: bytes | Callable[[], bytes]) -> Attack:
    """An attack that is a weight file of these bytes."""

    def spoil(folder: Path) -> None:
        put(folder / SINGLE, content() if callable(content) else content)

    return Attack(name, about, spoil)


def changed(name: str, about: str, change: Callable[[dict[str, Any]], Any], shard: str = SINGLE) -> Attack:
    """An attack on the real header of a benign file, whose data stay."""

    def spoil(folder: Path) -> None:
        raw = (folder / shard).read_bytes()
        length = int.from_bytes(raw[:8], "little")
        entries = json.loads(raw[8 : 8 + length])
        put(folder / shard, framed(change(entries) or entries, raw[8 + length :]))

    return Attack(name, about, spoil, names=shard, sharded=shard != SINGLE)


def named(label: str, about: str, name: str) -> Attack:
    """An attack by the name of one tensor."""
    return header(f"tensor name: {label}", about, {name: entry([1], 0, 4)})


def shaped(label: str, about: str, shape: Any) -> Attack:
    """An attack by the shape of one tensor."""
    return header(f"shape: {label}", about, {"w": entry(shape, 0, 4)})


def placed(label: str, about: str, *offsets: Any) -> Attack:
    """An attack by the offsets of one tensor."""
    return header(f"offsets: {label}", about, {"w": entry([1], *offsets)})


def first(entries: dict[str, Any]) -> dict[str, Any]:
    """The entry of the first tensor."""
    found: dict[str, Any] = entries["model.embed_tokens.weight"]
    return found


def grow_into_holes(folder: Path) -> None:
    """The benign file, longer by a terabyte of zeros."""
    holes(folder / SINGLE, start=(folder / SINGLE).read_bytes())


def cut(folder: Path) -> None:
    """The benign file without its last bytes."""
    put(folder / SINGLE, (folder / SINGLE).read_bytes()[:-100])


def long_header(length: int, size: int) -> Callable[[Path], None]:
    """A file of `size` bytes, zeros behind a header length."""
    return lambda folder: holes(folder / SINGLE, size, length.to_bytes(8, "little"))


def many(count: int, text: Callable[[int], str]) -> Callable[[], bytes]:
    """A header of so many members."""
    return lambda: ("{" + ",".join(text(i) for i in range(count)) + "}").encode()


def spelt(key: str) -> Callable[[int], str]:
    """Tiny tensors in a row, one key of theirs spelt in another way."""
    return lambda i: f'"{i}":{{"dtype":"U8","shape":[1],"{key}":[{i},{i + 1}]}}'


LENGTHS = [
    whole("empty file", "a weight file of no bytes", b""),
    whole("seven bytes", "a file shorter than the length of its header", b"\x10\0\0\0\0\0\0"),
    whole("length 0", "a header of no bytes, so no JSON at all", b"\0" * 8 + FOUR),
    whole("length 1", "a header of one byte", b"\1" + b"\0" * 7 + b"{"),
    whole("length 2^63", "a length that is negative when read as signed", (2**63).to_bytes(8, "little") + b"{}"),
    whole("length 2^64 - 1", "the largest length, which wraps around when 8 is added", b"\xff" * 8 + b"{}"),
    whole("length beyond the file", "a header one byte longer than the file", (3).to_bytes(8, "little") + b"{}"),
    Attack("length over the limit", "a real header of 100 MB and a byte, all holes", long_header(100_000_001, 2 * 10**8)),
    Attack("length a terabyte", "a header of a terabyte in a file of one", long_header(2**40 - 8, 2**40)),
    Attack("header of zeros", "twelve million zero bytes in place of JSON", long_header(12_000_000, 12_000_008)),
    Attack("a terabyte behind", "a sound file with a terabyte of zeros behind its tensors", grow_into_holes),
    Attack("cut off", "a download that broke off inside the last tensor", cut),
]
TEXTS = [
    header("deep lists", "brackets that overflow the stack of a parser", b'{"a":' + nested(100_000) + b"}"),
    header("deep objects", "braces that overflow the stack of a parser", nested(100_000, "dict")),
    header(
        "deep metadata", "__metadata__ nested just below the limit of the parser", b'{"__metadata__":' + nested(900) + b"}", b""
    ),
    header("endless number", "an integer whose conversion takes quadratic time", b'{"a":' + b"9" * 4_000_000 + b"}"),
    header("a million keys", "memory: a million members of nothing", lambda: many_keys(1_000_000)),
    header(
        "a million tensors", "memory: a sound header of more tensors than any model has", many(250_000, spelt("data_offsets"))
    ),
    header(
        "hidden million", "the same, with keys escaped so that counting them fails", many(150_000, spelt("data_off\\u0073ets"))
    ),
    header("million empty lists", "memory: lists in one entry", b'{"w":[' + b"[]," * 2_000_000 + b"0]}"),
    header(
        "metadata bomb",
        "memory: half a million entries of metadata",
        lambda: b'{"__metadata__":' + many_keys(500_000) + b"}",
    ),
    header(
        "within limits: tensors",
        "time: as many tensors as are allowed, the last laid over the first",
        many(50_000, lambda i: f'"{i}":{{"dtype":"U8","shape":[1],"data_offsets":[{i % 49_999},{i % 49_999 + 1}]}}'),
        bytes(50_000),
        FEW_VERBS,
    ),
    header(
        "within limits: letters",
        "memory: as long a name as is allowed, of letters of four bytes",
        lambda: twice_wide(15_900_000),
        verbs=FEW_VERBS,
    ),
    header("long dtype", "an error message of eight megabytes", {"w": entry([1], 0, 4, dtype="F" * 8_000_000)}),
    header(
        "tensor twice",
        "two tensors of one name: readers disagree which counts",
        b'{"w":%s,"w":%s}' % ((json.dumps(ONE["w"]).encode(),) * 2),
    ),
    header(
        "tensor twice, escaped",
        "the same with one name escaped",
        b'{"w":%s,"\\u0077":%s}' % ((json.dumps(ONE["w"]).encode(),) * 2),
    ),
    header("shape twice", "two shapes in one entry", b'{"w":{"dtype":"F32","shape":[1],"shape":[9],"data_offsets":[0,4]}}'),
    header("metadata twice", "two __metadata__", b'{"__metadata__":{},"__metadata__":{},"w":%s}' % json.dumps(ONE["w"]).encode()),
    header("not UTF-8", "bytes that are no text", b'{"\xff\xfe":' + json.dumps(ONE["w"]).encode() + b"}"),
    header(
        "overlong UTF-8",
        "a slash spelt in two bytes, forbidden since 2003",
        b'{"\xc0\xaf":' + json.dumps(ONE["w"]).encode() + b"}",
    ),
    header("byte order mark", "a mark before the brace: some readers skip it", b"\xef\xbb\xbf" + json.dumps(ONE).encode()),
    header("UTF-16", "JSON in an encoding that some parsers guess", json.dumps(ONE).encode("utf-16")),
    header("UTF-32", "the same in four bytes a character", json.dumps(ONE).encode("utf-32")),
    header("leading blank", "a header that does not begin with its brace", b" " + json.dumps(ONE).encode()),
    header("no JSON", "braces that never close", b"{{{{"),
    header("Python literal", "a header for readers that use eval", b"{'w': __import__('os').system('touch PWNED')}"),
    header("comment", "JSON with a comment", b"{/* */}"),
    header("two objects", "a second header behind the first", json.dumps(ONE).encode() + b'{"v":1}'),
    header("list", "a list in place of the object", [ONE]),
    header("string", "a string in place of the object", "w"),
    header("number", "a number in place of the object", 7),
    header("null", "nothing in place of the object", None),
]
ENTRIES = [
    header("entry null", "a tensor that is null", {"w": None}),
    header("entry list", "a tensor that is a list", {"w": ["F32", [1], [0, 4]]}),
    header("entry string", "a tensor that is text", {"w": "F32"}),
    header("no dtype", "an entry without dtype", {"w": {"shape": [1], "data_offsets": [0, 4]}}),
    header("no shape", "an entry without shape", {"w": {"dtype": "F32", "data_offsets": [0, 4]}}),
    header("no offsets", "an entry without offsets", {"w": {"dtype": "F32", "shape": [1]}}),
    header("key too many", "an entry that names another file to read", {"w": ONE["w"] | {"file": "/etc/passwd"}}),
    header("dtype unknown", "a dtype that does not exist", {"w": entry([1], 0, 4, dtype="F31")}),
    header("dtype in small letters", "a dtype that lenient readers take", {"w": entry([1], 0, 4, dtype="f32")}),
    header("dtype of half a byte", "a dtype whose size is no whole byte", {"w": entry([8], 0, 4, dtype="F4")}),
    header("dtype number", "a dtype that is a number", {"w": entry([1], 0, 4, dtype=0)}),
    header("dtype list", "a dtype that cannot be looked up", {"w": entry([1], 0, 4, dtype=["F32"])}),
    header("dtype null", "a dtype that is null", {"w": entry([1], 0, 4, dtype=None)}),
    header(
        "dtype colours the terminal", "an escape sequence for the error message", {"w": entry([1], 0, 4, dtype="\x1b[31mF32")}
    ),
    header("metadata list", "__metadata__ that is a list", {"__metadata__": [1], **ONE}),
    header("metadata number", "__metadata__ with a value that is no text", {"__metadata__": {"format": 1}, **ONE}),
    header("metadata null", "__metadata__ that is null", {"__metadata__": None, **ONE}),
    header("no tensors", "a sound file of nothing", {}, b""),
    header("only metadata", "a sound file of metadata alone", {"__metadata__": {"format": "pt"}}, b""),
]
NAMES = [
    named("empty", "a tensor without a name", ""),
    named("newline", "a second line for logs", "w\nerror: none"),
    named("escape sequence", "a title for the terminal", "\x1b]0;owned\x07"),
    named("C1 control", "an escape sequence in one character above 127", "w\x9b31m"),
    named("NUL", "a name that ends early in C", "w\0.weight"),
    named("DEL", "the control character that is not below 32", "w\x7f"),
    named("right-to-left override", "a name that reads backwards", "w\u202ethgiew"),
    named("zero width", "a name that looks like another", "w\u200b"),
    named("lone surrogate", "a name that cannot be encoded", "w\ud800"),
    named("a million letters", "an error message of a megabyte", "w" * 1_000_000),
    named("parent folder", "a path upwards, for tools that write a file a tensor", "../../w"),
    named("absolute", "a path from the root", "/etc/cron.d/w"),
    named("backslash", "a path upwards on Windows", "..\\w"),
]
SHAPES = [
    shaped("negative", "two negative sizes whose product is positive", [-1, -1]),
    shaped("minus one", "a size to be guessed", [-1]),
    shaped("bool", "true, which is 1 in Python", [True]),
    shaped("float", "1.0, which equals 1", [1.0]),
    header("shape: exponent", "1e0, a float that looks whole", b'{"w":{"dtype":"F32","shape":[1e0],"data_offsets":[0,4]}}'),
    shaped("text", "a size in quotes", ["1"]),
    shaped("null", "no shape", None),
    shaped("object", "a mapping of sizes", {"0": 1}),
    shaped("nested", "a list of lists", [[1]]),
    shaped("infinite", "Infinity, which JSON does not have", [float("inf")]),
    shaped("not a number", "NaN, which compares with nothing", [float("nan")]),
    shaped("65 dimensions", "one more than numpy can hold", [1] * 65),
    shaped("100000 dimensions", "a shape that takes longer than its tensor", [1] * 100_000),
    shaped("product overflows", "a product that is 4 modulo 2^64", [4194305, 4194305, 211106198978564]),
    shaped("2^64", "a size that does not fit 64 bits", [2**64]),
    shaped("4000 digits", "a size that prints as a page", [10**4000]),
    shaped("too many elements", "more elements than bytes", [2]),
    header("shape: none", "a scalar twice as long as its dtype", {"w": entry([], 0, 8)}, FOUR * 2),
    header("shape: huge and empty", "a product of 0 from sizes that overflow", {"w": entry([2**47, 2**47, 0], 0, 0)}, b""),
    changed("shape: transposed embedding", "an embedding lying on its side", lambda e: first(e).update(shape=[32, 288])),
    changed("shape: flat embedding", "an embedding in one dimension", lambda e: first(e).update(shape=[288 * 32])),
    changed(
        "shape: wider embedding", "an embedding of another width than the model's", lambda e: first(e).update(shape=[144, 64])
    ),
]
OFFSETS = [
    placed("reversed", "an end before its begin", 4, 0),
    placed("negative", "a tensor from before the file", -4, 0),
    placed("bool", "false and true for 0 and 1", False, True),
    placed("float", "0.0 and 4.0", 0.0, 4.0),
    placed("text", "numbers in quotes", "0", "4"),
    placed("null", "nothing for numbers", None, None),
    placed("one", "an end is missing", 4),
    placed("three", "a number too many", 0, 4, 8),
    placed("beyond the end", "a tensor behind the file", 4, 8),
    placed("2^63", "offsets whose difference is right but which overflow", 2**63, 2**63 + 4),
    placed("2^64", "offsets that wrap around to 0 and 4", 2**64, 2**64 + 4),
    header("hole at the start", "bytes before the first tensor that nobody owns", {"w": entry([1], 4, 8)}, FOUR * 2),
    header(
        "hole in the middle",
        "bytes between two tensors that nobody owns",
        {"a": entry([1], 0, 4), "b": entry([1], 8, 12)},
        FOUR * 3,
    ),
    header("bytes behind", "bytes behind the last tensor: a place to hide things", ONE, FOUR * 2),
    header("overlap", "two tensors that share half their bytes", {"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, FOUR * 3),
    header("alias", "two tensors that share all their bytes", {"a": entry([1], 0, 4), "b": entry([1], 0, 4)}),
    header("inside another", "a tensor within another", {"a": entry([4], 0, 16), "b": entry([1], 4, 8)}, FOUR * 4),
    header("empty inside another", "an empty tensor within another", {"a": entry([4], 0, 16), "b": entry([0], 8, 8)}, FOUR * 4),
    changed(
        "real tensors overlap",
        "the embedding laid over its neighbour",
        lambda e: first(e).update(data_offsets=[128, 128 + 288 * 128]),
    ),
]
SHARDED = [
    changed(
        "shard: dtype lies",
        "a second shard whose tensors are half as long as told",
        lambda e: {k: v | {"dtype": "F16"} for k, v in e.items()},
        SHARDS[1],
    ),
    changed(
        "shard: negative shape",
        "a second shard with a negative size",
        lambda e: {k: v | {"shape": [-1]} for k, v in e.items()},
        SHARDS[1],
    ),
    changed("shard: no tensors", "a second shard that is empty", lambda _: {"__metadata__": {}}, SHARDS[1]),
]
FOREIGN = [
    whole("pickle in disguise", "a pickle under the name of a safetensors file", pickled),
    whole("torch archive in disguise", "a torch.save under that name", lambda: archived("zip")),
    whole("tar in disguise", "an old torch.save with a path upwards", lambda: archived("tar")),
    whole("gzip bomb", "64 MB of zeros in 64 kB", lambda: gzip.compress(bytes(64_000_000), 1)),
    whole("gzipped weights", "a header inside gzip", lambda: gzip.compress(framed(ONE, FOUR))),
    whole("numpy array", "a .npy under that name, which can hold a pickle", b"\x93NUMPY\x01\x00v\x00{'descr': '|O'}"),
    whole("program", "an executable under that name", b"\x7fELF\x02\x01\x01" + b"\0" * 99),
    whole("web page", "the page of an error in place of the file", b"<!DOCTYPE html><html>404</html>"),
    whole(
        "pointer", "a Git LFS pointer in place of the file", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    ),
]
ATTACKS = [*LENGTHS, *TEXTS, *ENTRIES, *NAMES, *SHAPES, *OFFSETS, *SHARDED, *FOREIGN]
