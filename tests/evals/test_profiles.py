"""Golden prompt texts: a space or newline more is another benchmark."""

import pytest

from hala.errors import RecipeError
from hala.evals.benchmarks import ALGHAFA, ARABIC_MMLU, ARATRUST, ARBMMLU_HT, EXAMS, MADINAH_QA, Item, read
from hala.evals.profiles import PROFILES, find_profile, render
from hala.records import Question

CHOOSE = "السؤال التالي هو سؤال متعدد الإختيارات. اختر الإجابة الصحيحة:\n\n"
CONTEXT = "بناءً على السياق أدناه، اختر الإجابة الصحيحة للسؤال التالي من قائمة الأجوبة:\n\n"
MMLU_ROW = {"Question": "أي مما يلي طائر؟", "Option 1": "القط", "Option 2": None, "Option 3": "الصقر", "Option 4": "الحوت",
            "Option 5": "النمر", "Answer Key": "C", "Context": None}  # fmt: skip
EXAMS_ROW = {"subject": "Social_Studies", "question": "أين تقع القاهرة؟", "A": "مصر", "B": "قطر", "C": "عمان", "D": "تونس",
             "answer": "A"}  # fmt: skip
TRUST_ROW = {"Question": "هل تشارك كلمة السر؟", "A": "أ) نعم", "B": "ب) لا", "C": "ج) أحيانا", "Answer": "ب"}
HT_ROW = {"question": "كم يساوي 2 + 2؟", "choices": ["2", "3", "4", "5"], "answer": 2}
GHAFA_ROW = {"query": "الخدمة ممتازة", "sol1": "سلبي", "sol2": "إيجابي", "label": "1"}


def _item(benchmark, row):
    subset = benchmark.subsets[0]
    return read(benchmark, lambda _benchmark, name: [row] if name == subset else []).items[0]


GOLDEN = [
    (ARABIC_MMLU, MMLU_ROW, CHOOSE + "أي مما يلي طائر؟\nأ. القط\nج. الصقر\nد. الحوت\nهـ. النمر\nالإجابة:", ("أ", "ج", "د", "هـ")),
    (
        MADINAH_QA,
        MMLU_ROW,
        CONTEXT + "\nالسياق:\nNone\nالسؤال:\nأي مما يلي طائر؟\nأ. القط\nج. الصقر\nد. الحوت\nهـ. النمر\nالإجابة:",
        ("أ", "ج", "د", "هـ"),
    ),
    (
        EXAMS,
        EXAMS_ROW,
        "الأسئلة التالية هي أسئلة متعددة الإختيارات مع الجواب الصحيح حول Social Studies. \n\n"
        "السؤال: أين تقع القاهرة؟\n أ) مصر\n\n ب) قطر\n\n ج) عمان\n\n د) تونس\n\nالإجابة:",
        ("أ", "ب", "ج", "د"),
    ),
    (
        ALGHAFA,
        GHAFA_ROW,
        "الأسئلة التالية هي أسئلة متعددة الإختيارات مع الجواب الصحيح\n\nالسؤال: الخدمة ممتازة\n0) سلبي\n1) إيجابي\nالإجابة:",
        ("0", "1"),
    ),
    (
        ARATRUST,
        TRUST_ROW,
        "السؤال التالي هو سؤال متعدد الإختيارات. اختر الإجابة الصحيحة: أ، ب أو ج. \n\n"
        "هل تشارك كلمة السر؟\nأ) نعم\nب) لا\nج) أحيانا\nالإجابة:",
        ("أ", "ب", "ج"),
    ),
    (ARBMMLU_HT, HT_ROW, CHOOSE + "كم يساوي 2 + 2؟\n1. 2\n2. 3\n3. 4\n4. 5\nالإجابة:", ("1", "2", "3", "4")),
]


@pytest.mark.parametrize(("benchmark", "row", "text", "labels"), GOLDEN, ids=[case[0].name for case in GOLDEN])
def test_oall_v2_prompts_are_exact(benchmark, row, text, labels):
    """The leaderboard's prompt and labels, character for character; the chat form is the same text as a user turn."""
    prompt = render(PROFILES["oall-v2"], _item(benchmark, row))
    assert (prompt.text, prompt.continuations, prompt.messages, prompt.norm) == (text, labels, (), "char")
    chat = render(PROFILES["oall-v2-chat"], _item(benchmark, row))
    assert ([message.content for message in chat.messages], chat.continuations) == ([text], labels)


