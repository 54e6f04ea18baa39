"""Continues a prompt, greedily, with one of the Python bindings of llama.cpp.

Usage: llama.py MODULE MODEL THREADS TOKENS PROMPT
"""

import importlib
import importlib.util
import sys
import types

module, model, prompt = sys.argv[1], sys.argv[2], sys.argv[5]
threads, tokens = int(sys.argv[3]), int(sys.argv[4])


def ik_llama_cpp() -> list[int]:
    llama = importlib.import_module("ik_llama_cpp").IkLlama(model, n_ctx=512, n_threads=threads, n_gpu_layers=0)
    return list(llama.generate(llama.tokenize(prompt), max_tokens=tokens, temperature=0.0))


def ctransformers() -> list[int]:
    # Its __init__ needs a client for a model hub: leave it out.
    package = types.ModuleType("ctransformers")
    package.__path__ = importlib.util.find_spec("ctransformers").submodule_search_locations
    sys.modules["ctransformers"] = package
    module = importlib.import_module("ctransformers.llm")
    config = module.Config(context_length=512, threads=threads, batch_size=64)
    llm = module.LLM(model, "llama", config=config, lib="avx2")
    generated = llm.generate(llm.tokenize(prompt), top_k=1, repetition_penalty=1.0, seed=1)
    return [token for _, token in zip(range(tokens), generated, strict=False)]


def llamacpp() -> list[int]:
    module = importlib.import_module("llamacpp.llamacpp")
    params = module.InferenceParams()
    params.path_model, params.n_threads, params.n_ctx, params.n_batch = model, threads, 512, 64
    params.seed, params.top_k, params.temp, params.repeat_penalty = 1, 1, 0.0, 1.0
    llama = module.LlamaInference(params)
    llama.update_input([llama.token_bos()])
    llama.update_input(prompt)
    llama.ingest_all_pending_input()
    said = []
    while len(said) < tokens:
        said.append(llama.sample())
        llama.update_input(said[-1:])
        llama.ingest_all_pending_input()
    return said


def pyllamacpp() -> list[str]:
    llama = importlib.import_module("pyllamacpp.model").Model(model, n_ctx=512, seed=1)
    return list(llama.generate(prompt, n_predict=tokens, n_threads=threads, temp=0.0, repeat_penalty=1.0, top_k=1))


chosen = (ik_llama_cpp, ctransformers, llamacpp, pyllamacpp)
print({use.__name__: use for use in chosen}[module]())
