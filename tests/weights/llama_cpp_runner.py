"""Run by an interpreter that has llama-cpp-python: reads a job from stdin, answers as JSON on stdout.

Job: {"model": FILE, "texts": [...], "prompts": [[ids], ...], "new": N}. Answer: {"tokens": the ids of each text, "greedy": the N
greedy ids after each prompt, "logits": those after each position of each prompt, "pieces": the bytes of each text's ids as hex}.
"""

import json
import sys

import numpy as np
from llama_cpp import Llama

F32 = 0  # ggml's number for the type, of the cache too, so that nothing is rounded but the weights

job = json.load(sys.stdin)
model = Llama(job["model"], n_ctx=256, n_threads=1, logits_all=True, type_k=F32, type_v=F32, flash_attn=False, verbose=False)
answer = {"tokens": [], "pieces": [], "greedy": [], "logits": []}
for text in job["texts"]:
    ids = model.tokenize(text.encode(), add_bos=True, special=True)
    answer["tokens"].append(ids)
    answer["pieces"].append(model.detokenize(ids, special=True).hex())
for prompt in job["prompts"]:
    model.reset()
    model.eval(prompt)
    answer["logits"].append(np.array(model.scores[: len(prompt)], dtype=np.float64).round(6).tolist())
    greedy = []
    for _ in range(job["new"]):
        greedy.append(int(np.argmax(model.scores[model.n_tokens - 1])))
        model.eval(greedy[-1:])
    answer["greedy"].append(greedy)
json.dump(answer, sys.stdout)
