"""Licences as a ladder: what was made from several things is bound by the strictest of their licences.

From least to most binding: public domain < permissive < attribution < share-alike < revenue limit < non-commercial < unknown.
Not legal advice: every input's own terms still apply, and a name that is not recognised counts as unknown.

>>> from hala.verbs.licences import classify, strictest
>>> strictest([classify("MIT"), classify("CC BY-NC 4.0"), classify("apache-2.0")]).name
'cc-by-nc-4.0'
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

CLASSES = ("public domain", "permissive", "attribution", "share-alike", "revenue limit", "non-commercial", "unknown")
VERSION = r"(?:-v?\d+(?:\.\d+)?(?:-[a-z]{2,4})?)?"
# (class, pattern) from least to most binding; within a class the later pattern demands more.
LADDER = (
    (0, r"cc-?0(?:-1\.0)?(?:-universal)?|pddl(?:-1\.0)?|unlicense|public-domain|0bsd|mit-0"),
    (1, r"isc|zlib|bsd(?:-\d-clause.*)?|bsl-1\.0"),
    (1, r"mit"),
    (1, rf"cdla-permissive{VERSION}"),
    (1, r"apache(?:-?2(?:\.0)?)?"),
    (2, rf"odc-by{VERSION}"),
    (2, rf"cc-by{VERSION}"),
    (3, rf"mpl{VERSION}|lgpl{VERSION}.*|odbl{VERSION}|gfdl{VERSION}|cdla-sharing{VERSION}"),
    (3, rf"cc-by-sa{VERSION}"),
    (3, rf"a?gpl{VERSION}.*"),
    (4, r"lfm-?(?:open-license-?)?v?1\.0"),
    (5, rf"cc-by-nc{VERSION}"),
    (5, rf"cc-by-nc-sa{VERSION}"),
    (5, r"qwen-research"),
)
SPELLINGS = {
    "cc0": "cc0-1.0",
    "cc-0-1.0": "cc0-1.0",
    "cc0-1.0-universal": "cc0-1.0",
    "apache": "apache-2.0",
    "apache-2": "apache-2.0",
    "apache2": "apache-2.0",
    "apache2.0": "apache-2.0",
    "lfm-1.0": "lfm1.0",
    "lfm-open-license-v1.0": "lfm1.0",
    "lfmv1.0": "lfm1.0",
}
HUB_NAMES = re.compile(
    r"0bsd|apache-2\.0|mit|isc|zlib|bsd(?:-[23]-clause)?|bsl-1\.0|cc0-1\.0|pddl|unlicense|odc-by|odbl|gfdl|mpl-2\.0"
    r"|cc-by-(?:2\.0|2\.5|3\.0|4\.0)|cc-by-sa-[34]\.0|cc-by-nc-[234]\.0|cc-by-nc-sa-[234]\.0"
    r"|gpl-[23]\.0|agpl-3\.0|lgpl-2\.1|lgpl-3\.0|cdla-permissive-[12]\.0|cdla-sharing-1\.0"
)
# Well-known weights whose cards state these terms; anything else must be told.
KNOWN_MODELS = (
    (re.compile(r"LiquidAI/LFM2-.*"), "lfm1.0"),
    (re.compile(r"CohereLabs/command-a-(?:translate-08|03)-2025"), "cc-by-nc-4.0"),
    (re.compile(r"Qwen/Qwen2\.5-3B(?:-Instruct)?"), "qwen-research"),
)


@dataclass(frozen=True, slots=True, order=True)
class Licence:
    """A licence by its place on the ladder; `max` of two is the stricter one."""

    rank: tuple[int, int]
    name: str

    @property
    def group(self) -> str:
        """The class that decides: `permissive`, `non-commercial`, ..."""
        return CLASSES[self.rank[0]]


UNKNOWN = Licence((len(CLASSES) - 1, 0), "unknown")


def classify(name: str) -> Licence:
    """The licence that a free-form name means; an empty or unrecognised name is of the strictest class, `unknown`."""
    spelt = re.sub(r"[\s_]+", "-", re.sub(r"\s*licen[cs]e\s*$", "", name.strip().lower()))
    spelt = SPELLINGS.get(spelt, spelt)
    for place, (group, pattern) in enumerate(LADDER):
        if re.fullmatch(pattern, spelt):
            return Licence((group, place), spelt)
    return UNKNOWN if spelt in ("", "unknown", "none", "other") else Licence(UNKNOWN.rank, spelt)


def strictest(licences: Iterable[Licence]) -> Licence:
    """The most binding of the licences, in whatever order they come; unknown when there is none."""
    return max(licences, default=UNKNOWN)


def known_model(name: str) -> str:
    """The licence of a well-known hub model, or an empty string."""
    return next((licence for pattern, licence in KNOWN_MODELS if pattern.fullmatch(name)), "")


def hub_fields(licence: Licence) -> dict[str, str]:
    """The card's licence keys: a name that the hub knows, or `other` with the licence's own name."""
    if licence == UNKNOWN:
        return {"license": "unknown"}
    if HUB_NAMES.fullmatch(licence.name):
        return {"license": licence.name}
    return {"license": "other", "license_name": licence.name, "license_link": "LICENSE"}
