"""TMX and XLIFF files as pairs: both sides, in their languages, whatever is wrong with the rest."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from hala.data.readers import BadRow
from hala.data.sources import SourceSpec, open_source
from hala.errors import InputError
from hala.records import Row

TMX = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header srclang="en-US" segtype="sentence" adminlang="en" datatype="plaintext" o-tmf="x" creationtool="y"
 creationtoolversion="1"/><body>
<tu><tuv xml:lang="en-US"><seg>Open the <bpt i="1">&lt;b&gt;</bpt>file<ept i="1">&lt;/b&gt;</ept>.</seg></tuv>
<tuv xml:lang="ar"><seg>افتح <bpt i="1">&lt;b&gt;</bpt>الملف<ept i="1">&lt;/b&gt;</ept>.</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>Alone.</seg></tuv></tu>
<tu><tuv xml:lang="ar"><seg>أغلقه.</seg></tuv><tuv xml:lang="en"><seg>Close it.</seg></tuv></tu>
</body></tmx>
"""
XLIFF1 = """<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2"><file source-language="en" target-language="ar-EG"
 datatype="plaintext" original="x"><body><group><trans-unit id="1"><source>Save</source><target>حفظ</target></trans-unit></group>
<trans-unit id="2"><source>Not yet</source></trans-unit></body></file></xliff>"""
XLIFF2 = """<xliff version="2.0" srcLang="en" trgLang="ar"
 xmlns="urn:oasis:names:tc:xliff:document:2.0"><file id="f"><unit id="u">
<segment><source>One.</source><target>واحد.</target></segment>
<segment><source>Two <ph id="1"/>.</source><target>اثنان <ph id="1"/>.</target></segment></unit></file></xliff>"""


def read(path: Path, content: str | bytes) -> tuple[list[Row], list[BadRow]]:
    """The rows of a file and what was rejected."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    bad: list[BadRow] = []
    return list(open_source(SourceSpec(path=str(path)), bad.append)), bad


@pytest.mark.parametrize("name", ["memory.tmx", "memory.tmx.gz"])
def test_tmx(tmp_path: Path, name: str) -> None:
    """Units come as pairs whatever the order of their sides, inline codes stay, and a unit of one side is reported."""
    rows, bad = read(tmp_path / name, gzip.compress(TMX.encode()) if name.endswith("gz") else TMX)
    assert [(row.original[0].content, row.text) for row in rows if row.original] == [
        ("Open the <b>file</b>.", "افتح <b>الملف</b>."),
        ("Close it.", "أغلقه."),
    ]
    assert {row.lang for row in rows} == {"ar"} and [(each.position, each.reason) for each in bad] == [(1, "missing_field")]


def test_xliff(tmp_path: Path) -> None:
    """Both versions give their segments; what has no target yet is reported."""
    rows, bad = read(tmp_path / "one.xlf", XLIFF1)
    assert [(row.original[0].content, row.text, row.lang) for row in rows if row.original] == [("Save", "حفظ", "ar")]
    assert [each.reason for each in bad] == ["missing_field"]
    rows, bad = read(tmp_path / "two.xliff", XLIFF2)
    assert [row.text for row in rows] == ["واحد.", "اثنان ."] and not bad


def test_torn_and_hostile_files(tmp_path: Path) -> None:
    """What stands before a tear is read, and a file whose entities would grow to gigabytes is not opened up."""
    with pytest.raises(InputError, match=r"torn\.tmx is not whole.*what follows record 1 is missing"):
        read(tmp_path / "torn.tmx", TMX[: TMX.index('<tu><tuv xml:lang="ar">') + 30])
    entities = '<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">'
    bomb = f'<!DOCTYPE tmx [{entities}]><tmx><body><tu><tuv xml:lang="en"><seg>&b;</seg></tuv></tu></body></tmx>'
    with pytest.raises(InputError, match="entities"):
        read(tmp_path / "bomb.tmx", bomb)


def test_memories_of_many_languages(tmp_path: Path) -> None:
    """A unit keeps all its sides: the work's languages or `columns` choose, the first variant of a language is that language."""
    sides = {"en-US": "color", "ar": "لون", "fr": "couleur", "en-GB": "colour"}
    tuvs = "".join(f'<tuv xml:lang="{tag}"><seg>{text}</seg></tuv>' for tag, text in sides.items())
    path = tmp_path / "many.tmx"
    path.write_text(f"<tmx><body><tu>{tuvs}</tu></body></tmx>", encoding="utf-8")
    for spec, wanted in (
        (SourceSpec(path=str(path), languages=("en", "ar")), ("color", "لون")),
        (SourceSpec(path=str(path), languages=("fr", "en")), ("couleur", "color")),
        (SourceSpec(path=str(path), columns={"source": "en-GB", "target": "fr"}), ("colour", "couleur")),
    ):
        [row] = open_source(spec, print)
        assert row.original and (row.original[0].content, row.text) == wanted
    assert [row.text for row in open_source(SourceSpec(path=str(path)), print)] == ["لون"]
    with pytest.raises(InputError, match=r"unknown_shape.*Columns found: de, en, en-GB, fr"):
        path.write_text(f"<tmx><body><tu>{tuvs.replace('ar', 'de')}</tu></body></tmx>", encoding="utf-8")
        list(open_source(SourceSpec(path=str(path)), lambda bad: None))
    path.write_text(f"<tmx><body><tu>{tuvs.replace('ar', 'en-CA').replace('fr', 'en-NZ')}</tu></body></tmx>", encoding="utf-8")
    with pytest.raises(InputError, match="text in en, en-CA, en-NZ, en-GB alone"):
        list(open_source(SourceSpec(path=str(path)), lambda bad: None))
