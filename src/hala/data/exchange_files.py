"""Translation memories and localisation files as pairs: TMX 1.4, XLIFF 1.2 and 2.0, read as a stream.

A pair is a record of two texts by language (`{"en": ..., "ar": ...}`). Inline codes stay as the text that they hold.
Sources of the formats: LISA OSCAR (TMX), OASIS (XLIFF).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any
from xml.etree.ElementTree import Element, ParseError, iterparse

Records = Iterator[tuple[int, dict[str, Any]]]
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_DOCTYPE = re.compile(rb"<!DOCTYPE[^>]*\[|<!ENTITY")
HEAD = 1 << 16  # bytes in which a document type with entities of its own would stand


def read_pairs(file: IO[bytes], path: Path, broken: Callable[[int, str], None]) -> Records:
    """Position and record of each unit that has two languages or more; `broken` hears of the others, and where a file is torn."""
    head = file.read(HEAD)
    if _DOCTYPE.search(head):  # entities that expand to gigabytes
        broken(0, "entities")
        return
    file.seek(0)
    position, languages = 0, ("", "")
    try:
        for event, element in iterparse(file, events=("start", "end")):
            name = element.tag.rpartition("}")[2]
            if event == "start":
                if name in ("file", "xliff"):
                    languages = _languages(element) or languages
            elif name in ("tu", "trans-unit", "unit"):
                for record in _unit(element, name, languages):
                    sides = {language: text for language, text in record.items() if text.strip()}
                    if len({_primary(language) for language in sides}) > 1:
                        yield position, sides
                    else:
                        broken(position, f"missing_field: text in {', '.join(sides) or 'no language'} alone")
                    position += 1
                element.clear()
    except (ParseError, EOFError, OSError) as error:
        broken(position, f"torn_file: {error}")


def _unit(element: Element, name: str, languages: tuple[str, str]) -> list[dict[str, str]]:
    """The texts of a unit by language; a unit of XLIFF 2 may hold several segments."""
    if name == "tu":
        return [_variants([each for each in element if each.tag.rpartition("}")[2] == "tuv"])]
    holders = [element] if name == "trans-unit" else [each for each in element.iter() if each.tag.rpartition("}")[2] == "segment"]
    source, target = languages if languages[0] != languages[1] else ("source", "target")
    return [{source or "source": _text(each, "source"), target or "target": _text(each, "target")} for each in holders]


def _variants(sides: list[Element]) -> dict[str, str]:
    """The texts by language; of several variants (en-US, en-GB) the first goes by the language, the others by their own tags."""
    found: dict[str, str] = {}
    for side in sides:
        tag = side.get(_LANG) or side.get("lang") or ""
        found.setdefault(tag if _primary(tag) in found else _primary(tag), _text(side, "seg"))
    return found


def _languages(element: Element) -> tuple[str, str] | None:
    found = element.get("source-language") or element.get("srcLang"), element.get("target-language") or element.get("trgLang")
    return (_primary(found[0] or ""), _primary(found[1] or "")) if any(found) else None


def _primary(tag: str) -> str:
    """`en` of `en-US`."""
    return re.split("[-_]", tag.strip().lower(), maxsplit=1)[0]


def _text(element: Element, name: str) -> str:
    """All text below the first child of that name; empty when there is none."""
    child = next((each for each in element if each.tag.rpartition("}")[2] == name), None)
    return "".join(child.itertext()) if child is not None else ""
