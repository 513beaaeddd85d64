"""What a training would learn, before it costs anything: examples with their learned tokens marked, and what would be lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby, islice
from statistics import median
from typing import TYPE_CHECKING, Any

from hala.data.rows import Collected
from hala.errors import InputError
from hala.recipe import Tune
from hala.verbs import Context
from hala.verbs.redact import plain
from hala.verbs.tune import check_length, form_of, training_rows

if TYPE_CHECKING:
    from hala.training.examples import Example, Examples

# Green on the terminal; brackets where there are no colours.
COLOURS, BRACKETS = ("\x1b[1;32m", "\x1b[0m"), ("⟪", "⟫")


def preview(settings: Tune, context: Context, count: int, rows: int, colour: bool) -> Iterator[str]:
    """`count` examples, evenly spaced among those of the first `rows` rows, then what the trainer would make of these rows.

    Raises InputError where a tokenizer would have to be trained first, or nothing can be learned.
    """
    from hala.training.examples import make_examples
    from hala.weights.loading import load_tokenizer

    named = settings.base or (settings.new.tokenizer if settings.new is not None else None)
    if not named:
        raise InputError("a model from random weights has no tokenizer yet.", "Name one: --set new.tokenizer=CHECKPOINT")
    tokenizer = load_tokenizer(context.locate(named), settings.revision)
    counts, bad = Counter[str](), Collected()
    read = list(islice(training_rows(settings, settings.data, context, counts, bad), rows))
    made = make_examples(read, tokenizer, form_of(settings, context))
    whole = len(made.examples)
    for place in range(min(count, whole)):
        number = place * whole // min(count, whole)
        yield f"{example_text(number, whole, made.examples[number], tokenizer, COLOURS if colour else BRACKETS)}\n"
    yield "\n".join(_summary(settings, made, len(read), counts, bad))
    try:
        check_length(settings, context)
    except InputError as error:
        yield f"tune would refuse this: {error}"


def example_text(number: int, whole: int, example: Example, tokenizer: Any, marks: tuple[str, str]) -> str:
    """One example as the model reads it, learned stretches between `marks`."""
    from hala.training.examples import IGNORED

    learned = [bool(label != IGNORED) for label in example.labels]
    tokens = zip(learned, example.input_ids.tolist(), strict=True)
    parts = []
    for is_learned, group in groupby(tokens, key=lambda pair: pair[0]):
        text = plain(tokenizer.decode([token for _, token in group]))
        parts.append(f"{marks[0]}{text}{marks[1]}" if is_learned else text)
    share = sum(learned) / max(1, len(learned))
    head = f"--- example {number + 1} of {whole:,}: {example.id}, {len(example)} tokens, {sum(learned)} learned ({share:.0%})"
    return f"{head}\n{''.join(parts)}"


def _summary(settings: Tune, made: Examples, read: int, counts: Counter[str], bad: Collected) -> Iterator[str]:
    """Counts, lengths, losses and how full the packed rows would be."""
    tokens, learned = made.tokens
    split = f", {len(made.split):,} rows split" if made.split else ""
    share = f" ({learned / tokens:.0%})" if tokens else ""
    yield f"{read:,} rows read, {len(made.examples):,} examples{split}: {tokens:,} tokens, {learned:,} learned{share}"
    if made.examples:
        from hala.training.packing import measure, pack

        lengths = [len(example) for example in made.examples]
        longest = max(made.examples, key=len)
        limit = f"of at most {settings.max_length:,}"
        yield f"lengths: median {median(lengths):,.0f}, longest {len(longest):,} ({longest.id}), {limit}"
        if settings.packing:
            fill = measure(lengths, pack(lengths, settings.max_length, settings.seed), settings.max_length).fill
            yield f"packed into rows of {settings.max_length:,}: {fill:.1%} of their places are used"
    lost = Counter({key.partition("/")[2]: number for key, number in counts.items() if key.startswith("rejected/")})
    lost.update(made.counts)
    lost.update({f"malformed: {reason}": number for reason, number in Counter(each.reason for each in bad).items()})
    for reason, number in sorted(lost.items()):
        first = next(
            (f", first {name}" + (f" ({v.detail})" if v.detail else "") for name, v in made.rejected if v.reason == reason), ""
        )
        yield f"lost: {number:,} {reason}{plain(first)}"
    if not lost:
        yield "nothing would be lost or cut"
