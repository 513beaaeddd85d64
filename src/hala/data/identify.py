"""A trained language identifier as a second opinion: lingua, with the few languages that a target can be taken for.

It is asked only about texts that letters and frequent words leave open, so that its models load late or never.

>>> from hala.data.identify import identify
>>> identify("पुस्तकालय सकाळी उघडते आणि संध्याकाळी बंद होते.", "hi")[0]
'mr'
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

# Languages that a translation may come back in instead: neighbours in script and vocabulary, and those that models fall back to.
_RIVALS = {
    "ar": "fa ur",
    "hi": "mr",
    "vi": "en fr es id tl pt de",
    "sw": "en fr es pt id ms tl de it nl so zu xh sn st tn lg yo",
}


def knows(code: str) -> bool:
    """Whether the identifier can tell the language from its rivals."""
    return code in _RIVALS


def identify(text: str, code: str) -> tuple[str, float]:
    """The most likely language of `text` among `code` and its rivals, and its share of the probability, 0 to 1."""
    ranking = _detector(code).compute_language_confidence_values(text[:400])
    if not ranking:
        return code, 0.0
    return ranking[0].language.iso_code_639_1.name.lower(), ranking[0].value


@lru_cache(maxsize=8)
def _detector(code: str) -> Any:
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    codes = [getattr(IsoCode639_1, each.upper()) for each in (code, *_RIVALS[code].split())]
    # Trigrams alone: a tenth of the memory, and the texts are long enough.
    return LanguageDetectorBuilder.from_iso_codes_639_1(*codes).with_low_accuracy_mode().build()
