"""Costs and layers of a real model, against its shapes and its file."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from tests.integration.conftest import Recorded, Sessions
from tests.support import runtimes

from ggml_viz.model.attribution import attribute, load_rules
from ggml_viz.model.cost import cost, kv_bytes
from ggml_viz.model.graph import Graph
from ggml_viz.model.phases import PHASES

# SmolLM2-135M.
LAYERS, EMBD, HEADS, KV_HEADS, FF, VOCAB = 30, 576, 9, 3, 1536, 49152
HEAD = EMBD // HEADS
KV_ROW = KV_HEADS * HEAD


@pytest.fixture(scope="module", params=["xllamacpp", "llama-simple"])
def smollm2(request: pytest.FixtureRequest, recordings: Sessions) -> Recorded:
    return recordings(request.param)


def last_graph(recorded: Recorded, phase: str) -> tuple[Graph, int]:
    """The graph of the last run in a phase, and its tokens; of the largest, if it is a prefill."""
    runs = recorded.process.runs
    chosen = np.flatnonzero(runs.phase == PHASES.index(phase))
    run = max(chosen, key=lambda i: int(runs.tokens[i])) if phase == "prefill" else chosen[-1]
    return recorded.process.graphs[int(runs.graph[run])], int(runs.tokens[run])


def shape(graph: Graph, node: int, place: int) -> list[int]:
    source = graph.source(node, place)
    assert source is not None
    return [int(n) for n in graph.tensors["ne"][source]]


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_operations_follow_from_the_shapes_of_the_model(smollm2: Recorded, phase: str) -> None:
    graph, tokens = last_graph(smollm2, phase)
    flops = cost(graph).flops
    # Only the last token has an output: behind the last attention, all is computed for it alone.
    attention = EMBD * EMBD * 2 + EMBD * KV_ROW * 2
    feed_forward = 3 * EMBD * FF
    multiply_adds = tokens * (LAYERS * attention + (LAYERS - 1) * feed_forward) + feed_forward + EMBD * VOCAB
    assert flops[graph.nodes_of("MUL_MAT")].sum() == 2 * multiply_adds

    nodes = graph.nodes_of("FLASH_ATTN_EXT")
    assert len(nodes) == LAYERS
    positions = shape(graph, nodes[0], 1)[1]
    assert positions >= tokens
    assert positions % 256 == 0
    # K and V of each position for each token and head, whether masked or not.
    assert flops[nodes].sum() == LAYERS * 2 * HEADS * (HEAD + HEAD) * tokens * positions

    # The last layer's part behind its attention, the last norm and the output are of one token.
    assert flops[graph.nodes_of("SWIGLU")].sum() == 5 * FF * (tokens * (LAYERS - 1) + 1)
    assert flops[graph.nodes_of("RMS_NORM")].sum() == 3 * EMBD * (tokens * (2 * LAYERS - 1) + 2)
    assert not np.isnan(flops).any()


def test_a_decode_reads_the_weights_of_the_file_once(smollm2: Recorded) -> None:
    graph, tokens = last_graph(smollm2, "decode")
    assert tokens == 1
    sizes = {tensor.name: int(tensor.n_bytes) for tensor in gguf.GGUFReader(runtimes.smollm2()).tensors}
    # Its output is multiplied with the table of embeddings, and one row of that is the token's.
    assert "output.weight" not in sizes
    assert cost(graph).weight_bytes.sum() == sum(sizes.values()) + sizes["token_embd.weight"] // VOCAB
    is_product = np.isin(np.arange(graph.node_count), graph.nodes_of("MUL_MAT"))
    assert (cost(graph).integer == is_product).all()


def test_kv_cache(smollm2: Recorded) -> None:
    graph, _ = last_graph(smollm2, "decode")
    found = kv_bytes(graph)
    row = KV_ROW * 2  # f16
    assert found.caches == 2 * LAYERS
    assert found.read_bytes == LAYERS * found.positions * 2 * row
    capacity = int(graph.tensors["ne"][graph.named("cache_k_l0")[0]][1])
    assert found.added_bytes == (LAYERS * 2 * row if found.positions < capacity else 0)


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_time_belongs_to_a_layer_or_to_embedding_or_output(smollm2: Recorded, phase: str) -> None:
    process = smollm2.process
    rules = load_rules()
    placed = {number: attribute(graph, rules) for number, graph in process.graphs.items()}
    runs = process.runs
    of_phase = set(runs.number[runs.phase == PHASES.index(phase)].tolist())
    graph_of_run = dict(zip(runs.number.tolist(), runs.graph.tolist(), strict=True))
    everything = attributed = in_layers = 0
    layers = set()
    for _, spans in process.nodes():
        for begin, end, run, node in zip(
            *(spans[field].tolist() for field in ("begin", "end", "run", "node")), strict=True
        ):
            if run not in of_phase:
                continue
            found = placed[graph_of_run[run]]
            everything += end - begin
            attributed += (end - begin) * bool(found.placed[node])
            in_layers += (end - begin) * bool(found.layer[node] >= 0)
            layers.add(int(found.layer[node]))
    assert attributed >= 0.99 * everything
    assert in_layers >= 0.5 * everything
    assert layers == set(range(-1, LAYERS))


def test_whisper_names_no_layers(recordings: Sessions) -> None:
    process = recordings("pywhispercpp").process
    rules = load_rules()
    families = {attribute(graph, rules).family for graph in process.graphs.values()}
    assert families == {"whisper.cpp"}
    graph = process.graphs[int(process.runs.graph[-1])]
    # Its weights have no names and are found: a decode reads more than half of the model's 77 MB.
    assert cost(graph).weight_bytes.sum() > 39e6
