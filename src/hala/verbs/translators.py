"""What a translation holds open: engines, memory, router and plan, made from a recipe's settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from hala.artifacts import SCRATCH
from hala.data.conversations import Prepared, Turns, assemble, prepare
from hala.data.memory import open_memory
from hala.data.routing import Route
from hala.data.stream import Translator
from hala.data.translating import Plan, Text, select_gates
from hala.errors import EngineError, RecipeError
from hala.languages import language, unknown
from hala.recipe import EngineSettings, Other, Translate
from hala.records import Engine, Row, Sampling, Verdict
from hala.session import read_started
from hala.verbs import Context, open_engine, trained_for
from hala.weights.generation import PLAIN, read_sampling

# More failed requests in one shard than this are the engine's fault, not the rows'.
BROKEN_ROWS, BROKEN_SHARE = 20, 0.2
Judged = list[tuple[Row, Verdict]]
Router = Callable[[list[Row]], list[Route]]


@dataclass
class Work:
    """Everything that a run holds open: engines, memory and what goes through them."""

    translator: Translator
    turns: Turns
    router: Router | None
    step: str
    open: ExitStack = field(default_factory=ExitStack)

    def judge(
        self, batches: Iterable[list[Row]], taken_in: Callable[[int], None] = lambda rows: None
    ) -> Iterator[tuple[int, Judged]]:
        """Each batch with one verdict per row, as they are done, with its place."""
        held: dict[int, list[Prepared]] = {}
        target = self.translator.plan.target.code

        def texts() -> Iterator[list[Text]]:
            for place, rows in enumerate(batches):
                routes: Sequence[Route | None] = self.router(rows) if self.router else [None] * len(rows)
                held[place] = [prepare(row, target, self.turns, route) for row, route in zip(rows, routes, strict=True)]
                taken_in(len(rows))
                yield [text for each in held[place] for text in each.texts]

        for place, results in self.translator.translate(texts()):
            rest = iter(results)
            judged = [assemble(each, [next(rest) for _ in each.texts], target) for each in held.pop(place)]
            _refuse_broken_engine(judged, self.step)
            yield place, judged

    def close(self) -> None:
        """Close engines and memory."""
        self.open.close()


def open_work(settings: Translate, context: Context, digests: Mapping[str, str] | None = None) -> Work:
    """Engines, memory and plan of a step. Raises RecipeError for settings that do not fit, before anything is loaded.

    `digests` are those of the models, for what has no folder that holds them.
    """
    spare = context.out / SCRATCH / "memory" if digests is None else None
    digests = read_started(context.out).get("inputs", {}) if digests is None else digests
    model = context.locate(settings.model)
    plan = make_plan(settings, model, context.languages.source, context.languages.target)
    plan = replace(plan, model=identity(settings, settings.model, digests))
    if plan.gates and (said := unknown(plan.target)):
        context.progress.say(f"    {said}")
    second = settings.other
    plan_of_second = replace(other_plan(plan, second, context), model=identity(second, second.model, digests)) if second else plan
    with ExitStack() as stack:
        keep = stack.enter_context
        remembers = settings.memory != "none" and settings.engine != "echo" and bool(plan.model)
        memory = open_memory(settings.memory, spare, context.progress.say) if remembers else None
        if memory is not None:
            keep(closing(memory))
        languages, say = context.languages, context.progress.say
        engine = keep(closing(open_engine(settings, model, settings.revision, languages, say=say)))
        other = None
        if second:
            place = context.locate(second.model)
            other = keep(closing(open_engine(second, place, second.revision, languages, say=say))), plan_of_second
        vote = settings.vote
        voter = keep(closing(open_engine(vote, context.locate(vote.model), vote.revision, say=say))) if vote else None
        router = open_router(plan.source.code, voter) if settings.router == "rules" else None
        turns = Turns(settings.system, settings.tool, settings.thinking)
        return Work(Translator(engine, plan, memory, other), turns, router, context.step, stack.pop_all())


def open_router(source: str, voter: Engine | None) -> Router:
    """What finds the routes of rows: the rules of their language, and a model's vote where those are not certain."""
    from hala.data.routing import route
    from hala.data.routing_vote import vote

    def routes(rows: list[Row]) -> list[Route]:
        found = [route(row, source=source) for row in rows]
        return vote(zip(rows, found, strict=True), voter, source) if voter else found

    return routes


