"""The release folder: what is in it, what the card says, which licence binds it, and what stops it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from hala import artifacts, recipe, shards
from hala.artifacts import Manifest
from hala.errors import InputError
from hala.progress import Progress
from hala.records import KEPT, Message, Row, rejected
from hala.verbs import Context, Outcome
from hala.verbs.card import front_matter
from hala.verbs.licences import CLASSES, UNKNOWN, classify, hub_fields, strictest
from hala.verbs.lineage import card_licence, trace
from hala.verbs.release import run

NAMES = [
    "CC0-1.0",
    "mit",
    "Apache 2.0",
    "bsd-3-clause",
    "cc-by-4.0",
    "CC BY-SA 4.0",
    "gpl-3.0",
    "lfm1.0",
    "cc-by-nc-4.0",
    "",
    "my own",
]
LICENCES = st.sampled_from(NAMES).map(classify)


def checkpoint(folder: Path, about: dict[str, Any] | None = None, metadata: dict[str, str] | None = None) -> None:
    """A tiny checkpoint: one tensor, a config, a tokenizer file, and what hala says about it."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file({"lm_head.weight": torch.zeros(4, 3)}, folder / "model.safetensors", metadata=metadata or {"format": "pt"})
    (folder / "config.json").write_text('{"model_type": "lfm2", "hidden_size": 4}')
    (folder / "tokenizer.json").write_text("{}")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "hala.json").write_text(json.dumps(about or {"task": "chat"}))


def finish(root: Path, name: str, verb: str, **parts: Any) -> None:
    """A finished step of the run."""
    kind = parts.pop("kind", "checkpoint")
    fields = {"config": {}, "inputs": {}, **parts}
    manifest = Manifest(step=name, verb=verb, kind=kind, fingerprint="f" * 64, **fields)
    artifacts.finish(root / name, manifest)


def small_run(root: Path, base: str = "LiquidAI/LFM2-350M", teacher: str = "acme/teacher") -> Path:
    """base -> tuned on translated, filtered rows -> merged with base -> scored."""
    for step, verb, config in (
        ("arabic", "translate", {"data": [{"hub": "acme/chats"}], "model": teacher, "engine": "vllm"}),
        ("clean", "filter", {"data": [{"ref": "$arabic"}]}),
    ):
        rows = [
            (Row(f"r/{i}", (Message("user", "مرحبا"),), "ar", "r", licence), KEPT)
            for i, licence in enumerate(["mit", "mit", "cc-by-4.0"])
        ]
        shards.write_rows(root / step / "rows/000000.parquet", rows)
        shards.write_rows(root / step / "rejected/000000.parquet", [(rows[0][0], rejected("repetition"))])
        finish(root, step, verb, kind="rows", config=config, counts={"rows": 4, "kept": 3, "rejected/repetition": 1})
    checkpoint(root / "sft")
    inputs = {"$clean": "abc", f"model:/home/somebody/{base}": "x"}
    finish(root, "sft", "tune", config={"base": base, "data": [{"ref": "$clean"}]}, inputs=inputs)
    checkpoint(root / "hala", {"task": "chat"})
    finish(root, "hala", "merge", config={"base": base, "tuned": "$sft", "method": "slerp"}, inputs={"$sft": "def"})
    entry = {"t": None, "set": "world", "metric": "accuracy", "n": 100, "signature": "s", "lang": "ar", "p": None}
    plain = {"delta": None, "delta_low": None, "delta_high": None}
    scores = [
        {**entry, **plain, "model": "base", "value": 30.0, "low": 25.0, "high": 35.0},
        {
            **entry,
            "model": "hala",
            "value": 52.345,
            "low": 47.0,
            "high": 57.0,
            "delta": 22.3,
            "delta_low": 15.0,
            "delta_high": 29.0,
        },
    ]
    models = [{"name": name, "t": None, "parameters": 12, "bytes": 48} for name in ("base", "hala")]
    (root / "scores").mkdir()
    finish(
        root, "scores", "evaluate", kind="scores", facts={"baseline": "base", "models": models, "scores": scores, "examples": []}
    )
    artifacts.write_json(root / "recipe.json", {"name": "demo", "steps": {}})
    return root


def release(root: Path, **settings: Any) -> tuple[Outcome, str]:
    """The outcome and the card of releasing `$hala`."""
    section = recipe.Release(**{"model": "$hala", "data": "$clean", "scores": "$scores", **settings})
    inputs = {name: root / name for name in ("hala", "clean", "scores")}
    out = root / "card"
    out.mkdir(exist_ok=True)
    outcome = run(section, Context("card", out, root, recipe.Languages(), inputs, Progress(quiet=True)))
    return outcome, (out / "README.md").read_text(encoding="utf-8")


