"""Numbers, units, dates, lengths, ends and loops, in all four languages."""

from __future__ import annotations

import pytest

from hala.data.gates import check
from hala.languages import language


def reason(source: str, target: str, code: str = "ar") -> str:
    return check(source, target, "stop", language(code)).reason


@pytest.mark.parametrize(
    ("source", "target", "code"),
    [
        ("It weighs 12 kg and costs $45.", "يزن 12 كيلوغراما وسعره 45 دولارا.", "ar"),
        ("The town is 3 km away.", "शहर तीन किलोमीटर दूर है।", "hi"),
        ("The shop opens at 8 a.m. on Monday.", "Duka linafunguliwa saa 2 asubuhi siku ya Jumatatu.", "sw"),
        ("The talk is on air from 9:30 to 10:00.", "Mazungumzo yako hewani kutoka 3:30 hadi 4:00.", "sw"),
        ("The book is about World War 2.", "Cuốn sách nói về Thế chiến II.", "vi"),
        ("It was seven in the evening.", "Ilikuwa saa 1 jioni.", "sw"),
        ("He was born on 4 October 1987.", "Ông sinh ngày 4 tháng 10 năm 1987.", "vi"),
        ("He was born on 4 October 1987.", "ولد في ٤ تشرين الأول ١٩٨٧.", "ar"),
        ("About 2.5 million people live there.", "वहाँ लगभग 25 लाख लोग रहते हैं।", "hi"),
        ("In the 1990s it was a village.", "في التسعينيات كانت قرية.", "ar"),
        ("The temperature fell to -5 °C.", "Nhiệt độ giảm xuống -5 độ C.", "vi"),
        ("Half of the 20 students passed.", "نجح نصف الطلاب العشرين.", "ar"),
        ("no no no no no", "لا لا لا لا لا", "ar"),
        ("He laughed hahahahaha and fell silent.", "ضحك ها ها ها ها ها ثم سكت.", "ar"),
        ("Add 3/4 cup of sugar and 1/2 of the salt.", "أضف ثلاثة أرباع كوب من السكر ونصف الملح.", "ar"),
        ("Pour 1/2 cup of milk.", "Mimina nusu kikombe cha maziwa.", "sw"),
        ("Pour 1/2 cup of milk.", "Đổ nửa cốc sữa.", "vi"),
        ("Pour 3/4 cup of milk.", "तीन चौथाई कप दूध डालें।", "hi"),
        ("They pay on June 8.", "يدفعون في 8 حزيران/يونيو.", "ar"),
        ("On June 25, April pays the rest.", "في 25 يونيو تدفع فوزية الباقي.", "ar"),
        ("The shop closes from November 29 to December 12.", "يغلق المتجر من 29/11 إلى 12/12.", "ar"),
        ("He waited 5 seconds, then 2 minutes.", "انتظر 5 ثوان ثم 2 دقيقة.", "ar"),
        ("The town is 30 km (19 miles) away.", "Mji uko umbali wa kilomita 30 (maili 19).", "sw"),
    ],
)
def test_the_same_content_passes(source: str, target: str, code: str) -> None:
    """Native digits, number words, other clocks, other scales and other names of months are no changes."""
    assert reason(source, target, code) == ""


@pytest.mark.parametrize(
    ("source", "target", "code", "expected"),
    [
        ("It weighs 12 kg.", "وزنه 15 كيلوغراما.", "ar", "numbers"),
        ("Read the next 3 pages.", "अगले पाँच पृष्ठ पढ़ें।", "hi", "numbers"),
        ("It opened in 2014.", "Nó mở cửa vào năm 2041.", "vi", "numbers"),
        ("It opened in 2014.", "افتتح في عام 20١٤.", "ar", "numbers"),
        ("He bought 7 chairs.", "Alinunua viti vingi.", "sw", "numbers"),
        ("He bought 7 chairs.", "Alinunua viti 1.", "sw", "numbers"),
        ("The town is 30 km away.", "المدينة على بعد 30 ميلا.", "ar", "units"),
        ("It costs 15 dollars.", "इसकी कीमत 15 यूरो है।", "hi", "units"),
        ("Prices rose by 8%.", "Bei zilipanda kwa 8.", "sw", "units"),
        ("She came back in March last year.", "Cô ấy trở về vào tháng Năm năm ngoái.", "vi", "dates"),
        ("We will meet on Tuesday.", "سنلتقي يوم الخميس.", "ar", "dates"),
        ("They pay on July 8.", "يدفعون في 8 أغسطس/يوليو.", "ar", "dates"),
        ("It rains on Tuesday and all of Wednesday.", "Mvua itanyesha Jumatano na Jumatano yote.", "sw", "dates"),
        ("The shop closes from November 29 to December 12.", "يغلق المتجر من 29 ديسمبر إلى 12 ديسمبر.", "ar", "dates"),
        ("He waited 5 seconds, then 120 seconds.", "انتظر 5 ثوان ثم 120 دقيقة.", "ar", "units"),
        ("The ship sank in 30 meters of water.", "غرقت السفينة على عمق 30 كيلومترا.", "ar", "units"),
        ("The fund spent $2 billion this month.", "Mfuko ulitumia dola trilioni 2 mwezi huu.", "sw", "units"),
        ("He ate the bread and went home.", "أكل الخبز وعاد إلى البيت البيت البيت البيت البيت البيت البيت", "ar", "repetition"),
        ("The capital is Cairo.", "العاصمة هي هي هي هي هي هي القاهرة.", "ar", "repetition"),
        ("Add 3/4 cup of sugar.", "أضف ثلث كوب من السكر.", "ar", "numbers"),
        ("Add 3/4 cup of sugar.", "أضف ربع كوب من السكر.", "ar", "numbers"),
        ("Add 3/4 cup of milk.", "أضف أربعة أكواب من الحليب.", "ar", "numbers"),
        ("That is so good!", "Hiyo ni nzuriiiiiiiiiiiiiiiiiiiiiiiiii!", "sw", "repetition"),
    ],
)
def test_changed_content_is_named(source: str, target: str, code: str, expected: str) -> None:
    """Numbers, digits of two scripts, units, months, weekdays and loops each have their gate."""
    assert reason(source, target, code) == expected


def test_a_sentence_has_its_end() -> None:
    """A translation that stops in the middle of a sentence is rejected; a missing full stop alone is not."""
    source = "The farmer sold two of his old horses at the market and bought a small boat with the money."
    whole = "باع المزارع اثنين من خيوله القديمة في السوق واشترى بالمال قاربا صغيرا"
    assert reason(source, whole) == ""
    assert reason(source, "باع المزارع اثنين من خيوله القديمة في السوق") in {"sentences", "omitted"}


@pytest.mark.parametrize(("target", "expected"), [("घर", ""), ("घ" + "र " * 40, "length_ratio"), ("पुराना घर", "")])
def test_length(target: str, expected: str) -> None:
    """Short texts may shrink and grow much, but not without end."""
    assert reason("A house", target, "hi") in {expected, "repetition"} if expected else reason("A house", target, "hi") == ""


def test_the_first_unit_that_changed_is_named() -> None:
    """Of several changed units the first in the source is reported, in every process alike."""
    verdict = check("It costs 35 EUR or 43 USD.", "يكلف 35 جنيها إسترلينيا أو 43 جنيها إسترلينيا.", "stop", language("ar"))
    assert verdict.detail == "money euro became money sterling"
