"""Pieces of texts and names of languages: what each family of translators was made with."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hala.engines.pieces import Letters, Tags, find_pieces, find_tags, iso_639_3
from hala.errors import EngineError, RecipeError
from hala.languages import LANGUAGES, language

OPUS = [">>afb<<", ">>ara<<", ">>zho_Hans<<"]
NLLB = ["eng_Latn", "arb_Arab", "hin_Deva", "vie_Latn", "swh_Latn", "fra_Latn", "zho_Hans", "zho_Hant"]
M2M = ["__en__", "__ar__", "__hi__", "__vi__", "__sw__", "__fr__"]


@pytest.mark.parametrize(
    ("vocabulary", "target", "tags"),
    [
        (OPUS, "ar", Tags((">>ara<<",))),
        (NLLB, "ar", Tags(("eng_Latn",), ("arb_Arab",))),
        (NLLB, "sw", Tags(("eng_Latn",), ("swh_Latn",))),
        (NLLB, "fr", Tags(("eng_Latn",), ("fra_Latn",))),
        (M2M, "ar", Tags(("__en__",), ("__ar__",))),
        (M2M, "fr", Tags(("__en__",), ("__fr__",))),
        (["▁the", "</s>", "<unk>"], "ar", Tags()),
    ],
)
def test_languages_are_named_as_the_family_does(vocabulary: list[str], target: str, tags: Tags) -> None:
    """OPUS-MT wants the target before the text, NLLB and M2M-100 both sides, and a model of one pair wants nothing."""
    assert find_tags(["▁word", *vocabulary, "</s>"], language("en"), language(target)) == tags


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_known_language_has_its_names(code: str) -> None:
    """The table of languages is enough for NLLB and M2M-100."""
    assert find_tags(NLLB, language(code), language(code)).prefix
    assert find_tags(M2M, language(code), language(code)).prefix


@pytest.mark.parametrize("vocabulary", [OPUS, NLLB, M2M])
def test_an_unknown_language_is_refused_with_those_that_are_known(vocabulary: list[str]) -> None:
    """A model is never asked for a language that it lacks, nor for one that it has in two scripts."""
    with pytest.raises(RecipeError, match=r"it knows .*(ara|arb_Arab|ar)"):
        find_tags(vocabulary, language("en"), language("ja"))
    with pytest.raises(RecipeError, match="zh"):
        find_tags(vocabulary, language("en"), language("zh"))


def test_codes_of_three_letters() -> None:
    """Two letters are looked up, three stay, and what is no language is empty."""
    assert [iso_639_3(code) for code in ("fr", "de", "fra", "xx", "")] == ["fra", "deu", "fra", "", ""]


@given(st.text(alphabet="abc-] ^é⟦⟧12", max_size=40))
def test_letters_cut_at_what_they_do_not_know(text: str) -> None:
    """The cut text is the text, and every stretch that is taken is made of known letters alone, even odd ones."""
    letters = Letters(["a", "b", "-", "]", "^"])
    assert "".join(letters.cut(text)) == text
    for stretch in letters.cut(text):
        known = set(stretch) <= {"a", "b", "-", "]", "^"}
        assert letters.takes(stretch) is (known and bool({"a", "b"} & set(stretch)))
        if known:
            assert letters.decode(letters.encode(stretch)) == stretch


def test_a_model_without_a_tokenizer_says_what_to_copy(tmp_path: Path) -> None:
    """Letters are their own pieces; words without a tokenizer, and a broken one, are errors that say so."""
    assert isinstance(find_pieces(tmp_path, ["<blank>", "<s>", "</s>", "a", "ب"]), Letters)
    with pytest.raises(EngineError, match=r"source\.spm"):
        find_pieces(tmp_path, ["</s>", "▁the"])
    for name in ("source.spm", "target.spm"):
        (tmp_path / name).write_bytes(b"no model")
    with pytest.raises(EngineError, match="cannot be read"):
        find_pieces(tmp_path, ["</s>", "▁the"])
