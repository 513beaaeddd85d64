"""The translation is in the target language, all of it."""

from __future__ import annotations

import pytest

from hala.data.gates import check
from hala.languages import language

SOURCE = "The library opens every morning at nine and closes late at night."


def reason(source: str, target: str, code: str = "ar") -> str:
    return check(source, target, "stop", language(code)).reason


@pytest.mark.parametrize(
    ("source", "target", "code"),
    [
        (SOURCE, "تفتح المكتبة كل صباح في التاسعة وتغلق في وقت متأخر من الليل.", "ar"),
        (SOURCE, "पुस्तकालय हर सुबह नौ बजे खुलता है और रात को देर से बंद होता है।", "hi"),
        (SOURCE, "Thư viện mở cửa lúc chín giờ mỗi sáng và đóng cửa khuya.", "vi"),
        (SOURCE, "Maktaba hufunguliwa kila asubuhi saa tatu na kufungwa usiku sana.", "sw"),
        ("She bought an iPhone and a copy of The Lord of the Rings.", "اشترت iPhone ونسخة من The Lord of the Rings.", "ar"),
        ("Send an email to the team.", "Gửi email cho nhóm.", "vi"),
        ("The word cell comes from the Latin word 'cella'.", "كلمة خلية مأخوذة من الكلمة اللاتينية 'cella'.", "ar"),
        ("He ran 5 km today.", "جرى اليوم 5 km.", "ar"),
        ("NASA, ESA", "NASA, ESA", "hi"),
        ("The mine sells uranium and lithium.", "Mỏ này bán uranium và lithium.", "vi"),
        ("Look for the tag listofopenorders there.", "Hãy tìm thẻ listofopenorders ở đó.", "vi"),
        ("They filled the gondola with confetti.", "Walijaza gondola na confetti.", "sw"),
    ],
)
def test_good_translations_pass(source: str, target: str, code: str) -> None:
    """Names, titles, units, loan words and words that are spoken of may stay as they are."""
    assert reason(source, target, code) == ""


@pytest.mark.parametrize(
    ("source", "target", "code", "expected"),
    [
        (SOURCE, SOURCE, "sw", {"copy"}),
        ("he go to school every days", "he goes to school every day", "vi", {"copy", "wrong_language", "script"}),
        (SOURCE, "تفتح library كل صباح في التاسعة وتغلق في وقت متأخر من الليل.", "ar", {"script"}),
        (SOURCE, "पुस्तकालय (library) हर सुबह नौ बजे खुलता है और रात को देर से बंद होता है।", "hi", {"script"}),
        (SOURCE, "Thư viện mở cửa every morning lúc chín giờ và đóng cửa khuya.", "vi", {"script"}),
        (SOURCE, "Maktaba hufunguliwa every asubuhi saa tatu na kufungwa usiku sana.", "sw", {"script"}),
        ("The kiosk sells notebooks to the pupils.", "Quầy này bán notebooks cho học sinh.", "vi", {"script"}),
        ("Here I learned a lesson.", "Hapa nilipata I learned somo.", "sw", {"script", "wrong_language"}),
        ("They live in a yellow bungalow near us.", "Wanaishi katika yellow bungalow karibu nasi.", "sw", {"script"}),
        (SOURCE, "تفتح المكتبة كل صباح 九点钟 وتغلق في وقت متأخر من الليل.", "ar", {"script"}),
        (SOURCE, "Библиотека открывается каждое утро в девять и закрывается поздно ночью.", "vi", {"script", "wrong_language"}),
        (SOURCE, "کتابخانه هر روز صبح ساعت نه باز می‌شود و شب دیر بسته می‌شود.", "ar", {"wrong_language"}),
        (SOURCE, "لائبریری ہر روز صبح نو بجے کھلتی ہے اور رات کو دیر سے بند ہوتی ہے۔", "ar", {"wrong_language"}),
        (SOURCE, "ग्रंथालय दररोज सकाळी नऊ वाजता उघडते आणि रात्री उशिरा बंद होते.", "hi", {"wrong_language"}),
        (SOURCE, "La bibliothèque ouvre chaque matin à neuf heures et ferme tard le soir.", "vi", {"wrong_language"}),
        (SOURCE, "Perpustakaan buka setiap pagi pukul sembilan dan tutup larut malam.", "sw", {"wrong_language"}),
        (
            SOURCE,
            "Umtapo wezincwadi uvulwa njalo ekuseni ngehora lesishiyagalolunye uvalwe ebusuku kakhulu.",
            "sw",
            {"wrong_language"},
        ),
        (
            SOURCE,
            "Maktaba hufunguliwa kila asubuhi saa tatu na kufungwa usiku sana. This is what the text says in other words.",
            "sw",
            {"wrong_language"},
        ),
        (SOURCE, "Maktaba hufunguliwa kila asubuhi saa tatu na kufungwa usiku sana.", "ar", {"script"}),
    ],
)
def test_other_languages_are_found(source: str, target: str, code: str, expected: set[str]) -> None:
    """Copies, mended copies, words left over, other scripts, close languages and English sentences are rejected."""
    assert reason(source, target, code) in expected


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("Barack Obama", "vi", ""),
        ("1. Kenya", "sw", ""),
        ("Python", "ar", ""),
        ("Docker", "hi", ""),
        ("Paris", "fr", ""),
        ("Barack Obama", "ar", "copy"),
        ("Introduction", "vi", "copy"),
        ("Table of Contents", "sw", "copy"),
        ("Steps", "fr", "copy"),
        ("Microsoft Excel", "ar", ""),
        ("Visual Studio Code", "ar", ""),
        ("Code", "ar", "copy"),
        ("Marketing", "vi", ""),
        ("New York", "vi", ""),
        ("New File", "vi", "copy"),
        ("Leonardo da Vinci", "vi", ""),
    ],
)
def test_names_alone_may_stay(text: str, code: str, expected: str) -> None:
    """A list of persons, countries or programs comes back unchanged from a good translator; a heading does not."""
    assert check(text, text, "stop", language(code)).reason == expected


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("Il faut bien le faire.", True),
        ("Das ist nicht mit uns zu machen.", True),
        ("No hay mal que por bien no venga para los demás.", True),
        ("Close the valve before you leave.", False),
        ("Ensure unique transaction names everywhere today.", False),
        ("The sign read: les fleurs du mal.", False),
    ],
)
@pytest.mark.parametrize("code", ["ar", "sw"])
def test_a_quotation_in_a_third_language_may_stay(source: str, kept: bool, code: str) -> None:
    """What is no text of the source language is right as it is; a copy of English is not, foreign words in it or none."""
    assert check(source, source, "stop", language(code)).kept == kept
