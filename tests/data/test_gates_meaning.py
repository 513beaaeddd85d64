"""Translations of something else, or of a part only, are noticed by the words that they lack."""

from __future__ import annotations

import pytest

from hala.data.features import Pair
from hala.data.gates_meaning import omitted, unrelated
from hala.languages import language

SENTENCES = [
    "The doctor told the children to drink more water in the summer.",
    "Three soldiers were killed when a bomb exploded near the hospital.",
    "The company will open a new factory in the south of the country next year.",
]
TRANSLATIONS = {
    "ar": [
        "طلب الطبيب من الأطفال أن يشربوا ماء أكثر في الصيف.",
        "قُتل ثلاثة جنود عندما انفجرت قنبلة قرب المستشفى.",
        "ستفتح الشركة مصنعا جديدا في جنوب البلاد العام القادم.",
    ],
    "hi": [
        "डॉक्टर ने बच्चों से कहा कि गर्मी में ज़्यादा पानी पिएँ।",
        "अस्पताल के पास बम फटने से तीन सैनिक मारे गए।",
        "कंपनी अगले साल देश के दक्षिण में एक नया कारखाना खोलेगी।",
    ],
    "vi": [
        "Bác sĩ bảo trẻ em uống nhiều nước hơn vào mùa hè.",
        "Ba người lính thiệt mạng khi một quả bom nổ gần bệnh viện.",
        "Công ty sẽ mở một nhà máy mới ở miền nam đất nước vào năm tới.",
    ],
    "sw": [
        "Daktari aliwaambia watoto wanywe maji zaidi wakati wa kiangazi.",
        "Askari watatu waliuawa bomu lilipolipuka karibu na hospitali.",
        "Kampuni itafungua kiwanda kipya kusini mwa nchi mwaka ujao.",
    ],
}


def pair(source: str, target: str, code: str) -> Pair:
    return Pair(source, target, language(code), language("en"))


@pytest.mark.parametrize("code", sorted(TRANSLATIONS))
def test_only_its_own_translation_is_related(code: str) -> None:
    """Each sentence accepts its translation and neither of the other two."""
    for row, source in enumerate(SENTENCES):
        for column, target in enumerate(TRANSLATIONS[code]):
            assert bool(unrelated(pair(source, target, code))) == (row != column), (source, target)


EVERYDAY = (
    "The knife, the eggs and the cheese are on the chair.",
    "She was tired, hungry and angry about the noise of the dance.",
)
EVERYDAY_IN = {
    "ar": ("السكين والبيض والجبن على الكرسي.", "كانت متعبة وجائعة وغاضبة من ضجيج الرقص."),
    "hi": ("चाकू, अंडे और पनीर कुर्सी पर हैं।", "वह थकी, भूखी और नाच के शोर से गुस्से में थी।"),
    "vi": ("Con dao, trứng và phô mai ở trên ghế.", "Cô ấy mệt, đói và giận vì tiếng ồn của điệu nhảy."),
    "sw": ("Kisu, mayai na jibini viko kwenye kiti.", "Alikuwa amechoka, ana njaa na hasira kwa kelele za kucheza."),
}


@pytest.mark.parametrize("code", sorted(EVERYDAY_IN))
def test_everyday_words_are_known(code: str) -> None:
    """Sentences of things and feelings, without names or numbers, are told apart."""
    for row, source in enumerate(EVERYDAY):
        for column, target in enumerate(EVERYDAY_IN[code]):
            assert bool(unrelated(pair(source, target, code))) == (row != column), (source, target)


def test_lines_that_are_the_same_on_both_sides_say_nothing() -> None:
    """Lines of code full of English words do not make the text around them another text."""
    code = (
        "\n```\nfor each in range(10):\n    print(each, 'some english words in here')\n    copy(each, 'video of a bridge')\n```\n"
    )
    assert not unrelated(pair("Print the numbers." + code, "اطبع الأعداد." + code, "ar"))


@pytest.mark.parametrize("code", sorted(TRANSLATIONS))
def test_lines_that_moved(code: str) -> None:
    """Lines whose translations stand one line too high are found, although all words are there."""
    right = TRANSLATIONS[code]
    assert not unrelated(pair("\n".join(SENTENCES), "\n".join(right), code))
    assert unrelated(pair("\n".join(SENTENCES), "\n".join([*right[1:], right[0]]), code))


@pytest.mark.parametrize("code", sorted(TRANSLATIONS))
def test_what_is_left_out(code: str) -> None:
    """A text of three sentences with two translated is not whole."""
    right = TRANSLATIONS[code]
    assert not omitted(pair(" ".join(SENTENCES), " ".join(right), code))
    assert omitted(pair(" ".join(SENTENCES), " ".join(right[:2]), code))
    assert omitted(pair(" ".join(SENTENCES), right[0], code))


def test_abbreviations_end_no_sentence() -> None:
    """The point of Ms. or Dr. is no sentence that a shorter translation lost."""
    source = "Dr. Brown and Ms. Green were paid for their one day of work and then sent home."
    assert not omitted(pair(source, "Bà Brown và cô Green được trả lương theo ngày và về nhà.", "vi"))
    source = "The attack came just before 7 a.m. near the old stone bridge in the north."
    assert not omitted(pair(source, "हमला सुबह 7 बजे से पहले उत्तर में पुराने पुल के पास हुआ।", "hi"))


@pytest.mark.parametrize(
    ("source", "target", "code"),
    [
        ("He opened the door of the house. Then he read the long letter at the window.", "Alifungua mlango wa nyumba.", "sw"),
        ("The old bridge was closed in winter. Nobody was hurt.", "Cây cầu cũ đã đóng cửa vào mùa đông.", "vi"),
    ],
)
def test_a_sentence_that_is_left_out(source: str, target: str, code: str) -> None:
    """One of two sentences missing is seen, although the other is whole."""
    assert omitted(pair(source, target, code))


def test_names_speak_for_a_pair() -> None:
    """Names that are kept or transliterated make up for words that the lexicon does not find."""
    source = "Yesterday Maradona and Zidane strolled along the quay with Beckenbauer, without much of a plan."
    assert not unrelated(pair(source, "تمشى مارادونا وزيدان على الرصيف بصحبة بيكنباور البارحة بلا هدف.", "ar"))
    assert not unrelated(pair(source, "Jana Maradona na Zidane walizurura gatini na Beckenbauer bila lengo.", "sw"))


def test_without_a_lexicon_nothing_is_judged() -> None:
    """A language without words, or another source language, is not judged by words."""
    assert not unrelated(pair(SENTENCES[0], "Ithala leencwadi livula kusasa.", "xh"))
    assert not unrelated(Pair("Ithala leencwadi livula kusasa.", SENTENCES[0], language("ar"), language("xh")))
