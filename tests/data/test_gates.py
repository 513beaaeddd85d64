"""Every known way a translation fails is rejected with its reason, and good translations pass."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hala.data.gates import GATES, check, natural
from hala.languages import language
from hala.records import Finish

LONG = "The library opens at nine in the morning and closes late in the evening on every day of the week."
LONG_AR = "تفتح المكتبة أبوابها في التاسعة صباحا وتغلق في ساعة متأخرة من المساء في كل يوم من أيام الأسبوع."


def reason(source: str, target: str, code: str = "ar", finish: Finish = "stop") -> str:
    return check(source, target, finish, language(code)).reason


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("Open the file.", "افتح الملف."),
        (LONG, LONG_AR),
        ("Hi.", "مرحبًا."),
        ("GitHub", "GitHub"),
        ("XML and JSON", "XML وJSON"),
        ("I have two cats and 15 fish.", "لدي قطتان و١٥ سمكة."),
        ("It grew from 1,200 to 3.5 million in the 1990s.", "نما من ١٬٢٠٠ إلى ٣٫٥ مليون في التسعينيات."),
        ("They have 300,000 members.", "لديهم 300 ألف عضو."),
        ("Where is ⟦1⟧?", "أين ⟦1⟧؟"),
        ("I'm sorry, I can't help you with that.", "آسف، لا أستطيع مساعدتك في ذلك."),
        ("Sure, he said.", "بالتأكيد، قال."),
        ("- one\n- two", "- واحد\n- اثنان"),
        ("He watched Game of Thrones in Paris.", "شاهد Game of Thrones في باريس."),
        ("very very very very good", "جيد جدا جدا جدا جدا"),
        ("Twenty-five people came in 2019.", "حضر 25 شخصا في عام ٢٠١٩."),
        ("Let \\(x\\) be ⟦1⟧ and {y}.", "ليكن \\(x\\) هو ⟦1⟧ و{y}."),
    ],
)
def test_good_translations_pass(source: str, target: str) -> None:
    """Names, spelled numbers, native digits, refusals in the source and short texts are no errors."""
    assert reason(source, target) == ""


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("Open it.", "", "empty"),
        ("Open it.", " \n", "empty"),
        ("Open it.", "123", "empty"),
        ("Open the file.", "Open the file.", "copy"),
        ("Insights", "insights", "copy"),
        (LONG, "I cannot help with that request, sorry.", "refusal"),
        (LONG, "عذرًا، لا أستطيع المساعدة في هذا الطلب.", "refusal"),
        (LONG, "كنموذج لغوي، لا يمكنني ترجمة هذا النص.", "refusal"),
        (LONG, "Sure, here is the translation: " + LONG_AR, "preamble"),
        (LONG, "بالتأكيد! إليك الترجمة: " + LONG_AR, "preamble"),
        (LONG, "الترجمة: " + LONG_AR, "preamble"),
        (LONG, LONG_AR + "\n\nملاحظة: حافظت على الأسلوب.", "preamble"),
        ("Run ⟦1⟧ now.", "شغّل الآن.", "placeholders"),
        ("Run ⟦1⟧ now.", "شغّل ⟦1⟧ و⟦1⟧ الآن.", "placeholders"),
        ("Run ⟦1⟧ now.", "شغّل ⟦2⟧ الآن.", "placeholders"),
        ("Run now.", "شغّل ⟦1⟧ الآن.", "placeholders"),
        ("Run `ls` now.", "شغّل `قائمة` الآن.", "placeholders"),
        ("See https://a.org/x.", "انظر https://a.org/y.", "placeholders"),
        ("- one\n- two", "- واحد واثنان", "lines"),
        ("One line", "سطر واحد\n\nوسطر ثان", "lines"),
        ("- one item", "عنصر واحد", "lines"),
        ("One line here", "سطر واحد هنا\\n", "literal_newline"),
        ("One line here", "سطر واحد<br> هنا", "html"),
        ("One line here", "سطر واحد هنا<|im_end|>", "html"),
        ("So \\foo holds.", "إذن يصح \\fou.", "latex"),
        ("Say {that}", "قل {that}}", "latex"),
        (LONG, "这家图书馆早上九点开门，每天晚上很晚才关门。", "script"),
        (LONG, "تفتح المكتبة at nine in the morning وتغلق في المساء في كل يوم من أيام الأسبوع.", "script"),
        (LONG, "پیش از ظهر کتابخانه باز می‌شود و شب‌ها دیر وقت در همه روزهای هفته بسته می‌شود یک بار", "wrong_language"),
        (LONG, LONG_AR + " " + "في كل يوم من أيام الأسبوع " * 8, "repetition"),
        (LONG, LONG_AR + " " + LONG_AR, "repetition"),
        ("So good!", "رائع" + "ع" * 40, "repetition"),
        (LONG, "تفتح المكتبة في التاسعة.", "length_ratio"),
        ("Yes.", "نعم، وهذا أمر معروف للجميع منذ زمن بعيد جدا", "length_ratio"),
        ("It opened in 1987.", "افتتح في عام ١٩٧٨.", "numbers"),
        ("It costs 250 dollars.", "يكلف بعض الدولارات.", "numbers"),
        ("One. Two! Three? Four. Five here. Six there.", "واحد واثنان وثلاثة وأربعة وخمسة هنا وستة هناك", "sentences"),
        ("What is the capital of France?", "عاصمة فرنسا هي باريس.", "question"),
    ],
)
def test_each_failure_has_its_reason(source: str, target: str, expected: str) -> None:
    """The catalogue of failures: each is caught, by the gate that names it."""
    assert reason(source, target) == expected


def test_cut_off_answers() -> None:
    """A text that hit the token limit is never accepted, however good it looks."""
    assert reason(LONG, LONG_AR, finish="length") == "truncated"


@pytest.mark.parametrize(
    ("target", "code", "expected"),
    [
        ("Thư viện mở cửa lúc chín giờ sáng và đóng cửa muộn vào buổi tối mỗi ngày trong tuần.", "vi", ""),
        ("Maktaba hufunguliwa saa tatu asubuhi na kufungwa jioni sana katika kila siku ya wiki nzima.", "sw", ""),
        ("पुस्तकालय सुबह नौ बजे खुलता है और सप्ताह के हर दिन शाम को देर से बंद होता है।", "hi", ""),
        (LONG, "vi", "copy"),
        (
            "La biblioteca abre a las nueve de la manana y cierra tarde por la noche todos los dias de la semana.",
            "vi",
            "wrong_language",
        ),
        (
            "That place is open from the early hours until it is dark and that is how it goes for us all here.",
            "sw",
            "wrong_language",
        ),
        (
            "Tôi là một mô hình ngôn ngữ nên không thể dịch đoạn văn này cho bạn được, mong bạn thông cảm cho tôi.",
            "vi",
            "refusal",
        ),
    ],
)
def test_other_languages(target: str, code: str, expected: str) -> None:
    """Languages in Latin and Devanagari script have working gates too."""
    assert reason(LONG, target, code) == expected


def test_generic_language_checks_what_it_can() -> None:
    """An unknown target language still gets every check that needs no knowledge of it."""
    assert (
        reason(LONG, "Ithala leencwadi livula ngentsimbi yethoba kusasa livale ebusuku kakhulu yonke imihla yeveki.", "xh") == ""
    )
    assert reason(LONG, LONG, "xh") == "copy"


def test_code_is_not_judged_as_language() -> None:
    """A document of code with a translated sentence passes: code does not count as untranslated text."""
    code = "\n```\nfor each in range(10):\n    print(each, 'some english words in here')\n```\n"
    assert reason("Print the numbers." + code, "اطبع الأعداد." + code) == ""
    assert "print" not in natural("Print `print(x)` the numbers." + code)


def test_chosen_gates_only() -> None:
    """A caller's own choice of gates is what runs."""
    assert check("Open it.", "Open it.", "stop", language("ar"), {"empty": GATES["empty"]}).kept


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80), st.text(max_size=80), st.sampled_from(["ar", "vi", "hi", "xx"]))
def test_gates_never_fail(source: str, target: str, code: str) -> None:
    """Whatever the texts hold, there is a verdict, and a rejection names a gate."""
    verdict = check(source, target, "stop", language(code))
    assert verdict.kept or verdict.reason in GATES
