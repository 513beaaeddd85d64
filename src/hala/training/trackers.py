"""Experiment trackers by name: they get the records of the learning curve and the knobs, and nothing unless asked for.

The one idea: curve.jsonl is the record, a tracker is a copy of it. What is asked for must be there when the training starts; one
that fails later is left behind with a warning, for no training should end because a server did. What
wandb and trackio note of the machine besides is theirs to set.

>>> from hala.training.trackers import open_trackers
>>> report, close = open_trackers((), "sft", {}, Path("."))
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from hala.artifacts import digest_of
from hala.errors import InputError

Record = Mapping[str, float]


class Tracker(Protocol):
    """Where records go."""

    def log(self, step: int, values: dict[str, float]) -> None:
        """Take the numbers of one step."""

    def close(self) -> None:
        """Nothing comes any more."""


class TensorBoard:
    """Event files below `folder/tensorboard/NAME`, on this machine."""

    def __init__(self, name: str, config: Mapping[str, Any], folder: Path) -> None:
        self.writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter(str(folder / "tensorboard" / name))

    def log(self, step: int, values: dict[str, float]) -> None:
        for key, value in values.items():
            self.writer.add_scalar(key, value, step)

    def close(self) -> None:
        self.writer.close()


class Module:
    """wandb or trackio, whose functions are the same; the project is `hala` unless WANDB_PROJECT or TRACKIO_PROJECT says another.

    A training that is continued continues its run, for the run is named by its settings.
    """

    package = ""

    def __init__(self, name: str, config: Mapping[str, Any], folder: Path) -> None:
        self.module: Any = importlib.import_module(self.package)
        project = os.environ.get(f"{self.package.upper()}_PROJECT", "hala")
        known = f"{name}-{digest_of(dict(config))[:8]}"
        self.module.init(project=project, name=known, config=dict(config), resume="allow", **self.place(known, folder))

    def place(self, known: str, folder: Path) -> dict[str, Any]:
        """What else `init` must be told."""
        return {}

    def log(self, step: int, values: dict[str, float]) -> None:
        self.module.log(values, step=step)

    def close(self) -> None:
        self.module.finish()


class Trackio(Module):
    """trackio keeps runs on this machine."""

    package = "trackio"


class Wandb(Module):
    """wandb sends them to its server, or where WANDB_MODE and WANDB_BASE_URL say."""

    package = "wandb"

    def place(self, known: str, folder: Path) -> dict[str, Any]:
        return {"id": known, "dir": str(folder)}


KNOWN: dict[str, Callable[[str, Mapping[str, Any], Path], Tracker]] = {
    "tensorboard": TensorBoard,
    "trackio": Trackio,
    "wandb": Wandb,
}


def require(names: tuple[str, ...]) -> None:
    """Nothing, or InputError in words for a tracker that is not installed."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise InputError(f"The tracker {name} is not installed ({error}).", f"Install it: pip install {name}") from error


def open_trackers(
    names: tuple[str, ...], run: str, config: Mapping[str, Any], folder: Path
) -> tuple[Callable[[Record], None], Callable[[], None]]:
    """(report, close): `report` hands a record with `step` to every tracker; `config` are the knobs of the training.

    Raises: InputError for one that is not installed or does not start.
    """
    require(names)
    trackers: dict[str, Tracker] = {}
    for name in names:
        try:
            trackers[name] = KNOWN[name](run, config, folder)
        except Exception as error:
            raise InputError(f"The tracker {name} did not start: {error}", "Mend that, or leave it out of `trackers`.") from error

    def each(act: Callable[[Tracker], None]) -> None:
        for name, tracker in list(trackers.items()):
            try:
                act(tracker)
            except Exception as error:
                del trackers[name]
                warnings.warn(f"The tracker {name} failed and gets no more records: {error}", stacklevel=2)

    def report(record: Record) -> None:
        values = {key: float(value) for key, value in record.items() if key != "step" and value is not None}
        each(lambda tracker: tracker.log(int(record["step"]), values))

    return report, lambda: each(lambda tracker: tracker.close())
