"""The ctranslate engine: it says what transformers says, in any batch, and every request gets its answer."""

from __future__ import annotations

import difflib
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hala.data.masks import mask
from hala.engines import ctranslate
from hala.engines.ctranslate import SENTINEL, CTranslateEngine
from hala.errors import EngineError, RecipeError
from hala.languages import language
from hala.recipe import EngineSettings, Languages
from hala.records import Completion, Message, Request, Sampling
from hala.verbs import open_engine
from hala.weights.ctranslate import prepare

from .tiny_translators import ENGLISH, FAMILIES, make_marian

pytest.importorskip("ctranslate2")
EN_AR = (language("en"), language("ar"))
SHARED = os.environ.get("HALA_SHARED_DATA", "")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints of each family, one that never ends an answer, and one that has sentinels in its vocabulary."""
    root = tmp_path_factory.mktemp("translators")
    for name, make in FAMILIES.items():
        make(root / name)
    make_marian(root / "endless")
    make_marian(root / "sentinels", sentinels=True)
    return {folder.name: folder for folder in root.iterdir()}


def open_tiny(folder: Path, compute_type: str = "float32", **settings: Any) -> CTranslateEngine:
    """An engine for a tiny checkpoint, converted on the spot."""
    return CTranslateEngine(prepare(folder, None, compute_type), languages=EN_AR, compute_type=compute_type, **settings)


def ask(*texts: str, **overrides: Any) -> list[Request]:
    """A request for each text."""
    return [Request(f"r{number}", (Message("user", text),), **overrides) for number, text in enumerate(texts)]


def answers(engine: CTranslateEngine, requests: list[Request], sampling: Sampling | None = None) -> dict[str, Completion]:
    """Completions by id, each exactly once."""
    found = list(engine.complete(iter(requests), sampling or Sampling(max_tokens=20)))
    assert len(found) == len(requests)
    return {completion.id: completion for completion in found}


def make_texts(count: int) -> list[str]:
    """Sentences of one to twelve known words."""
    rng, words = random.Random(3), " ".join(ENGLISH).split()
    return [" ".join(rng.choices(words, k=rng.randint(1, 12))) for _ in range(count)]


def written_by_transformers(folder: Path, family: str, text: str, limit: int) -> tuple[str, list[float]]:
    """Greedy text of transformers' own model and tokenizer, and the log-probability of each of its tokens."""
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    forced = None
    if family != "marian":
        tokenizer.src_lang = "en" if family == "m2m" else "eng_Latn"
        forced = tokenizer.convert_tokens_to_ids("__ar__" if family == "m2m" else "arb_Arab")
    inputs = tokenizer(">>ara<< " * (family == "marian") + text, return_tensors="pt")
    banned = [tokenizer.unk_token_id] + [tokenizer.pad_token_id] * (family == "marian")
    options = {"suppress_tokens": banned, "do_sample": False, "num_beams": 1, "max_new_tokens": limit + (forced is not None)}
    output = model.generate(
        **inputs, **options, forced_bos_token_id=forced, return_dict_in_generate=True, output_logits=True, renormalize_logits=True
    )
    ids = output.sequences[0, 1:].tolist()
    logprobs = [scores[0].log_softmax(-1)[token].item() for scores, token in zip(output.logits, ids, strict=True)]
    skip = int(forced is not None)
    return tokenizer.decode(ids[skip:], skip_special_tokens=True), logprobs[skip:]


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_answers_are_those_of_transformers(folders: dict[str, Path], family: str) -> None:
    """Conversion, pieces, the tokens of languages and the end of a text are what each family was made with."""
    engine, texts = open_tiny(folders[family]), make_texts(5)
    found = answers(engine, ask(*texts), Sampling(max_tokens=15))
    for number, text in enumerate(texts):
        assert found[f"r{number}"].text.split() == written_by_transformers(folders[family], family, text, 15)[0].split()
    assert len({completion.text for completion in found.values()}) > 2


