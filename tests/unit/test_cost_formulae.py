"""Operations and bytes of nodes, against answers worked out by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest
from tests.support.graphs import COMPUTE, INPUT, GraphMaker, graph_of
from tests.support.tracefile import Tensor

from ggml_viz.model.cost import _FORMULAS, cost, kv_bytes, kv_cache_bytes

MIB = 1 << 20


def of(make: GraphMaker, node: int = -1) -> tuple[float, float, float]:
    """Operations, bytes and bytes of weights of a node, the last if not said."""
    result = cost(make.graph())
    return result.flops[node], result.bytes[node], result.weight_bytes[node]


def test_product_with_quantized_weights() -> None:
    make = GraphMaker()
    weight = make.leaf("blk.0.ffn_up.weight", "q4_1", 576, 1536)
    make.node("MUL_MAT", (1536, 7), weight, make.leaf("x", "f32", 576, 7, flags=INPUT))
    weight_bytes = 576 // 32 * 20 * 1536
    assert of(make) == (2 * 576 * 1536 * 7, weight_bytes + 4 * 576 * 7 + 4 * 1536 * 7, weight_bytes)
    assert cost(make.graph()).integer.tolist() == [True]


def test_product_of_batches() -> None:
    make = GraphMaker()
    # Two matrices for six: each is used three times, and read once.
    a = make.leaf("a", "f16", 64, 10, 2, flags=INPUT)
    b = make.leaf("b", "f32", 64, 5, 6, flags=INPUT)
    make.node("MUL_MAT", (10, 5, 6), a, b)
    assert of(make) == (2 * 64 * 10 * 5 * 6, 2 * 64 * 10 * 2 + 4 * 64 * 5 * 6 + 4 * 10 * 5 * 6, 0)
    assert not cost(make.graph()).integer.any()


@pytest.mark.parametrize(("tokens", "experts_read"), [(1, 2), (3, 6), (100, 8)])
def test_product_with_experts_reads_no_more_than_are_chosen_or_are(tokens: int, experts_read: int) -> None:
    make = GraphMaker()
    weight = make.leaf("blk.0.ffn_up_exps.weight", "q8_0", 256, 512, 8)
    ids = make.leaf("ids", "i32", 2, tokens, flags=INPUT)
    x = make.leaf("x", "f32", 256, 1, tokens, flags=INPUT)
    make.node("MUL_MAT_ID", (512, 2, tokens), weight, x, ids)
    weight_bytes = experts_read * 512 * (256 // 32 * 34)
    read = weight_bytes + 4 * 256 * tokens + 4 * 2 * tokens
    assert of(make) == (2 * 256 * 512 * 2 * tokens, read + 4 * 512 * 2 * tokens, weight_bytes)


def cache(make: GraphMaker, kind: str, capacity: int, positions: int, heads: int = 3, type_name: str = "f16") -> str:
    """A permuted view of the first positions of a cache, as llama.cpp makes it; rows of `heads` times 64 values."""
    block, size = (1, 2) if type_name == "f16" else (32, 34)
    row, head = heads * 64 // block * size, 64 // block * size
    leaf = make.leaf(f"cache_{kind}_l0", type_name, heads * 64, capacity)
    name = f"cache_{kind}_l0 (view) (permuted)"
    strides = (size, row, head, row * capacity)
    return make.node("PERMUTE", (64, positions, heads), leaf, name=name, type_name=type_name, nb=strides, view=leaf)


def written(make: GraphMaker, kind: str, capacity: int, heads: int = 3) -> None:
    """One new row of a cache."""
    new = make.leaf(f"new_{kind}", "f32", heads * 64, 1, flags=INPUT)
    ids = make.leaf(f"ids_{kind}", "i64", 1, flags=INPUT)
    leaf = f"cache_{kind}_l0"
    make.node("SET_ROWS", (heads * 64, capacity), new, ids, leaf, name=f"{leaf} (view)", type_name="f16", view=leaf)


def test_attention_reads_what_its_views_show() -> None:
    make = GraphMaker()
    q = make.leaf("q", "f32", 64, 5, 9, flags=INPUT)
    mask = make.leaf("mask", "f16", 256, 5, flags=INPUT)
    make.node("FLASH_ATTN_EXT", (64, 9, 5), q, cache(make, "k", 1024, 256), cache(make, "v", 1024, 256), mask)
    cached = 2 * (64 * 256 * 3) * 2
    flops, moved, weights = of(make)
    assert flops == 2 * 9 * (64 + 64) * 5 * 256
    assert moved == cached + 4 * 64 * 5 * 9 + 2 * 256 * 5 + 4 * 64 * 9 * 5
    assert weights == 0


def test_attention_over_a_quantized_cache() -> None:
    make = GraphMaker()
    q = make.leaf("q", "f32", 64, 1, 9, flags=INPUT)
    k, v = (cache(make, kind, 1024, 256, type_name="q8_0") for kind in "kv")
    make.node("FLASH_ATTN_EXT", (64, 9, 1), q, k, v)
    assert of(make)[1] == 2 * (64 // 32 * 34) * 256 * 3 + 2 * (4 * 64 * 9)


def test_v_that_is_part_of_k_is_read_once() -> None:
    make = GraphMaker()
    leaf = make.leaf("cache_k_l0", "f16", 576, 1024)
    strides = (2, 1152, 1152, 1152 * 1024)
    k = make.node("VIEW", (576, 256), leaf, key="k", type_name="f16", nb=strides, view=leaf)
    v = make.node("VIEW", (512, 256), leaf, key="v", type_name="f16", nb=strides, view=leaf)
    make.node("FLASH_ATTN_EXT", (512, 16, 1), make.leaf("q", "f32", 576, 1, 16, flags=INPUT), k, v)
    assert of(make)[:2] == (2 * 16 * (576 + 512) * 256, 576 * 256 * 2 + 4 * 576 * 16 + 4 * 512 * 16)
    assert kv_bytes(make.graph()).read_bytes == 576 * 256 * 2


def test_rows_that_are_taken_and_put() -> None:
    make = GraphMaker()
    table = make.leaf("token_embd.weight", "q8_0", 576, 49152)
    make.node("GET_ROWS", (576, 3), table, make.leaf("tokens", "i32", 3, flags=INPUT))
    assert of(make) == (0, 3 * 612 + 3 * 4 + 4 * 576 * 3, 3 * 612)
    make = GraphMaker()
    cache(make, "k", 1024, 256)
    written(make, "k", 1024)
    assert of(make) == (0, 4 * 192 + 8 + 2 * 192, 0)


def test_copy_to_another_type_does_not_read_where_it_writes() -> None:
    make = GraphMaker()
    source = make.leaf("x", "f32", 100, flags=INPUT)
    target = make.leaf("y", "f16", 100)
    make.node("CPY", (100,), source, target, type_name="f16", view=target)
    assert of(make) == (0, 400 + 200, 0)


def test_broadcast_source_counts_its_own_bytes() -> None:
    make = GraphMaker()
    bias = make.leaf("blk.0.attn_q.bias", "f32", 64)
    make.node("ADD", (64, 10), make.leaf("x", "f32", 64, 10, flags=INPUT), bias)
    assert of(make) == (640, 2 * 4 * 640 + 4 * 64, 4 * 64)


def test_transposed_view_counts_its_elements() -> None:
    make = GraphMaker()
    x = make.leaf("x", "f32", 1500, 384, flags=INPUT)
    view = make.node("VIEW", (300, 384), x, nb=(4, 6000, 2304000, 2304000), view=x)
    turned = make.node("TRANSPOSE", (384, 300), view, nb=(6000, 4, 2304000, 2304000), view=x)
    make.node("CONT", (384, 300), turned)
    assert of(make) == (0, 2 * 4 * 384 * 300, 0)
    assert of(make, 0) == of(make, 1) == (0, 0, 0)


def test_gated_activation_convolution_and_recurrence() -> None:
    make = GraphMaker()
    gate, up = make.leaf("g", "f32", 8, 2, flags=INPUT), make.leaf("u", "f32", 8, 2, flags=INPUT)
    make.node("SWIGLU", (8, 2), gate, up)
    assert of(make) == (5 * 16, 3 * 4 * 16, 0)
    kernel, image = make.leaf("kernel", "f16", 3, 3, 4, 6), make.leaf("image", "f32", 10, 10, 4, 1, flags=INPUT)
    make.node("CONV_2D", (8, 8, 6), kernel, image)
    assert of(make) == (2 * 8 * 8 * 6 * 3 * 3 * 4, 2 * 216 + 4 * 400 + 4 * 384, 2 * 216)
    make.node("IM2COL", (36, 64), kernel, image, type_name="f16")
    assert of(make)[1] == 4 * 400 + 2 * 36 * 64
    state, x = make.leaf("state", "f32", 16, 4, 2, 5), make.leaf("xs", "f32", 4, 2, 3, 1, flags=INPUT)
    dt, a = make.leaf("dt", "f32", 2, 3, flags=INPUT), make.leaf("a", "f32", 1, 2)
    b, c = make.leaf("b", "f32", 16, 1, 3, flags=INPUT), make.leaf("c", "f32", 16, 1, 3, flags=INPUT)
    make.node("SSM_SCAN", (4 * 2 * 3 + 16 * 4 * 2,), state, x, dt, a, b, c, make.leaf("i", "i32", 1, flags=INPUT))
    flops, moved, _ = of(make)
    assert flops == 5 * (4 * 2 * 3) * 16
    assert moved == 4 * (16 * 4 * 2 + 24 + 6 + 2 + 48 + 48 + 1) + 4 * (24 + 128)


def test_unknown_op_is_not_modelled() -> None:
    make = GraphMaker()
    make.node("NEW_OP_OF_LATER", (8,), make.leaf("x", "f32", 8, flags=INPUT))
    assert np.isnan(of(make)[:2]).all()
    make.node("POOL_2D", (4,), "x")
    flops, moved, _ = of(make)
    assert np.isnan(flops)
    assert moved == 4 * (8 + 4)


def test_what_is_not_computed_takes_nothing() -> None:
    make = GraphMaker()
    x = make.leaf("x", "f32", 8, flags=INPUT)
    make.node("SILU", (8,), x)
    make.node("SILU", (8,), x, flags=0)
    make.node("SILU", (0,), x)
    assert cost(make.graph()).bytes.tolist() == [64, 0, 0]


def test_without_flags_everything_is_computed() -> None:
    make = GraphMaker()
    make.node("SILU", (8,), make.leaf("x", "f32", 8, flags=INPUT), flags=0)
    assert of(make) == (32, 64, 0)


def test_weights_are_found_without_names() -> None:
    make = GraphMaker()
    kernel, state = make.leaf("leaf_0", "f16", 3, 80, 384), make.leaf("h_state", "f32", 240)
    weight = make.node("RESHAPE", (240, 384), kernel, type_name="f16", view=kernel)
    product = make.node("MUL_MAT", (5, 384), make.leaf("x", "f16", 240, 5, flags=INPUT), weight)
    assert of(make)[2] == 2 * 240 * 384
    # What the graph writes to is no weight, nor is what a scheduler copies from another backend.
    make.node("CPY", (240,), make.node("SILU", (240,), state), state, view=state)
    make.node("ADD", (5, 384), product, make.leaf("CPU#l_out-3#0", "f32", 5, 384))
    assert cost(make.graph()).weight_bytes.tolist()[2:] == [0, 0, 0]
    make.node("MUL_MAT", (7, 5), make.leaf("CUDA0#blk.0.attn_q.weight#0", "q8_0", 64, 7), make.leaf("y", "f32", 64, 5))
    assert of(make)[2] >= 7 * 68


def test_kv_cache_of_a_decode() -> None:
    make = GraphMaker()
    k, v = cache(make, "k", 1024, 256), cache(make, "v", 1024, 256)
    written(make, "k", 1024)
    written(make, "v", 1024)
    make.node("FLASH_ATTN_EXT", (64, 9, 1), make.leaf("q", "f32", 64, 1, 9, flags=INPUT), k, v)
    found = kv_bytes(make.graph())
    assert (found.read_bytes, found.added_bytes) == (2 * 256 * 192 * 2, 2 * 192 * 2)
    assert (found.positions, found.caches) == (256, 2)


def test_kv_cache_without_flash_attention() -> None:
    make = GraphMaker()
    k = cache(make, "k", 1024, 256)
    leaf = make.leaf("cache_v_l0", "f16", 192, 1024)
    strides = (2, 2048, 2048 * 64, 2048 * 192)
    v = make.node("PERMUTE", (256, 64, 3), leaf, name="cache_v_l0 (view)", type_name="f16", nb=strides, view=leaf)
    written(make, "k", 1024)
    new, ids = make.leaf("new_v", "f32", 1, 192, flags=INPUT), make.leaf("ids_v", "i64", 192, flags=INPUT)
    make.node("SET_ROWS", (1, 192 * 1024), new, ids, leaf, key="put", type_name="f16", view=leaf)
    kq = make.node("MUL_MAT", (256, 1, 9), k, make.leaf("q", "f32", 64, 1, 9, flags=INPUT))
    make.node("MUL_MAT", (64, 1, 9), v, make.node("SOFT_MAX", (256, 1, 9), kq))
    found = kv_bytes(make.graph())
    assert (found.read_bytes, found.added_bytes) == (2 * 256 * 192 * 2, 2 * 192 * 2)
    assert (found.positions, found.caches) == (256, 2)
    assert cost(make.graph()).weight_bytes.sum() == 0


def test_a_window_that_is_full_does_not_grow() -> None:
    make = GraphMaker()
    k, v = cache(make, "k", 256, 256), cache(make, "v", 256, 256)
    written(make, "k", 256)
    written(make, "v", 256)
    make.node("FLASH_ATTN_EXT", (64, 9, 1), make.leaf("q", "f32", 64, 1, 9, flags=INPUT), k, v)
    assert kv_bytes(make.graph()).added_bytes == 0


def test_size_of_a_kv_cache() -> None:
    assert kv_cache_bytes(8192, 32, k_row_bytes=2 * 1024, v_row_bytes=2 * 1024) == 1024 * MIB
    assert kv_cache_bytes(8192, 32, 2 * 1024, 2 * 1024, window=1024) == 128 * MIB


def test_empty_graph() -> None:
    graph = graph_of([], 0, {})
    assert len(cost(graph).flops) == 0
    assert kv_bytes(graph).read_bytes == 0


@pytest.mark.parametrize("seed", range(8))
def test_hostile_numbers_are_borne(seed: int) -> None:
    rng = random.Random(seed)
    ops = [*_FORMULAS, "NONE", "VIEW", "NEW"]
    numbers = {op: i for i, op in enumerate(ops, 1)}

    def number() -> int:
        return rng.choice((0, 1, 2, 3, 64, rng.getrandbits(32), rng.getrandbits(63), (1 << 64) - 1))

    def tensor() -> Tensor:
        four = [(number(), number()) for _ in range(4)]
        sources = tuple(rng.choice((None, rng.randrange(200))) for _ in range(rng.randrange(16)))
        return Tensor(
            rng.choice(("a#b", "cache_k_l0", "blk.0.x.weight", "")),
            rng.choice((number() % (1 << 32), rng.randrange(len(ops) + 1))),
            1,
            tuple(ne for ne, _ in four),  # type: ignore[arg-type]
            tuple(nb for _, nb in four),  # type: ignore[arg-type]
            number(),
            rng.choice((0, INPUT, COMPUTE)),
            sources,
            rng.choice((None, rng.randrange(200))),
            number(),
        )

    graph = graph_of([tensor() for _ in range(200)], rng.choice((0, 1, 150, 200)), numbers)
    found = cost(graph)
    for column in (found.flops, found.bytes, found.weight_bytes):
        assert ((column >= 0) & np.isfinite(column) | np.isnan(column)).all()
    kv = kv_bytes(graph)
    assert kv.read_bytes >= 0
    assert kv.added_bytes >= 0
