"""Probes as files: what ships is sound, what is wrong is named, and a switch of script is a switch."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala.errors import InputError, RecipeError
from hala.evals.checks import met
from hala.evals.probes import find_probes, foreign_words, read_probes, tail_loop
from hala.languages import language, script_letters, script_share

AR = language("ar")
GOOD = {
    "rain": "تسخّن الشمس ماء البحر فيصعد بخارًا. يبرد البخار في الأعلى فيصير قطرات صغيرة. وحين تكبر القطرات تسقط مطرًا.",
    "plants": "يأخذ النبات الماء من التربة والهواء من الجو. وبفضل الكلوروفيل في أوراقه يصنع السكر من ضوء الشمس.",
    "git": "يحفظ الأمر git commit حالة ملفاتك في تاريخ المشروع. ومعه رسالة قصيرة تقول ماذا تغيّر.",
    "dna": "هو حمض في نواة كل خلية يحمل صفات الكائن الحي، وينتقل من الآباء إلى الأبناء.",
    "fruit": "- بطيخ\n- عنب\n- تين\n- خوخ\n- مشمش",
    "sleep": "1. نم في موعد ثابت.\n2. أطفئ الهاتف.\n3. قلّل القهوة.\n4. أظلم الغرفة.",
    "nile": "القاهرة\nالخرطوم\nأسوان",
    "japan": "طوكيو",
    "leap-year": "٣٦٦",
    "office": "في رأيي العمل من البيت أهدأ، لكن المكتب يقرّب الزملاء.",
    "coffee": "انتقلت القهوة من اليمن إلى مدن العرب ثم إلى أوروبا. وصارت بيوتها مكانًا يلتقي فيه الناس.",
    "desalination": "تحلية البحر تسد نقص المياه، لكنها تستهلك طاقة وتضر البحر، فيبحث المهندسون عن طرق أفضل.",
    "formal": "السيد أحمد، أرجو ألا تنسى إحضار الأوراق غدًا، فالمدير في حاجة إليها.",
    "museum": "متى يفتح المتحف أبوابه؟",
    "library": "The library closed its doors an hour ago.",
    "python": "قراءة Python سهلة، وتعلّمها سهل.",
    "complaint": "إلى شركة الاتصالات،\nانقطع الإنترنت ثلاثة أيام، فأرجو إصلاحه سريعًا.\n\nمع خالص التحية",
    "leave": "السيد المدير، أرجو الموافقة على إجازة ليومي الأحد والاثنين لظرف عائلي. شكرًا لكم.",
    "invitation": "يسرّنا أن ندعوكم إلى افتتاح مكتبة الحي يوم السبت، والدخول مجانًا للجميع.",
    "student": '{"name": "ليلى", "age": 20, "city": "عمّان"}',
    "sea": "يمتد البحر حتى الأفق. تلمع أمواجه تحت الشمس. وفي المساء يهدأ كأنه نائم.",
    "slogan": "حيّنا نظيف بأيدينا\nارمِها في مكانها",
    "espresso": "تُغلى القهوة التركية مع مسحوقها في الإناء. أما الإسبريسو فيُضغط الماء الساخن عبر البن.",
}


def test_the_arabic_set_is_sound() -> None:
    """Forty prompts, about half with one or two things to check, all of them prompts in Arabic letters."""
    found = find_probes("ar")
    assert found.lang == "ar" and len(found.probes) == 40 and len(found.digest) == 64
    checked = [probe for probe in found.probes if probe.checks]
    assert 18 <= len(checked) <= 24 and all(len(probe.checks) <= 2 for probe in checked)
    assert all(script_letters(probe.prompt, "Arabic") > 10 for probe in found.probes)


@pytest.mark.parametrize(("name", "answer"), GOOD.items())
def test_the_checks_can_be_met(name: str, answer: str) -> None:
    """An answer that a careful person would give meets all that is checked."""
    probe = next(each for each in find_probes("ar").probes if each.id == name)
    assert {kind: met(kind, wanted, answer, language(probe.lang)) for kind, wanted in probe.checks} == dict.fromkeys(
        [kind for kind, _ in probe.checks], True
    )


@pytest.mark.parametrize("answer", ["لا أعرف.", "نعم", "ذهب الولد إلى السوق."])
def test_an_answer_to_nothing_meets_little(answer: str) -> None:
    """The same short answer to every prompt meets less than a quarter of the instructions."""
    checks = [(probe, *check) for probe in find_probes("ar").probes for check in probe.checks]
    assert sum(met(kind, wanted, answer, language(probe.lang)) for probe, kind, wanted in checks) < len(checks) / 4


def test_every_checked_probe_has_a_good_answer() -> None:
    """No check ships that nobody has tried to meet."""
    assert {probe.id for probe in find_probes("ar").probes if probe.checks} == GOOD.keys()


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    """Another language needs a file and nothing else; ids are numbers where none is given, and spaces around a prompt go."""
    path = tmp_path / "mine.toml"
    lines = ['lang = "sw"', "[[probe]]", 'prompt = """', "Eleza mvua.", '"""']
    lines += ["[[probe]]", 'id = "b"', 'prompt = "Taja miji."', "checks = {items = [2, 3]}"]
    path.write_text("\n".join(lines), encoding="utf-8")
    found = find_probes(str(path))
    assert (found.name, found.lang) == ("mine", "sw")
    assert [(probe.id, probe.prompt, probe.checks) for probe in found.probes] == [
        ("1", "Eleza mvua.", ()),
        ("b", "Taja miji.", (("items", (2, 3)),)),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lang = ", "cannot be read"),
        ('[[probe]]\nprompt = "x"', "does not say its language"),
        ('lang = "ar"', "holds no probes"),
        ('lang = "ar"\nprobes = []', "unknown key 'probes'.*'probe'"),
        ('lang = "ar"\n[[probe]]\nid = "a"', "probe a has no prompt"),
        ('lang = "ar"\n[[probe]]\nid = 3\nprompt = "x"', "id = 3 is no text"),
        ('lang = "ar"\n[[probe]]\npromt = "x"', "unknown key 'promt'. Did you mean 'prompt'"),
        ('lang = "ar"\n[[probe]]\nprompt = "x"\nchecks = ["json"]', "is no table"),
        (
            'lang = "ar"\n[[probe]]\nprompt = "x"\nchecks = {sentence = [1, 2]}',
            "unknown check 'sentence'. Did you mean 'sentences'",
        ),
        ('lang = "ar"\n[[probe]]\nprompt = "x"\nchecks = {words = 3}', "words = 3 is not two whole numbers"),
        ('lang = "ar"\n[[probe]]\nid = "a"\nprompt = "x"\n[[probe]]\nid = "a"\nprompt = "y"', "two probes are called 'a'"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    """Every error says which file and probe, and what is wrong there."""
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said) as caught:
        read_probes(path)
    assert "mine.toml" in caught.value.message and caught.value.fix


def test_unknown_names() -> None:
    """A name that does not ship gets the list of those that do; a missing file is said to be missing."""
    with pytest.raises(RecipeError, match=r"unknown probes 'arr'\. Did you mean 'ar'"):
        find_probes("arr")
    with pytest.raises(InputError, match="cannot be read"):
        find_probes("nowhere.toml")


@pytest.mark.parametrize(
    ("text", "prompt", "found"),
    [
        ("هذا نظام جديد", "", []),
        ("هذا system جديد", "", ["system"]),
        ("هذا system جديد", "ما معنى System؟", []),
        ("يستعمل JSON و iPhone والنقطة A والزاوية π", "", []),
        ("السماء 蓝色 اليوم", "", ["蓝色"]),
        ("السماء 蓝 اليوم", "", ["蓝"]),
        ("كلمة mixедня", "", ["mixедня"]),
        ("2024 😀 !!!", "", []),
        ("The hall هنا", "ترجم: The hall", ["The", "hall"]),
    ],
)
def test_foreign_words(text: str, prompt: str, found: list[str]) -> None:
    """Words of another script count, but not those of the prompt, acronyms, product names or single letters of formulas."""
    assert foreign_words(text, prompt, AR) == found


def test_foreign_words_in_a_latin_language() -> None:
    """For a language in Latin script, others are foreign; of an unknown script nothing can be said."""
    assert foreign_words("The sky السماء is blue", "", language("en")) == ["السماء"]
    assert foreign_words("anything السماء", "", language("xx")) == []
    assert script_share("", AR) == 1.0  # why an empty answer is looked at by itself


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("لشبونة" + "عل" * 30, "عل"),
        ("كان يا ما كان. " + "ذهب الولد إلى السوق. " * 3, "ذهب الولد إلى السوق."),
        ("هههههه", ""),
        ("ذهب الولد. ذهب الولد. وعاد.", ""),
        ("واحد\n" + "-" * 60, ""),
        ("", ""),
    ],
)
def test_an_answer_that_ends_in_a_loop(text: str, piece: str) -> None:
    """Three copies at the end are a loop, also within words; a ruler, a laugh or a phrase said twice is none."""
    found = tail_loop(text)
    assert bool(found) == bool(piece) and set(found) <= set(piece) and len(found) <= max(len(piece), 1)


@given(st.text(min_size=1, max_size=40).filter(lambda text: any(map(str.isalpha, text))), st.integers(12, 20))
def test_any_piece_said_often_enough_is_a_loop(piece: str, times: int) -> None:
    """Whatever is repeated, a dozen times at the end is found."""
    assert tail_loop("x " + (piece.strip() + " ") * times)
