"""Words that gates look for, by language code: refusals, announcements, question words.

>>> from hala.data.phrases import REFUSALS
>>> bool(REFUSALS["en"].search("I'm sorry, but I can't help with that."))
True
"""

from __future__ import annotations

import re

_I = re.IGNORECASE
REFUSALS: dict[str, re.Pattern[str]] = {
    "en": re.compile(
        r"\bas an? (?:ai|artificial intelligence|(?:large )?language model)\b|\bi(?:'m| am) (?:just )?an? (?:ai"
        r"|(?:large )?language model)\b"
        r"|\bi(?:'m| am) (?:sorry|afraid|unable|not able)\b.{0,30}\b(?:can(?:no|')t|cannot|unable|not able|won't)\b"
        r"|\bi (?:can(?:no|')t|cannot|won't|am unable to|am not able to) (?:help|assist|translate|provide|comply"
        r"|fulfil|answer|do that)"
        r"|\bagainst my (?:guidelines|programming|policy)\b",
        _I,
    ),
    "ar": re.compile(
        r"(?:كنموذج لغوي|كنموذج لغة|بصفتي (?:نموذج|مساعد|ذكاء)|أنا (?:مجرد )?(?:نموذج لغ|ذكاء اصطناعي|مساعد ذكاء))"
        r"|(?:عذر[اً]{1,2}|آسف|أعتذر|المعذرة).{0,25}(?:لا (?:أستطيع|يمكنني|أقدر)|لست قادر|غير قادر|لن أتمكن)"
        r"|^\W*(?:لا (?:أستطيع|يمكنني)|لن أتمكن من|لست قادر[اً]* على) (?:ال)?(?:مساعد|ترجم|تقديم|إجاب|المساعد|الترجم"
        r"|الإجاب|تلبي)"
    ),
    "hi": re.compile(
        r"(?:एआई|AI|भाषा) (?:मॉडल|सहायक) (?:के रूप में|हूँ|हूं)|(?:क्षमा करें|माफ़? ?की?जि?ए|मुझे खेद"
        r" है).{0,40}(?:नहीं कर सकता|असमर्थ|मदद नहीं)"
    ),
    "vi": re.compile(
        r"(?:tôi|mình) (?:chỉ )?là (?:một )?(?:mô hình|AI\b|trí tuệ nhân tạo)|(?:là|với tư cách) (?:một )?mô hình"
        r" ngôn ngữ|xin lỗi.{0,30}(?:không thể|không có khả năng)",
        _I,
    ),
    "sw": re.compile(r"kama (?:modeli|muundo) (?:ya|wa) lugha|\bsamahani\b.{0,30}\b(?:siwezi|sina uwezo)", _I),
}
PREAMBLES: dict[str, re.Pattern[str]] = {
    "en": re.compile(
        r"^\W*(?:sure|certainly|of course|okay|absolutely)\b[,!.:]|^\W*(?:here(?:'s| is| are)|below is) (?:the|your"
        r"|an?|my)\b.{0,40}(?:translat|text|version)"
        r"|^\W*(?:the )?translat(?:ion|ed text)\b.{0,30}[:\n]|^\W*in arabic[:,]|\n\W*\(?(?:translator'?s? )?note(?:"
        r" that)?:|\n\W*explanation:"
        r"|\bi(?:'ve| have) translated\b|\blet me know if\b",
        _I,
    ),
    "ar": re.compile(
        r"^\W*(?:بالتأكيد|بالطبع|حسن[اً]{1,2}|تفضل|طبع[اً]{1,2})\s?[،,!.:]|^\W*(?:إليك|فيما يلي|هذه هي|هنا|ها هي"
        r"|وهذه)\s.{0,20}(?:ال)?ترجم"
        r"|^\W*(?:ال)?ترجمة\b.{0,30}[:\n]|^\W*النص المترجم|\n\W*\(?(?:ملاحظة|ملحوظة|تنويه)(?: المترجم)?\s?:|لقد ترجمت"
        r"|قمت بترجمة (?:النص|ما)"
    ),
    "hi": re.compile(
        r"^\W*(?:ज़?रूर|बिल्कुल|निश्चित रूप से)\s?[,!।:]|^\W*यह(?:ाँ|ां)? .{0,20}अनुवाद|^\W*अनुवाद\b.{0,20}[:\n]"
        r"|\n\W*\(?(?:नोट|टिप्पणी)\s?:"
    ),
    "vi": re.compile(
        r"^\W*(?:chắc chắn|tất nhiên|được thôi|vâng)\s?[,!.:]|^\W*(?:đây là|dưới đây là) bản dịch|^\W*bản"
        r" dịch\b.{0,20}[:\n]|\n\W*\(?(?:ghi chú|lưu ý)\s?:",
        _I,
    ),
    "sw": re.compile(
        r"^\W*(?:hakika|bila shaka|sawa)\s?[,!.:]|^\W*(?:hii ni|hapa kuna|ifuatayo ni) tafsiri"
        r"|^\W*tafsiri\b.{0,20}[:\n]|\n\W*\(?(?:kumbuka|maelezo)\s?:",
        _I,
    ),
}
# English words after which an interjection or a note in the translation is no surprise.
INTERJECTIONS = re.compile(
    r"\b(?:of course|sure|surely|certainly|well|okay|ok|fine|good|indeed|absolutely|translat\w*|notes?|here|please"
    r"|all right)\b",
    _I,
)
INTERROGATIVES: dict[str, frozenset[str]] = {
    "ar": frozenset(
        [
            "هل",
            "ما",
            "ماذا",
            "من",
            "متى",
            "أين",
            "اين",
            "كيف",
            "لماذا",
            "لم",
            "لمَ",
            "لِمَ",
            "كم",
            "أي",
            "أى",
            "ألا",
            "أليس",
            "لما",
            "أيمكن",
            "أتريد",
            "ماهو",
            "ماهي",
            "بماذا",
            "لمن",
            "إلى",
        ]
    ),
}
