"""The architecture as a test: who may import whom, what loads late, and what never occurs in the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import hala

ROOT = Path(hala.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py"))
ROOMS = ("data", "engines", "weights", "training", "evals")
GROUND = {"records", "errors", "languages", "known_data", "hardware", "schedules", "digests"}
CORE = {
    "recipe",
    "recipe_data",
    "recipe_rows",
    "recipe_models",
    "recipe_weights",
    "recipe_file",
    "artifacts",
    "shards",
    "progress",
    "session",
    "staging",
    "drift",
}
TOP = {"pipeline", "cli", "studio", "__init__", "__main__"}
HEAVY = {"torch", "transformers", "vllm", "ray", "datasets", "pyarrow", "accelerate", "safetensors", "tokenizers", "sacrebleu"}
HEAVY |= {"markdown_it", "gguf", "numpy", "huggingface_hub", "compressed_tensors", "httpx"}
# Modules about nothing else: they are imported inside the functions of verbs, never by a light module at its top.
ALL_TORCH = ("training", "engines/local.py", "engines/decoding.py", "engines/chat.py", "engines/lfm2.py")
ALL_TORCH += ("evals/likelihood.py", "evals/trees.py", "weights/fused.py", "weights/linears.py", "weights/unpacking.py")
ALL_HTTP = ("engines/server.py", "engines/exchange.py", "engines/connection.py")


def name_of(path: Path) -> str:
    """`data/gates.py` -> `data.gates`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(tree: ast.AST, path: Path) -> Iterator[str]:
    """Every module that a tree imports, fully named; `from hala import x` is `hala.x`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            packages = (ROOT.parent / Path(*module.split("."))).is_dir()
            yield from (f"{module}.{alias.name}" for alias in node.names) if packages else [module]


def at_the_top(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements that run when the module is imported: not functions, not `if TYPE_CHECKING`."""
    for node in tree.body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def parse(path: Path) -> ast.Module:
    """The module's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def allowed(module: str) -> set[str]:
    """The modules of hala, by their first name below `hala`, that a module may import anywhere in it."""
    first = module.partition(".")[0]
    if first in GROUND:
        return GROUND
    if first in CORE:
        return GROUND | CORE
    if first in ROOMS:
        return GROUND | CORE | {first}
    if first == "verbs":
        return GROUND | CORE | set(ROOMS) | {"verbs"}
    return GROUND | CORE | set(ROOMS) | {"verbs", "inputs", "terms", "runs", "pipeline", "studio", "cli", ""}


VERB_MODULES = {"compress", "translate", "filter", "mix", "tune", "merge", "evaluate", "export", "report", "release"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_follow_the_layers(path: Path) -> None:
    """Ground <- core <- rooms that never meet <- verbs <- pipeline <- command line."""
    mine = name_of(path)
    for module in imports(parse(path), path):
        if module == "hala" or module.startswith("hala."):
            other = module.partition(".")[2]
            if other.startswith("__version__"):
                continue
            assert other.partition(".")[0] in allowed(mine), f"{mine} imports {module}"


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.parent.name == "verbs" and path.stem in VERB_MODULES], ids=name_of
)
def test_verbs_never_call_each_other(path: Path) -> None:
    """A verb reads finished artefacts; it knows no other verb."""
    others = {f"hala.verbs.{verb}" for verb in VERB_MODULES - {path.stem}}
    assert not others & {".".join(module.split(".")[:3]) for module in imports(parse(path), path)}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_heavy_packages_load_late(path: Path) -> None:
    """A heavy package stands at the top only of modules that are about nothing else."""
    relative = path.relative_to(ROOT).as_posix()
    found = set()
    for node in at_the_top(parse(path)):
        found |= {module.partition(".")[0] for module in imports(node, path)} & HEAVY
    late = {"httpx"} if relative.startswith(ALL_HTTP) else (HEAVY if relative.startswith(ALL_TORCH) else set())
    # And no torch: it would double the time of small models.
    late |= {"numpy"} if relative.startswith(("weights/", "data/near.py", "data/mixing.py", "data/counting.py")) else set()
    assert found <= late, f"{relative}: {sorted(found)}"


def calls(path: Path) -> Iterator[ast.Call]:
    """Every call in a file."""
    return (node for node in ast.walk(parse(path)) if isinstance(node, ast.Call))


def dotted(node: ast.expr) -> str:
    """`torch.load` of an attribute chain; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else node.attr
    return ""


FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "torch.load",
    "torch.save",
    "os.system",
    "os.popen",
    "np.load",
    "numpy.load",
}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_in_the_source_runs_what_it_reads(path: Path) -> None:
    """No pickle, no torch.load, no eval, no shell, no code from a checkpoint: data stays data."""
    assert not {module.partition(".")[0] for module in imports(parse(path), path)} & FORBIDDEN_MODULES
    for call in calls(path):
        assert dotted(call.func) not in FORBIDDEN_CALLS, f"{path}:{call.lineno}"
        for keyword in call.keywords:
            if keyword.arg in ("shell", "trust_remote_code", "allow_pickle"):
                assert isinstance(keyword.value, ast.Constant) and keyword.value.value is False, f"{path}:{call.lineno}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_is_swallowed_or_left_unfinished(path: Path) -> None:
    """No bare `except: pass`, no stub and no note to self in the source."""
    text = path.read_text(encoding="utf-8")
    assert not [word for word in ("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error") if word in text]
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ExceptHandler):
            broad = node.type is None or dotted(node.type) in ("Exception", "BaseException")
            assert not (broad and all(isinstance(each, ast.Pass) for each in node.body)), f"{path}:{node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_are_of_reading_size(path: Path) -> None:
    """A function of more than 60 lines or a module of more than 500 wants to be two."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{path}:{node.lineno} {node.name}"