def test_confidence_is_the_mean_probability_of_the_tokens(folders: dict[str, Path]) -> None:
    """Confidence equals the geometric mean of transformers' own probabilities, the end included, and is absent unless asked."""
    engine, texts = open_tiny(folders["marian"]), make_texts(8)
    found = answers(engine, ask(*texts), Sampling(max_tokens=30, confidence=True))
    ended = [number for number in range(len(texts)) if found[f"r{number}"].finish == "stop"]
    for number in ended:
        _, logprobs = written_by_transformers(folders["marian"], "marian", texts[number], 30)
        assert found[f"r{number}"].confidence == pytest.approx(torch.tensor(logprobs).mean().exp().item(), rel=1e-3)
    assert ended
    assert all(each.confidence is None for each in answers(engine, ask(*texts)).values())


@pytest.mark.parametrize("compute_type", ["int8", "float32"])
def test_answers_do_not_depend_on_batches(folders: dict[str, Path], compute_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All together, each alone, in another order and by two workers: the same text, tokens and finish."""
    requests = ask(*make_texts(40))
    together = answers(open_tiny(folders["marian"], compute_type), requests)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    engine = open_tiny(folders["marian"], compute_type, batch_tokens=1, window=7)
    assert engine.workers == 2
    assert answers(engine, requests[::-1]) == together
    assert len({completion.text for completion in together.values()}) > 5


def test_the_own_limit_cuts_and_says_so(folders: dict[str, Path]) -> None:
    """A request's own max_tokens holds whatever its batch allows; what stays below is finished by its end."""
    engine, (text,) = open_tiny(folders["marian"]), make_texts(1)
    whole = answers(engine, ask(text), Sampling(max_tokens=60))["r0"]
    assert whole.finish == "stop" and whole.tokens > 2
    requests = [replace(ask(text)[0], id=str(limit), max_tokens=limit) for limit in (1, whole.tokens, whole.tokens + 1)]
    found = answers(engine, requests)
    assert (found["1"].finish, found["1"].tokens) == ("length", 1)
    assert found[str(whole.tokens)].finish == "length"  # whether an end would have come is not known
    assert found[str(whole.tokens + 1)] == replace(whole, id=str(whole.tokens + 1))


def test_a_looping_answer_ends_early(folders: dict[str, Path]) -> None:
    """A translation many times as long as its source is cut long before the limit, and never called finished."""
    engine = open_tiny(folders["endless"])
    (found,) = engine.complete(ask("cat"), Sampling(max_tokens=60))
    assert (found.finish, found.tokens) == ("length", 32 + 4 * len(engine.pieces.encode("cat")))
    assert found.tokens < 60


def test_a_temperature_draws_by_seed_and_request_alone(folders: dict[str, Path]) -> None:
    """Tries again are other translations, the same in every batch, and leave greedy neighbours as they are."""
    engine, texts = open_tiny(folders["marian"]), make_texts(12)
    plain, drawn = ask(*texts), ask(*texts, temperature=2.0, seed=1)
    greedy, first = answers(engine, plain), answers(engine, drawn)
    assert sum(first[each.id].text != greedy[each.id].text for each in plain) > 3
    mixed = [each if number % 2 else drawn[number] for number, each in enumerate(plain)]
    alone = open_tiny(folders["marian"], batch_tokens=1)
    expected = {each.id: (greedy if number % 2 else first)[each.id] for number, each in enumerate(plain)}
    assert answers(alone, mixed[::-1]) == expected
    assert answers(engine, ask(*texts, temperature=2.0, seed=2)) != first


def test_drawing_follows_temperature_and_nucleus() -> None:
    """The n best are drawn with their probabilities to the power of one over the temperature, and the unlikely ones never."""

    def shares(sampling: Sampling) -> list[float]:
        drawn = []
        for number in range(4000):
            draft = ctranslate.Draft(Request(str(number), ()), sampling, False)
            drawn.append(ctranslate.draw([-1.0, -2.0, -3.0], ctranslate.Piece(draft, 0, [], 9)))
        return [drawn.count(place) / len(drawn) for place in range(3)]

    weights = torch.tensor([-1.0, -2.0, -3.0]).div(0.8).softmax(0).tolist()
    assert shares(Sampling(temperature=0.8)) == pytest.approx(weights, abs=0.03)
    assert shares(Sampling(temperature=0.8, top_p=0.9))[2] == 0.0
    assert shares(Sampling(temperature=0.8, min_p=0.2))[2] == 0.0
    assert shares(Sampling(temperature=0.01))[0] == 1.0


def test_sentinels_that_the_vocabulary_lacks_are_translated_around(folders: dict[str, Path]) -> None:
    """Stretches between sentinels are translated as texts of their own; sentinels, and the space beside them, stand as before."""
    engine = open_tiny(folders["marian"])
    assert not engine.keeps_sentinels
    found = answers(engine, ask("The cat ⟦1⟧ is in  ⟦2⟧.", "The cat", "is in"))
    assert found["r0"].text == f"{found['r1'].text} ⟦1⟧ {found['r2'].text}  ⟦2⟧."
    assert found["r0"].tokens == found["r1"].tokens + found["r2"].tokens


def test_lost_sentinels_are_translated_around(folders: dict[str, Path]) -> None:
    """A vocabulary that has sentinels is trusted first; where an answer lost one, its text is cut there, and all come back."""
    engine = open_tiny(folders["sentinels"])
    assert engine.keeps_sentinels
    asked: list[str] = []
    encode = engine.pieces.encode
    engine.pieces.encode = lambda text: asked.append(text) or encode(text)  # type: ignore[method-assign, func-returns-value]
    text = "See ⟦1⟧ and ⟦2⟧"
    assert SENTINEL.findall(answers(engine, ask(text))["r0"].text) == ["⟦1⟧", "⟦2⟧"]
    assert asked == [text, "See", "and"]


def test_the_engine_knows_the_sentinels_of_masks() -> None:
    """What masking puts into a segment is what the engine leaves alone."""
    masked = mask("Run `ls` in {folder} " * 12)
    assert len(SENTINEL.findall(masked.text)) == len(masked.spans) == 24


def test_sentences_are_translated_alone(folders: dict[str, Path]) -> None:
    """A text of several sentences is the translations of its sentences with the space between them."""
    first, second = ENGLISH[:2]
    cut: Callable[[str], list[str]] = lambda text: [f"{first}  ", second] if second in text[1:] else [text]  # noqa: E731
    found = answers(open_tiny(folders["marian"], split=cut), ask(f"{first}  {second}", first, second))
    assert found["r0"].text == f"{found['r1'].text}  {found['r2'].text}"


def test_requests_that_cannot_be_answered_are_errors(folders: dict[str, Path]) -> None:
    """An empty, broken or too long text, a chat, and a limit of nothing fail alone with their reason; digits stay digits."""
    chat = Request("chat", (Message("user", "a"), Message("assistant", "b"), Message("user", "c")))
    texts = {"empty": " \n", "half": "cat \ud800", "long": "cat " * 200, "good": "cat", "digits": "12 + 30"}
    requests = [chat, Request("none", ()), replace(ask("cat")[0], id="zero", max_tokens=0)]
    requests += [replace(ask(text)[0], id=name) for name, text in texts.items()]
    found = answers(open_tiny(folders["marian"]), requests)
    reasons = {name: each.error for name, each in found.items() if each.finish == "error"}
    assert set(reasons) == {"chat", "none", "zero", "empty", "half", "long"} and all(reasons.values())
    assert "one message" in reasons["chat"] and "64" in reasons["long"]
    assert found["good"].text
    assert (found["digits"].text, found["digits"].finish, found["digits"].tokens) == ("12 + 30", "stop", 0)


class Tight:
    """A translator that runs out of memory with more than three rows, and breaks on one text."""

    def __init__(self, inner: Any, bad: str) -> None:
        self.inner, self.bad, self.sizes = inner, bad, list[int]()

    def translate_batch(self, source: list[list[str]], **options: Any) -> Any:
        self.sizes.append(len(source))
        if len(source) > 3 or any(self.bad in tokens for tokens in source):
            error = "out of memory" if len(source) > 3 else "no such row"
            return [Broken(error)] * len(source)
        return self.inner.translate_batch(source, **options)


class Broken:
    """What failed."""

    def __init__(self, error: str) -> None:
        self.error = error

    def result(self) -> Any:
        raise RuntimeError(self.error)


def test_failed_batches_are_halved(folders: dict[str, Path]) -> None:
    """Short memory makes batches smaller for good, a row that breaks its batch fails alone, and nobody else notices."""
    texts = [*make_texts(20), "z"]
    engine = open_tiny(folders["marian"])
    expected = answers(engine, ask(*texts))
    engine.translator = tight = Tight(engine.translator, "z")
    found = answers(engine, ask(*texts))
    assert found["r20"].finish == "error" and "no such row" in found["r20"].error
    assert {name: each for name, each in found.items() if name != "r20"} == {n: e for n, e in expected.items() if n != "r20"}
    assert engine.most_rows <= 3
    tight.sizes.clear()
    answers(engine, ask(*texts[:20]))
    assert max(tight.sizes) <= 3


def test_windows_are_pulled_lazily(folders: dict[str, Path]) -> None:
    """No more than one window of requests is pulled before the first answer."""
    pulled: list[str] = []

    def source() -> Any:
        for request in ask(*make_texts(30)):
            pulled.append(request.id)
            yield request

    next(open_tiny(folders["marian"], window=8).complete(source(), Sampling(max_tokens=2)))
    assert len(pulled) == 8


def test_a_recipe_opens_it_for_translations_only(folders: dict[str, Path]) -> None:
    """`engine: ctranslate` with languages translates sentence by sentence; a judge cannot be one, and errors name the package."""
    settings = EngineSettings(engine="ctranslate", compute_type="float32", beam_size=2)
    engine = open_engine(settings, str(folders["marian"]), languages=Languages())
    found = answers(engine, ask(" ".join(ENGLISH[:3])))["r0"]  # type: ignore[arg-type]
    alone = answers(open_tiny(folders["marian"], beam_size=2), ask(*ENGLISH[:3]))
    assert found.text == " ".join(each.text for _, each in sorted(alone.items()))
    with pytest.raises(RecipeError, match="only translates"):
        open_engine(settings, str(folders["marian"]))
    with pytest.raises(RecipeError, match=r"does not know Hindi.*ara, fra"):
        open_engine(settings, str(folders["marian"]), languages=Languages(target="hi"))


def test_a_missing_package_and_a_wrong_arithmetic_say_what_to_do(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ctranslate2, and with numbers that the machine does not know, the error names the way out."""
    with pytest.raises(EngineError, match="float32"):
        CTranslateEngine(prepare(folders["marian"], None, "float32"), languages=EN_AR, compute_type="float3")
    monkeypatch.setitem(__import__("sys").modules, "ctranslate2", None)
    with pytest.raises(EngineError, match=r"hala\[ctranslate\]"):
        open_tiny(folders["marian"])


@pytest.mark.skipif(not SHARED, reason="HALA_SHARED_DATA names no folder of data sets")
@pytest.mark.parametrize("compute_type", ["int8", "float32"])
@pytest.mark.parametrize("name", ["aren-transliteration", "aren-transliteration-i8"])
def test_a_trained_model_translates(name: str, compute_type: str) -> None:
    """A real model, stored as floats or as bytes, writes Arabic names in Latin letters much as people do."""
    names = {
        "فاطمة": "fatima", "كريم": "karim", "سمير": "samir", "نادية": "nadia", "خالد": "khalid", "سارة": "sara", "ليلى": "layla",
        "بيروت": "beirut", "سوريا": "soria", "باريس": "paris", "لندن": "london", "تونس": "tunis",
    }  # fmt: skip
    model = prepare(Path(SHARED) / "aren_transliteration" / name)
    engine = CTranslateEngine(model, languages=EN_AR[::-1], compute_type=compute_type)
    found = answers(engine, ask(*names), Sampling(confidence=True))
    alike = [
        difflib.SequenceMatcher(None, found[f"r{number}"].text, latin).ratio() for number, latin in enumerate(names.values())
    ]
    assert sum(alike) / len(alike) > 0.75
    assert all(each.finish == "stop" and 0.3 < (each.confidence or 0) <= 1 for each in found.values())
    text = answers(engine, ask("مدينة بيروت ⟦1⟧ (Beirut) 12"))["r0"].text
    assert text.endswith(" ⟦1⟧ (Beirut) 12") and text.split()[1] == found["r7"].text
