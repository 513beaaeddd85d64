"""hala under torchrun: `torchrun --nproc-per-node 8 -m hala run recipe.yaml --only sft`.

The one idea: a run has one lock, so of the hala's that torchrun starts the first does all the work, and its `tune` starts as many
processes as there were (`processes` in a recipe says the same without torchrun); the others have nothing to do.

>>> from hala.cli.torchrun import is_extra
>>> is_extra()
False
"""

from __future__ import annotations

import os

OF_TORCHRUN: tuple[str, ...] = ("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "ROLE_NAME", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
OF_TORCHRUN += ("GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def is_extra() -> bool:
    """Whether torchrun started this process beside a first one; the first forgets torchrun, but for the number of processes.

    Raises: RecipeError where torchrun spans several machines.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return False
    from hala.errors import RecipeError
    from hala.verbs.workers import PROCESSES

    if os.environ["GROUP_WORLD_SIZE"] != "1":
        raise RecipeError("hala trains on the GPUs of one machine.", "Start it with torchrun --nnodes 1, or without torchrun.")
    if os.environ["LOCAL_RANK"] != "0":
        return True
    os.environ[PROCESSES] = os.environ["LOCAL_WORLD_SIZE"]
    for name in list(os.environ):
        if name in OF_TORCHRUN or name.startswith("TORCHELASTIC_"):
            del os.environ[name]
    return False
