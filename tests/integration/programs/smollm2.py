"""Continues a prompt with xllamacpp's server, greedily; prints the text and the server's own timings.

Usage: smollm2.py MODEL.gguf THREADS TOKENS PROMPT
"""

import json
import sys

import xllamacpp

model, threads, tokens, prompt = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
params = xllamacpp.CommonParams()
params.model.path = model
params.n_ctx = 512
params.n_parallel = 1
params.warmup = False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
server = xllamacpp.Server(params)
request = {"prompt": prompt, "max_tokens": tokens, "temperature": 0.0, "ignore_eos": True, "cache_prompt": False}
answer = server.handle_completions(request)
print(json.dumps({"text": answer["choices"][0]["text"], "timings": answer["timings"]}))