def front(card: str) -> dict[str, Any]:
    """The card's front matter as a YAML 1.2 reader sees it."""
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(card.split("---\n")[1])
    return loaded


def test_folder_holds_the_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    """Weights and tokenizer come along byte for byte; manifests, rows and unknown files stay at home."""
    small_run(tmp_path)
    (tmp_path / "hala/optimizer.pt").write_bytes(b"x")
    release(tmp_path)
    names = sorted(path.name for path in (tmp_path / "card").iterdir())
    assert names == [
        "README.md",
        "chat_template.jinja",
        "config.json",
        "hala.json",
        "model.safetensors",
        "provenance.json",
        "tokenizer.json",
    ]
    assert (tmp_path / "card/model.safetensors").read_bytes() == (tmp_path / "hala/model.safetensors").read_bytes()


def test_card_states_scores_lineage_data_and_licence(tmp_path: Path) -> None:
    """The card holds front matter for the hub, and for people the scores, rejected counts, inputs and limits."""
    outcome, card = release(small_run(tmp_path))
    found = front(card)
    assert found["language"] == ["ar", "en"] and found["base_model"] == ["LiquidAI/LFM2-350M"]
    assert found["datasets"] == ["acme/chats"] and found["base_model_relation"] == "merge"
    result = found["model-index"][0]["results"][0]
    assert (
        result["metrics"] == [{"type": "accuracy", "name": "accuracy", "value": 52.34}] and result["dataset"]["name"] == "world"
    )
    assert "52.3** (47.0 to 57.0)" in card and "+22.3 (+15.0 to +29.0)" in card
    assert "| clean | filter | 4 | 3 | 1 | repetition 1 |" in card
    assert (
        "| acme/teacher | teacher | – | unknown | unknown |" in card and "| rows of clean | data | 2 | mit | permissive |" in card
    )
    assert outcome.facts["licence"] == "unknown" and outcome.facts["forced_by"] == ["acme/teacher"]
    assert "Find out the licence of acme/teacher." in card and "Limits" in card


@pytest.mark.parametrize(
    ("base", "teacher", "licence", "expected", "forced"),
    [
        (
            "LiquidAI/LFM2-350M",
            "CohereLabs/command-a-translate-08-2025",
            "",
            "cc-by-nc-4.0",
            "CohereLabs/command-a-translate-08-2025",
        ),
        ("acme/open", "", "apache-2.0", "cc-by-4.0", "rows of clean"),
        ("LiquidAI/LFM2-350M", "", "", "lfm1.0", "LiquidAI/LFM2-350M"),
        ("acme/open", "", "", "unknown", "acme/open"),
    ],
)
def test_strictest_input_decides(tmp_path: Path, base: str, teacher: str, licence: str, expected: str, forced: str) -> None:
    """Base, teacher or data: whichever binds most gives the licence, and the outcome names it."""
    outcome, card = release(small_run(tmp_path, base, teacher), licence=licence)
    assert (outcome.facts["licence"], outcome.facts["forced_by"]) == (expected, [forced])
    assert f"**{expected}**" in card
    if expected == "lfm1.0":
        assert front(card)["license"] == "other" and front(card)["license_name"] == "lfm1.0"


@pytest.mark.parametrize("secret", ["hf_" + "a1B2" * 9, "sk-" + "a1B2" * 8, "AKIA" + "A1B2" * 4])
@pytest.mark.parametrize("place", ["hala.json", "chat_template.jinja", "model.safetensors"])
def test_secrets_stop_the_release(tmp_path: Path, secret: str, place: str) -> None:
    """A token in a settings file, a template or the weights' metadata is refused before anything is copied, and not repeated."""
    small_run(tmp_path)
    if place == "model.safetensors":
        checkpoint(tmp_path / "hala", metadata={"note": secret})
    else:
        (tmp_path / "hala" / place).write_text(json.dumps({"note": secret}))
    with pytest.raises(InputError, match="looks like a secret") as caught:
        release(tmp_path)
    assert secret not in str(caught.value) and place in str(caught.value)
    assert list((tmp_path / "card").iterdir()) == []


def test_provenance_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    """Digests and inputs are published, local paths are not, and the same run gives the same bytes."""
    small_run(tmp_path)
    release(tmp_path)
    first = {path.name: path.read_bytes() for path in (tmp_path / "card").iterdir()}
    assert b"/home/somebody" not in b"".join(first.values()) and str(tmp_path).encode() not in b"".join(first.values())
    steps = [step["step"] for step in json.loads(first["provenance.json"])["steps"]]
    assert steps.index("arabic") < steps.index("clean") < steps.index("sft") < steps.index("hala")
    release(tmp_path)
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "card").iterdir()}


