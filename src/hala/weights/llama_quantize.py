"""llama.cpp's own quantiser for GGUF types of less than 8 bits, run in a process of its own.

It is the program `llama-quantize` or the same function in llama-cpp-python; neither is a dependency of ours.

    run(find_quantiser(), Path("model-bf16.gguf"), Path("model-q4_k_m.gguf"), "q4_k_m")
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from hala.errors import DiskError, EngineError

FILE_TYPES = {"q4_0": 2, "q4_k_m": 15, "q5_k_m": 17, "q6_k": 18}  # numbers of llama.h, which never change
INTERPRETER = "HALA_LLAMA_CPP_PYTHON"  # environment variable: a Python interpreter that has llama-cpp-python
CALL = """
import ctypes, sys, llama_cpp
settings = llama_cpp.llama_model_quantize_default_params()
settings.ftype = int(sys.argv[3])
sys.exit(llama_cpp.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), ctypes.byref(settings)))
"""
WAYS = f"""Install it with `pip install llama-cpp-python`, or build llama.cpp and put llama-quantize on the PATH, or name an
interpreter that has llama-cpp-python in {INTERPRETER}. f16 and q8_0 do not need it.""".replace("\n", " ")


def find_quantiser() -> list[str]:
    """The command to which source, target and type are added. Raises: EngineError when there is none, saying how to get one."""
    if program := shutil.which("llama-quantize"):
        return [program]
    if python := os.environ.get(INTERPRETER):
        start([python, "-c", "import llama_cpp"], f"{python}, named in {INTERPRETER}, has no llama-cpp-python")
        return [python, "-c", CALL]
    if importlib.util.find_spec("llama_cpp"):
        return [sys.executable, "-c", CALL]
    raise EngineError("Types of less than 8 bits are made by llama.cpp's own quantiser, which is not installed.", WAYS)


def run(quantiser: list[str], source: Path, target: Path, quant: str) -> None:
    """Writes `target` from the GGUF file `source`. Raises: EngineError when the quantiser fails, DiskError when room is short."""
    kind = str(FILE_TYPES[quant]) if CALL in quantiser else quant.upper()
    start([*quantiser, str(source.resolve()), str(target.resolve()), kind], f"{quantiser[0]} could not make {quant}")
    if not target.is_file():
        raise EngineError(f"{quantiser[0]} wrote no {quant} file.", WAYS)


def start(command: list[str], complaint: str) -> None:
    """Runs a command to its end. Raises: DiskError when it could not write, else EngineError with the complaint and its words."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd="/", check=False)
    except OSError as error:
        raise EngineError(f"{command[0]} cannot be started: {error.strerror}.", WAYS) from error
    if done.returncode == 0:
        return
    lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
    if any("iostream error" in line or "No space left" in line for line in lines):
        raise DiskError(f"{complaint}: {lines[-1]}", "The disk is full or failing. Make room or choose another --out.")
    raise EngineError(f"{complaint}: {lines[-1][:300]}.", WAYS)
