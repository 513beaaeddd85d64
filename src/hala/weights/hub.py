"""Checkpoints by name: a local folder, or a model of the Hugging Face hub, downloaded without any code or pickled file.

folder = fetch("LiquidAI/LFM2-350M", revision="main")
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from hala.errors import InputError
from hala.weights.checkpoint import INDEX_NAME, SIDE_FILES
from hala.weights.safety import check_folder

FILES = (*SIDE_FILES, "*.safetensors", INDEX_NAME)
HUB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")


_commits: dict[str, str] = {}  # one step runs at a time in a process


@contextmanager
def at_commits(commits: Mapping[str, str]) -> Iterator[None]:
    """Within it `fetch` reads the hub's models `NAME`, or `NAME@REVISION`, at the commits that stand for them."""
    before = dict(_commits)
    _commits.update(commits)
    try:
        yield
    finally:
        _commits.clear()
        _commits.update(before)


def fetch(path_or_id: str | Path, revision: str | None = None, files: Sequence[str] = FILES) -> Path:
    """The local folder of a model: the folder itself, or a hub model downloaded without any code or pickled file.

    `files` are the patterns of what is downloaded, by default everything that a model needs.
    """
    path = Path(os.path.expanduser(path_or_id))
    if os.path.lexists(path) or not HUB_NAME.fullmatch(str(path_or_id)):
        check_folder(path)
        return path
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    revision = _commits.get(f"{path_or_id}@{revision}" if revision else str(path_or_id), revision)
    try:
        return Path(snapshot_download(str(path_or_id), revision=revision, allow_patterns=list(files)))
    except (OSError, HFValidationError, httpx.HTTPError) as error:  # the hub's own errors are OSErrors
        fix = "Check the name, your access to it and your connection; offline, give the path of a folder."
        raise InputError(f"{path_or_id} is no folder here and the hub did not give it: {first_line(error)}", fix) from error


def resolve_revision(name: str, revision: str | None = None) -> str:
    """The 40-digit commit of a hub model at a branch, tag or commit; None means its newest. Raises: InputError when unknown."""
    if re.fullmatch("[0-9a-f]{40}", revision or ""):
        return str(revision)
    import httpx
    from huggingface_hub import HfApi

    try:
        return str(HfApi().model_info(name, revision=revision).sha)
    except (OSError, ValueError, httpx.HTTPError) as error:
        fix = "Check the name, your access to it and your connection; offline, give the path of a folder."
        raise InputError(f"{name} is no folder here and the hub does not answer for it: {first_line(error)}", fix) from error


def first_line(error: Exception) -> str:
    """What the error says in its first line, at most 300 characters; its class when it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