def other_plan(plan: Plan, other: Other, context: Context) -> Plan:
    """The plan for the other translator: its own prompt, and no question of confidence."""
    trained = translation_facts(context.locate(other.model), plan.source.code, plan.target.code)
    prompt = other.prompt or trained.get("prompt") or default_prompt(other)
    before = plan.sampling
    sampling = replace(
        nature_of(other, context.locate(other.model)),
        max_tokens=before.max_tokens,
        temperature=before.temperature,
        seed=before.seed,
    )
    context_too = plan.context and other.engine != "ctranslate"
    return replace(plan, prompt=prompt, min_confidence=0.0, context=context_too, sampling=sampling)


def nature_of(settings: Translate | Other, model: str) -> Sampling:
    """How the translator wants to be sampled; the plain defaults for a model that only a server has."""
    elsewhere = settings.engine == "echo" or not model or (settings.engine == "server" and not Path(model).is_dir())
    return PLAIN if elsewhere else read_sampling(model, settings.revision)


def identity(settings: EngineSettings, model: str, digests: Mapping[str, str]) -> str:
    """What tells the answers of one translator from those of another: content, engine and arithmetic; empty when not known."""
    digest = digests.get(model) or next((value for key, value in digests.items() if _names(key, model)), "")
    how = f"{settings.compute_type} {settings.beam_size}" if settings.engine == "ctranslate" else settings.dtype
    if settings.engine == "server" and not getattr(settings, "revision", None):
        how = settings.url or ""  # a name that two servers use need not be one model
    return f"{digest} {settings.engine} {how}" if digest and model else ""


def _names(key: str, model: str) -> bool:
    """Whether an input's key (`model:1:PLACE@REVISION`) is this model's."""
    kind, _, rest = key.partition(":")
    place = rest.partition(":")[2]
    return kind in ("model", "name") and (place == model or place.startswith(f"{model}@"))


def translation_facts(model: str, source: str, target: str) -> dict[str, str]:
    """What a translator that hala made says about itself. Raises RecipeError when it learnt other languages."""
    trained = trained_for(model)
    trained = trained if trained.get("task") == "translation" else {}
    if trained.get("back_prompt") and (source, target) == (trained.get("target"), trained.get("source")):
        return trained | {"prompt": trained["back_prompt"], "source": source, "target": target}
    for key, wanted in (("source", source), ("target", target)):
        if trained.get(key, wanted) != wanted:
            learnt = f"{trained.get('source', source)} -> {trained.get('target', target)}"
            raise RecipeError(
                f"{model} translates {learnt}, not {source} -> {target}.", "Choose another model or other languages."
            )
    return trained


def default_prompt(settings: EngineSettings) -> str:
    """The prompt for a checkpoint that names none: the released translator's, and the bare text for what is no chat model."""
    return "{text}" if settings.engine == "ctranslate" else "default"


def make_plan(settings: Translate, model: str, source: str, target: str) -> Plan:
    """The settings with what the checkpoint itself says about its prompt. Raises RecipeError when languages disagree."""
    trained = translation_facts(model, source, target)
    if settings.min_confidence and settings.engine not in ("local", "ctranslate"):
        raise RecipeError(
            f"the {settings.engine} engine does not tell how sure the model is.",
            "Use engine: local or ctranslate, or leave min_confidence out.",
        )
    if settings.context and settings.engine == "ctranslate":
        raise RecipeError("the ctranslate engine takes no context: its models know one sentence.", "Leave context out.")
    gates = settings.gates
    if settings.engine == "echo" and gates == ("default",):
        gates = ("none",)  # the echo gives the source back on purpose
    nature = nature_of(settings, model)
    return Plan(
        prompt=settings.prompt or trained.get("prompt") or default_prompt(settings),
        source=language(source),
        target=language(target),
        sampling=replace(nature, max_tokens=settings.max_tokens, temperature=settings.temperature, seed=settings.seed),
        gates=select_gates(gates),
        whole=settings.mode == "whole",
        max_chars=settings.max_chars,
        retries=settings.retries,
        retry_temperature=settings.retry_temperature or nature.temperature,
        min_confidence=settings.min_confidence,
        split=settings.split,
        context=settings.context,
        values=settings.values,
    )


def _refuse_broken_engine(judged: Judged, step: str) -> None:
    """Nothing, or EngineError before the shard is written, so that the same command tries its rows again."""
    failed = [verdict for _, verdict in judged if verdict.reason == "engine_error"]
    if len(failed) >= BROKEN_ROWS and len(failed) > BROKEN_SHARE * len(judged):
        raise EngineError(
            f"step {step}: the engine failed on {len(failed):,} of {len(judged):,} rows of a shard; last: {failed[-1].detail}",
            "Mend the engine or its settings; the same command continues, and tries these rows again.",
        )