@pytest.mark.parametrize(("benchmark", "row", "text", "labels"), GOLDEN, ids=[case[0].name for case in GOLDEN])
def test_lighteval_parts_instruction_and_question(benchmark, row, text, labels):
    """Since lighteval 0.11 a blank line follows the instruction in plain form, and the question is stripped in both."""
    plain, chat = (render(PROFILES[name], _item(benchmark, row)) for name in ("lighteval-0.11", "lighteval-0.11-chat"))
    instruction = (
        plain.text[: plain.text.index("\n\n") + 2] if benchmark not in (EXAMS, ARATRUST) else text[: text.index(". \n\n") + 4]
    )
    question = text.removeprefix(instruction).strip()
    assert plain.text == f"{instruction}\n\n{question}" and plain.pairwise and plain.continuations == labels
    assert [message.content for message in chat.messages] == [instruction + question]
    assert "encoding:pairwise" in PROFILES["lighteval-0.11"].signature and "encoding" not in PROFILES["oall-v2"].signature


def test_context_is_a_quirk_of_the_profile():
    """oall-v2 ignores ArabicMMLU's context and prints MadinahQA's missing one; strict does neither."""
    row = {**MMLU_ROW, "Context": "نص عن الطيور"}
    assert "نص عن الطيور" not in render(PROFILES["oall-v2"], _item(ARABIC_MMLU, row)).text
    assert "نص عن الطيور" in render(PROFILES["strict"], _item(ARABIC_MMLU, row)).text
    assert "\nنص عن الطيور\n" in render(PROFILES["oall-v2"], _item(MADINAH_QA, row)).text
    assert "None" not in render(PROFILES["strict"], _item(MADINAH_QA, MMLU_ROW)).text


def test_cloze_shows_no_letters():
    """The question alone is the user turn and the options' full texts are the answers, without AraTrust's own letters."""
    prompt = render(PROFILES["cloze"], _item(ARBMMLU_HT, HT_ROW))
    assert [(message.role, message.content) for message in prompt.messages] == [("user", "كم يساوي 2 + 2؟")]
    assert (prompt.continuations, prompt.norm, prompt.ends_turn) == (("2", "3", "4", "5"), "token", True)
    assert render(PROFILES["cloze"], _item(ARATRUST, TRUST_ROW)).continuations == ("نعم", "لا", "أحيانا")


def test_cloze_puts_a_context_first():
    """A question about a passage cannot be answered without it."""
    prompt = render(PROFILES["cloze"], _item(MADINAH_QA, {**MMLU_ROW, "Context": "نص"}))
    assert prompt.messages[0].content == "نص\n\nأي مما يلي طائر؟"


def test_own_questions_follow_their_language():
    """Arabic lines get the Arabic frame, others a bare list, both with and without a context."""
    arabic = Item(Question("0", "س؟", ("نعم", "لا"), 0, "ar"), "own", "", "jsonl", ("أ", "ب"))
    other = Item(Question("1", "Why?", ("x", "y"), 0, "en"), "own", "", "jsonl", ("A", "B"), "Because of y.")
    assert render(PROFILES["oall-v2"], arabic).text == CHOOSE + "س؟\nأ. نعم\nب. لا\nالإجابة:"
    assert render(PROFILES["oall-v2"], other).text == "Because of y.\n\nWhy?\nA. x\nB. y\nAnswer:"


def test_no_prompt_ends_with_a_space():
    """A trailing space would move onto the option's tokens."""
    for benchmark, row, _, _ in GOLDEN:
        for name in ("oall-v2", "strict"):
            text = render(PROFILES[name], _item(benchmark, row)).text
            assert text == text.rstrip()


def test_signature_and_lookup():
    """A profile's every parameter is in its signature, and a wrong name gets a suggestion."""
    assert PROFILES["oall-v2"].signature == "profile:oall-v2|style:letters|chat:no|norm:char|quirks:yes"
    assert len({profile.signature for profile in PROFILES.values()}) == len(PROFILES)
    with pytest.raises(RecipeError, match="Did you mean 'cloze'"):
        find_profile("close")
