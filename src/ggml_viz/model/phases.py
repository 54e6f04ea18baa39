"""What a language model does in a run of a graph, told from the graph alone: prefill, decode, or a mix of both."""

from __future__ import annotations

from typing import NamedTuple

from ggml_viz.model.graph import Graph

PREFILL, DECODE, MIXED, OTHER = PHASES = ("prefill", "decode", "mixed", "other")

# What a token is looked up in, or by: the table's name where it has one (llama.cpp), else that of the tokens
# (whisper.cpp, ggml's examples).
TOKEN_EMBEDDING = "token_embd.weight"
TOKENS = ("embd", "inp_tokens")
RESULT = "result_output"

# Runs with an output for each of up to so many tokens decode as many sequences; beyond it, a prompt is being scored.
MAX_SEQUENCES = 256


class Workload(NamedTuple):
    """What one run of a graph does.

    Attributes:
        phase: One of PHASES.
        tokens: Tokens that go through the model; 0 where it is not a language model.
    """

    phase: str
    tokens: int


def workload(graph: Graph) -> Workload:
    """Tells what a run of a graph does.

    The tokens are the rows that the graph looks up in the token embedding. One token is decode. Several, each with an
    output of its own, are decode of several sequences; with one output or none they are prefill; anything between is
    mixed. A graph that looks up no tokens is other.
    """
    tokens = max((_looked_up(graph, node) for node in graph.nodes_of("GET_ROWS")), default=0)
    if tokens <= 0:
        return Workload(OTHER, 0)
    if tokens == 1:
        return Workload(DECODE, 1)
    results = [i for i in graph.named(RESULT) if i < graph.node_count and graph.name(i) == RESULT]
    outputs = int(graph.tensors["ne"][results[-1]][1]) if results else 0
    if outputs == tokens <= MAX_SEQUENCES:
        return Workload(DECODE, tokens)
    return Workload(MIXED if 1 < outputs < tokens else PREFILL, tokens)


def _looked_up(graph: Graph, node: int) -> int:
    table, rows = graph.source(node, 0), graph.source(node, 1)
    if table is None or rows is None:
        return 0
    if graph.name(table) != TOKEN_EMBEDDING and (rows < graph.node_count or graph.name(rows) not in TOKENS):
        return 0
    return int(graph.tensors["ne"][rows][0])
