"""The pictures of the docs are drawn from committed results and are what these say now."""

from __future__ import annotations

import importlib.util
import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


def pictures() -> ModuleType:
    """docs/pictures.py as a module, which finds its neighbours as when it is run."""
    if str(ROOT / "docs") not in sys.path:
        sys.path.append(str(ROOT / "docs"))
    spec = importlib.util.spec_from_file_location("docs_pictures", ROOT / "docs" / "pictures.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for themselves
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", list(pictures().PICTURES))
def test_pictures_are_fresh_and_whole(name: str) -> None:
    """A picture on disk is well-formed, has dots, loads nothing, and is what its results give; else run docs/pictures.py."""
    results, draw = pictures().PICTURES[name]
    stored = (ROOT / "docs" / "images" / name).read_text(encoding="utf-8")
    assert stored == draw(json.loads((ROOT / "benchmarks" / "results" / results).read_text(encoding="utf-8")))
    picture = ElementTree.fromstring(stored)
    kinds = [element.tag.rpartition("}")[2] for element in picture.iter()]
    assert kinds.count("circle") + kinds.count("path") > 10
    assert "href" not in stored and "<script" not in stored


def test_places_follow_the_scale() -> None:
    """On a logarithmic axis equal factors are equal distances, values below the last tick lie on it, and up is more."""
    module = pictures()
    ticks = [(0.1, "0.1"), (1.0, "1"), (10.0, "10")]
    frame = module.Frame("t", [(0, "0"), (1, "1")], ticks, "x", "y", log=True)
    assert frame.y(0.1) - frame.y(1.0) == pytest.approx(frame.y(1.0) - frame.y(10.0))
    assert frame.y(0.001) == frame.y(0.1) > frame.y(10.0)
    assert frame.x(0) < frame.x(0.5) < frame.x(1)