def test_checkpoint_from_outside_keeps_what_it_says(tmp_path: Path) -> None:
    """Outside a run the licences of hala.json and of the checkpoint's own card decide."""
    checkpoint(tmp_path / "mine", {"task": "text", "data_licences": ["CC0-1.0"]})
    assert [classify(t.licence).name for t in trace(tmp_path / "mine").terms] == ["cc0-1.0"]
    checkpoint(tmp_path / "theirs")
    (tmp_path / "theirs/README.md").write_text("---\nlicense: other\nlicense_name: lfm1.0\n---\n# Theirs\n")
    assert card_licence(tmp_path / "theirs") == "lfm1.0"
    assert strictest(classify(t.licence) for t in trace(tmp_path / "theirs").terms).name == "lfm1.0"


def test_folder_without_weights_is_refused(tmp_path: Path) -> None:
    """What is no checkpoint cannot be released."""
    small_run(tmp_path)
    (tmp_path / "hala/model.safetensors").unlink()
    with pytest.raises(InputError):
        release(tmp_path)


def test_front_matter_means_the_same_to_every_reader() -> None:
    """Norwegian stays a language and numbers stay numbers."""
    text = front_matter({"language": ["no"], "model-index": [{"name": "a: b", "results": [{"value": 1.5}]}], "tags": []})
    assert '"no"' in text
    assert YAML(typ="safe", pure=True).load(text)["model-index"][0] == {"name": "a: b", "results": [{"value": 1.5}]}


SPELT = {
    0: ["CC0-1.0", "public domain"],
    1: ["MIT License", "Apache 2.0", "apache-2.0"],
    2: ["CC BY 4.0", "odc-by"],
    3: ["cc-by-sa-3.0"],
    4: ["LFM-1.0", "LFM Open License v1.0"],
    5: ["cc-by-nc-4.0", "CC_BY-NC-SA 4.0"],
    6: ["cc-by-nd-4.0", "", "whatever"],
}


@pytest.mark.parametrize(("name", "group"), [(name, group) for group, names in SPELT.items() for name in names])
def test_names_find_their_class(name: str, group: int) -> None:
    """Spellings that people use mean the class that they stand for; no-derivatives and the unheard-of count as unknown."""
    assert classify(name).group == CLASSES[group]


@given(st.lists(LICENCES))
def test_strictest_ignores_order_and_repetition(found: list[Any]) -> None:
    """Commutative and idempotent: neither the order of the inputs nor naming one twice changes the licence."""
    assert strictest(found) == strictest(found[::-1]) == strictest([*found, *found])


@given(st.lists(LICENCES, min_size=1), st.lists(LICENCES, min_size=1))
def test_strictest_wins_and_groups_freely(one: list[Any], other: list[Any]) -> None:
    """Associative, and at least as binding as every input; an unknown input makes the whole unknown."""
    both = strictest([*one, *other])
    assert both == strictest([strictest(one), strictest(other)]) and all(both >= each for each in [*one, *other])
    assert strictest([*one, UNKNOWN]).group == "unknown"


def test_nothing_known_is_unknown() -> None:
    """No input at all does not make a work free."""
    assert strictest([]) == UNKNOWN and hub_fields(UNKNOWN) == {"license": "unknown"}


@pytest.mark.parametrize("part", [False, True])
def test_a_teacher_is_found_through_folders_named_by_path(tmp_path: Path, part: bool) -> None:
    """Single commands name folders, not steps: what a non-commercial teacher translated stays so through filter and mix."""
    small_run(tmp_path, teacher="CohereLabs/command-a-translate-08-2025")
    data = {"data": [{"path": str(tmp_path / "arabic")}]}
    config, verb = ({"parts": [data], "data": []}, "mix") if part else (data, "filter")
    finish(tmp_path, "clean", verb, kind="rows", config=config, counts={"rows": 4, "kept": 3})
    outcome, _ = release(tmp_path)
    assert outcome.facts["licence"] == "cc-by-nc-4.0"


@pytest.mark.parametrize(("judge", "licence"), [("acme/judge", "unknown"), ("Qwen/Qwen2.5-3B-Instruct", "qwen-research")])
def test_judge_is_part_of_the_lineage(tmp_path: Path, judge: str, licence: str) -> None:
    """A model that chose the rows is named with its terms; when nobody knows them, they are to be found out."""
    small_run(tmp_path, teacher="")
    config = {"data": [{"ref": "$arabic"}], "judge": {"model": judge, "engine": "vllm"}}
    finish(tmp_path, "clean", "filter", kind="rows", config=config, counts={"rows": 4, "kept": 3})
    _, card = release(tmp_path)
    assert f"| {judge} | judge | – | {licence} |" in card
    assert (f"Find out the licence of {judge}." in card) == (licence == "unknown")
