"""One contestant's turn of benchmarks/evals.py: a whole process that scores a file of prompts; its last line is one JSON object.

    python benchmarks/evals_turn.py hala|lighteval|lm-eval CHECKPOINT PROMPTS DTYPE BATCH_SIZE

PROMPTS is JSON: [{"text": ..., "continuations": [...]}, ...]. Runs in whatever environment has the contestant, so it imports
nothing else at its top. BATCH_SIZE is the contestant's own; hala takes none and picks its batches by itself.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Scored = list[list[float]]
Work = Callable[[], Scored]


def hala(checkpoint: str, prompts: list[dict[str, Any]], dtype: str, _: int) -> Work:
    """hala's own scorer."""
    from hala.evals.likelihood import log_probabilities
    from hala.evals.profiles import Prompt
    from hala.weights.loading import load_model

    loaded = load_model(checkpoint, dtype, native=True)
    asked = [Prompt(each["text"], (), tuple(each["continuations"]), "none", False, True) for each in prompts]
    return lambda: [list(each.logprobs) for each in log_probabilities(loaded, asked)]


def lighteval(checkpoint: str, prompts: list[dict[str, Any]], dtype: str, batch_size: int) -> Work:
    """lighteval's transformers model, without its cache of answers."""
    from lighteval.models.transformers.transformers_model import TransformersModel, TransformersModelConfig
    from lighteval.tasks.requests import Doc

    config = TransformersModelConfig(
        model_name=checkpoint,
        dtype=dtype,
        batch_size=batch_size,
        device="cpu",
        override_chat_template=False,
        model_parallel=False,
    )
    model = TransformersModel(config)
    docs = [
        Doc(query=each["text"], choices=each["continuations"], gold_index=0, task_name="questions", id=str(number))
        for number, each in enumerate(prompts)
    ]

    def work() -> Scored:
        return [[float(value) for value in each.logprobs] for each in model._loglikelihood_tokens(docs)]

    return work


def lm_eval(checkpoint: str, prompts: list[dict[str, Any]], dtype: str, batch_size: int) -> Work:
    """lm-eval's HFLM with its cache of one-token continuations, as it comes."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = HFLM(pretrained=checkpoint, dtype=dtype, device="cpu", batch_size=batch_size, add_bos_token=True)
    requests = [
        Instance("loglikelihood", {}, (each["text"], continuation), place)
        for each in prompts
        for place, continuation in enumerate(each["continuations"])
    ]

    def work() -> Scored:
        values = iter(model.loglikelihood(requests, disable_tqdm=True))
        return [[next(values)[0] for _ in each["continuations"]] for each in prompts]

    return work


def main() -> None:
    """Loads, scores, and says how long each took, by the wall and by the processor, and the most memory there was."""
    name, checkpoint, file, dtype, batch_size = sys.argv[1:]
    began = time.perf_counter()
    prompts = json.loads(Path(file).read_text(encoding="utf-8"))
    work = {"hala": hala, "lighteval": lighteval, "lm-eval": lm_eval}[name](checkpoint, prompts, dtype, int(batch_size))
    ready, ready_mb, busy = time.perf_counter(), peak_mb(), time.process_time()
    scored = work()
    found = {"ready": ready - began, "wall": time.perf_counter() - ready, "processor": time.process_time() - busy}
    import torch

    about = {"mb": peak_mb(), "mb_ready": ready_mb, "threads": torch.get_num_threads(), "logprobs": scored}
    print(json.dumps({key: round(value, 3) for key, value in found.items()} | about))


def peak_mb() -> float:
    """The most memory this process has had, in MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1)


if __name__ == "__main__":
    main()
