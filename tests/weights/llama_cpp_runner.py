"""Run by an interpreter that has llama-cpp-python: reads a job from stdin, answers as JSON on stdout.

Job: {"model": FILE, "texts": [[TEXT, ADD], ...], "new": N}; ADD says whether to add what the file says is added. Answer: a list
with, for each text, {"ids", "greedy": the N ids that follow, "logits": those after each id}.
"""

import json
import sys

import numpy as np
from llama_cpp import Llama

F32 = 0  # ggml's number for the type, of the cache too, so that nothing is rounded but the weights

job = json.load(sys.stdin)
model = Llama(job["model"], n_ctx=256, n_threads=1, logits_all=True, type_k=F32, type_v=F32, flash_attn=False, verbose=False)
answers = []
for text, add in job["texts"]:
    ids = model.tokenize(text.encode(), add_bos=add, special=True)
    answer = {"ids": ids, "greedy": [], "logits": []}
    if job["new"]:
        model.reset()
        model.eval(ids)
        answer["logits"] = np.array(model.scores[: len(ids)], dtype=np.float64).round(6).tolist()
        for _ in range(job["new"]):
            answer["greedy"].append(int(np.argmax(model.scores[model.n_tokens - 1])))
            model.eval(answer["greedy"][-1:])
    answers.append(answer)
json.dump(answers, sys.stdout)
