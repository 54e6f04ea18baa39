"""What computing a node takes: floating-point operations and bytes moved, by formulae over shapes alone.

The one place for formulae. All follow from what the op is defined to compute; what ggml's kernels do beyond that
(repacking, quantizing the activations, tables in place of `exp`) is not counted. An addition, a multiplication, a
comparison of values and a function like `exp` count as one operation each, a multiply-add as two.

Bytes are those of the result and of the sources, each once, however often a cache had to fetch it again. A view
counts what is read through it and not its parent, a broadcast source its own bytes. Sizes come from what ggml says of
the tensor itself, so that a type which is not known here counts right.

NaN means: not modelled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ggml_viz.model.graph import Graph

Floats: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.intp]

_NAN = float("nan")
_INPUT_FLAG, _COMPUTE_FLAG = 1, 16
_UNUSED = ("NONE", "VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE")


@dataclass(frozen=True, slots=True)
class Cost:
    """What the nodes of a graph take in one run; each field is an array [nodes].

    Attributes:
        flops: Floating-point operations; NaN: not modelled. The integer operations of a product with quantized
            weights are counted in their place.
        bytes: Bytes read and written; NaN: not modelled. For MUL_MAT_ID an upper bound: which experts were chosen is
            not recorded, so as many different ones as there can be are counted: the lesser of how many there are and
            how many were chosen over all tokens.
        written_bytes: Those of them that are written.
        weight_bytes: Those of them that are read from weights.
        integer: Whether it is a product with quantized weights, computed by integer dot products.
    """

    flops: Floats
    bytes: Floats
    written_bytes: Floats
    weight_bytes: Floats
    integer: npt.NDArray[np.bool_]

    def of_group(self, node: int, fused: int) -> tuple[float, float]:
        """Operations and bytes of a node computed together with so many behind it; NaN: not modelled.

        What is between the nodes of a group is neither written nor read.
        """
        group, inner = slice(node, node + fused + 1), slice(node, node + fused)
        moved = float(self.bytes[group].sum()) - 2 * float(self.written_bytes[inner].sum())
        return float(self.flops[group].sum()), max(moved, 0.0) if moved == moved else moved


class _Work:
    """Columns of a graph that formulae use and fill in.

    Attributes:
        ne: Elements in each dimension: [tensors, 4].
        elements: [tensors].
        row_bytes: Bytes of one row (`ne[0]` elements): [tensors].
        data_bytes: Bytes of all its elements, gaps of a view left out: [tensors].
        is_quantized: Whether elements come in blocks: [tensors].
        sources: Indices of the nodes' sources, -1 where there is none: [nodes, most sources].
        read: Bytes read of each source: [nodes, most sources].
        written: Bytes written: [nodes].
        flops: [nodes].
    """

    def __init__(self, graph: Graph) -> None:
        tensors, count = graph.tensors, graph.node_count
        self.ne = np.maximum(tensors["ne"], 0).astype(np.float64)
        strides = tensors["nb"].astype(np.float64)
        extent = tensors["bytes"].astype(np.float64)
        self.elements = self.ne.prod(axis=1)
        # ggml_nbytes: of a plain type, the distance from the first element to the last, and the last; of one in blocks,
        # the distance from the first row to the last, and a whole row. So what the distances leave is an element's
        # size, or, if the rest is too small for that, the type comes in blocks.
        rows_apart = ((self.ne[:, 1:] - 1) * strides[:, 1:]).sum(axis=1)
        element = extent - rows_apart - (self.ne[:, 0] - 1) * strides[:, 0]
        self.is_quantized = (element <= 0) & (extent > 0) & (self.elements > 0)
        row_bytes = np.where(self.is_quantized, extent - rows_apart, self.ne[:, 0] * element)
        self.row_bytes = np.clip(row_bytes, 0, extent)
        self.rows = self.ne[:, 1:].prod(axis=1)
        self.data_bytes = np.minimum(self.rows * self.row_bytes, extent)
        self.view_offset = tensors["view_offset_bytes"].astype(np.float64)
        self.extent = extent

        self.root = tensors["view"].astype(np.int64) - 1
        own = np.flatnonzero(self.root < 0)
        self.root[own] = own

        numbers, self.op_of_node = np.unique(tensors["op"][:count], return_inverse=True)
        self.ops = [graph.names.get(int(number), "?") for number in numbers]

        # Reading a graph has made sure that sources and views are tensors of it.
        width = max(1, int(tensors["source_count"][:count].max(initial=0)))
        self.sources = tensors["sources"][:count, :width].astype(np.int64) - 1
        # What reads a source that is not there reads the last tensor: an empty one is put there for it.
        self.ne = np.vstack([self.ne, np.zeros(4)])
        for column in ("elements", "row_bytes", "data_bytes", "rows", "view_offset", "extent"):
            setattr(self, column, np.append(getattr(self, column), 0.0))
        self.is_quantized = np.append(self.is_quantized, False)
        self.root = np.append(self.root, -1)
        self.read = self.data_bytes[self.sources]
        self.written = self.data_bytes[:count].copy()
        self.flops = np.zeros(count)

    def computing(self, *ops: str) -> npt.NDArray[np.bool_]:
        """Which nodes compute one of some ops: [nodes]."""
        chosen: npt.NDArray[np.bool_] = np.array([op in ops for op in self.ops], bool)[self.op_of_node]
        return chosen

    def source(self, nodes: Indices, place: int) -> npt.NDArray[np.int64]:
        """Indices of a source of some nodes; -1, the empty tensor, where they have none."""
        if place < self.sources.shape[1]:
            found: npt.NDArray[np.int64] = self.sources[nodes, place]
            return found
        return np.full(len(nodes), -1)

    def reads(self, nodes: Indices, place: int, read_bytes: Floats | float) -> None:
        """Sets the bytes that nodes read of a source."""
        if place < self.sources.shape[1]:
            self.read[nodes, place] = read_bytes


_Special: TypeAlias = Callable[[_Work, Indices], None]


class _Formula(NamedTuple):
    """Floating-point operations for each element of the result and of the first source, and what else there is to do.

    Where `special` says nothing else, all sources are read and the result is written.
    """

    per_result: float = 0
    per_source: float = 0
    special: _Special | None = None


# --- products ---


def _mul_mat(work: _Work, nodes: Indices) -> None:
    """2·m·n·k for each matrix: k is the length of src0's rows (ggml_mul_mat)."""
    work.flops[nodes] = 2 * work.elements[nodes] * work.ne[work.source(nodes, 0), 0]


def _mul_mat_id(work: _Work, nodes: Indices) -> None:
    """2·m·k·n·n_used; reads no more matrices than were chosen, nor than there are (ggml_mul_mat_id)."""
    _mul_mat(work, nodes)
    experts, ids = work.source(nodes, 0), work.source(nodes, 2)
    count = work.ne[experts, 2]
    used = np.minimum(count, work.elements[ids])
    work.reads(nodes, 0, work.data_bytes[experts] * used / np.maximum(count, 1))


def _add_id(work: _Work, nodes: Indices) -> None:
    """One addition for each element; of src1, one row for each expert that was chosen (ggml_add_id)."""
    rows, ids = work.source(nodes, 1), work.source(nodes, 2)
    work.reads(nodes, 1, work.row_bytes[rows] * np.minimum(work.rows[rows], work.elements[ids]))


def _out_prod(work: _Work, nodes: Indices) -> None:
    """2·m·n·k: k is the number of src0's rows (ggml_out_prod)."""
    work.flops[nodes] = 2 * work.elements[nodes] * work.ne[work.source(nodes, 0), 1]


def _solve_tri(work: _Work, nodes: Indices) -> None:
    """N² for each column of the result: forward substitution (ggml_solve_tri)."""
    work.flops[nodes] = work.elements[nodes] * work.ne[work.source(nodes, 0), 0]


def _flash_attn_ext(work: _Work, nodes: Indices) -> None:
    """2·heads·batch·(hs_k + hs_v)·n_q·n_kv, masked positions included (ggml_flash_attn_ext).

    V that lies within K, as with multi-head latent attention, is not read again.
    """
    q, k, v = (work.source(nodes, place) for place in range(3))
    pairs = work.ne[q, 1:].prod(axis=1) * work.ne[k, 1]
    work.flops[nodes] = 2 * pairs * (work.ne[k, 0] + work.ne[v, 0])
    work.reads(nodes, 2, np.where(_lies_within(work, v, k), 0, work.data_bytes[v]))


def _lies_within(work: _Work, inner: Indices, outer: Indices) -> npt.NDArray[np.bool_]:
    begin = work.view_offset[inner] - work.view_offset[outer]
    inside: npt.NDArray[np.bool_] = (
        (work.root[inner] == work.root[outer])
        & (begin >= 0)
        & (begin + work.extent[inner] <= work.extent[outer])
        & (inner >= 0)
    )
    return inside


# --- convolutions ---


def _conv_2d(work: _Work, nodes: Indices) -> None:
    """2·KW·KH·IC for each element: the kernel is [KW, KH, IC, OC] (ggml_conv_2d_direct)."""
    work.flops[nodes] = 2 * work.elements[nodes] * work.ne[work.source(nodes, 0), :3].prod(axis=1)


def _conv_2d_dw(work: _Work, nodes: Indices) -> None:
    """2·KW·KH for each element: the kernel is [KW, KH, 1, C] (ggml_conv_2d_dw_direct)."""
    work.flops[nodes] = 2 * work.elements[nodes] * work.ne[work.source(nodes, 0), :2].prod(axis=1)


def _conv_3d(work: _Work, nodes: Indices) -> None:
    """2·KW·KH·KD·IC for each element (ggml_conv_3d_direct).

    The last dimensions are IC·OC of the kernel, IC·N of the input, OC·N of the result; IC follows from the three.
    """
    kernel, image = work.source(nodes, 0), work.source(nodes, 1)
    channels = np.sqrt(work.ne[kernel, 3] * work.ne[image, 3] / np.maximum(work.ne[nodes, 3], 1))
    work.flops[nodes] = 2 * work.elements[nodes] * work.ne[kernel, :3].prod(axis=1) * channels


def _conv_transpose_1d(work: _Work, nodes: Indices) -> None:
    """2·K·OC·IC for each position of the input: the kernel is [K, OC, IC] (ggml_conv_transpose_1d)."""
    kernel, signal = work.source(nodes, 0), work.source(nodes, 1)
    work.flops[nodes] = 2 * work.elements[kernel] * work.ne[signal, 0]


def _conv_transpose_2d(work: _Work, nodes: Indices) -> None:
    """2·KW·KH·OC·IC for each position of each input: the kernel is [KW, KH, OC, IC] (ggml_conv_transpose_2d_p0)."""
    kernel, image = work.source(nodes, 0), work.source(nodes, 1)
    work.flops[nodes] = 2 * work.elements[kernel] * work.ne[image][:, [0, 1, 3]].prod(axis=1)


def _im2col(work: _Work, nodes: Indices) -> None:
    """Moves data; the kernel gives but its shape (ggml_im2col)."""
    work.reads(nodes, 0, 0)


# --- recurrences, for each element of a state of S × S values a head ---


def _ssm_conv(work: _Work, nodes: Indices) -> None:
    """2·d_conv for each element: d_conv is the length of src1's rows (ggml_ssm_conv)."""
    work.flops[nodes] = 2 * work.elements[nodes] * work.ne[work.source(nodes, 1), 0]


def _ssm_scan(work: _Work, nodes: Indices) -> None:
    """For each element of x and each of d_state states: s = s·dA + B·x, y += s·C (ggml_ssm_scan).

    5 operations; 7 where each state has a dA = exp(dt·A) of its own (Mamba 1: A's rows are as long as the state). One
    state is read for each sequence of x, of the many that the cache may hold.
    """
    state, x, decay = (work.source(nodes, place) for place in (0, 1, 3))
    each = np.where(work.ne[decay, 0] > 1, 7, 5)
    work.flops[nodes] = each * work.elements[x] * work.ne[state, 0]
    held = np.maximum(work.ne[state, 3], 1)
    work.reads(nodes, 0, work.data_bytes[state] * np.minimum(work.ne[x, 3], held) / held)


def _recurrence(operations: float, values: int) -> _Special:
    """So many operations for each of the S·S values of a head's state, for each token.

    Args:
        operations: How many.
        values: The source that is [S, heads, tokens, …].
    """

    def special(work: _Work, nodes: Indices) -> None:
        source = work.source(nodes, values)
        work.flops[nodes] = operations * work.elements[source] * work.ne[source, 0]

    return special


# --- data movement ---


def _get_rows(work: _Work, nodes: Indices) -> None:
    """Reads the rows that it takes, no others (ggml_get_rows)."""
    table, ids = work.source(nodes, 0), work.source(nodes, 1)
    work.reads(nodes, 0, work.row_bytes[table] * work.elements[ids])


def _set_rows(work: _Work, nodes: Indices) -> None:
    """Writes the rows of src0 into the result, which is a view of all that they could be written to (ggml_set_rows)."""
    work.written[nodes] = work.row_bytes[nodes] * work.rows[work.source(nodes, 0)]
    work.reads(nodes, 2, 0)


def _cpy(work: _Work, nodes: Indices) -> None:
    """Reads src0; src1 is what it writes to (ggml_cpy)."""
    work.reads(nodes, 1, 0)


def _set(work: _Work, nodes: Indices) -> None:
    """Writes src1 over a part of src0, in place if the result is a view of it (ggml_set)."""
    in_place = work.root[nodes] != nodes
    part = work.data_bytes[work.source(nodes, 1)]
    work.written[nodes] = np.where(in_place, part, work.written[nodes])
    work.reads(nodes, 0, np.where(in_place, 0, work.data_bytes[work.source(nodes, 0)]))


def _acc(work: _Work, nodes: Indices) -> None:
    """Adds src1 to a part of src0, in place if the result is a view of it (ggml_acc)."""
    in_place = work.root[nodes] != nodes
    added = work.source(nodes, 1)
    work.flops[nodes] = work.elements[added]
    work.written[nodes] = np.where(in_place, work.data_bytes[added], work.written[nodes])
    work.reads(nodes, 0, np.where(in_place, work.data_bytes[added], work.data_bytes[work.source(nodes, 0)]))


def _soft_max(work: _Work, nodes: Indices) -> None:
    """Scale, maximum, difference, exp, sum and product; one more for each of mask (ggml_soft_max_ext)."""
    has_mask = work.source(nodes, 1) >= 0
    work.flops[nodes] = work.elements[nodes] * np.where(has_mask, 7, 6)


def _unmodelled(work: _Work, nodes: Indices) -> None:
    work.flops[nodes] = _NAN
    work.written[nodes] = _NAN


def _flops_unmodelled(work: _Work, nodes: Indices) -> None:
    work.flops[nodes] = _NAN


_MOVES = (
    *("DUP", "CONT", "CONCAT", "REPEAT", "PAD", "PAD_REFLECT_1D", "ROLL", "ARANGE", "FILL", "DIAG", "TRI"),
    *("DIAG_MASK_INF", "DIAG_MASK_ZERO", "WIN_PART", "WIN_UNPART", "GET_REL_POS"),
)
# Comparisons of values to order them are no arithmetic.
_ORDERS = ("ARGMAX", "ARGSORT", "TOP_K")
# Functions of each element, from their definitions: SILU is x / (1 + exp(-x)).
_ACTIVATIONS = {
    **dict.fromkeys(("ABS", "SGN", "NEG", "STEP", "TANH", "RELU", "EXP", "EXPM1", "FLOOR", "CEIL", "ROUND"), 1),
    **dict.fromkeys(("TRUNC", "SQR", "SQRT", "LOG", "SIN", "COS"), 1),
    "ELU": 2,
    "LEAKY_RELU": 2,
    "SOFTPLUS": 3,
    "SIGMOID": 4,
    "SILU": 4,
    "HARDSIGMOID": 4,
    "HARDSWISH": 5,
    # ½x (1 + tanh(√(2/π) x (1 + a·x·x))); x / (1 + exp(-1.702 x)); ½x (1 + erf(x / √2)).
    "GELU": 9,
    "GELU_QUICK": 4,
    "GELU_ERF": 5,
}
# An activation and a product; SWIGLU_OAI and SWIGLU_CLAMP limit both halves, and the first adds one to the second.
_GATED = {
    "REGLU": 2,
    "GEGLU": 10,
    "SWIGLU": 5,
    "GEGLU_ERF": 6,
    "GEGLU_QUICK": 5,
    "SWIGLU_OAI": 10,
    "SWIGLU_CLAMP": 8,
}

_FORMULAS: dict[str, _Formula] = {
    **dict.fromkeys((*_MOVES, *_ORDERS), _Formula()),
    **{op: _Formula(per_result=flops) for op, flops in (_ACTIVATIONS | _GATED).items()},
    **dict.fromkeys(("ADD", "ADD1", "SUB", "MUL", "DIV", "SCALE"), _Formula(per_result=1)),
    **dict.fromkeys(("SUM", "SUM_ROWS", "MEAN", "CUMSUM", "REPEAT_BACK"), _Formula(per_source=1)),
    "CLAMP": _Formula(per_result=2),
    # Square, sum, product; NORM and GROUP_NORM sum twice and take the mean away.
    "RMS_NORM": _Formula(per_result=3),
    "L2_NORM": _Formula(per_result=3),
    "NORM": _Formula(per_result=5),
    "GROUP_NORM": _Formula(per_result=5),
    # Two values are rotated by four products and two sums. How many of a row are is not recorded: all are counted.
    "ROPE": _Formula(per_result=3),
    "SOFT_MAX": _Formula(special=_soft_max),
    "MUL_MAT": _Formula(special=_mul_mat),
    "MUL_MAT_ID": _Formula(special=_mul_mat_id),
    "ADD_ID": _Formula(per_result=1, special=_add_id),
    "OUT_PROD": _Formula(special=_out_prod),
    "SOLVE_TRI": _Formula(special=_solve_tri),
    "FLASH_ATTN_EXT": _Formula(special=_flash_attn_ext),
    "CONV_2D": _Formula(special=_conv_2d),
    "CONV_2D_DW": _Formula(special=_conv_2d_dw),
    "CONV_3D": _Formula(special=_conv_3d),
    "CONV_TRANSPOSE_1D": _Formula(special=_conv_transpose_1d),
    "CONV_TRANSPOSE_2D": _Formula(special=_conv_transpose_2d),
    "IM2COL": _Formula(special=_im2col),
    "IM2COL_3D": _Formula(special=_im2col),
    "SSM_CONV": _Formula(special=_ssm_conv),
    "SSM_SCAN": _Formula(special=_ssm_scan),
    # k·v, out += (kv·first + s)·r, s = s·decay + kv (ggml_rwkv_wkv6).
    "RWKV_WKV6": _Formula(special=_recurrence(7, values=0)),
    # sa += s·a, s = s·w + v·k + sa·b, out += s·r (ggml_rwkv_wkv7).
    "RWKV_WKV7": _Formula(special=_recurrence(9, values=2)),
    # s = s·g + k·v, out += s·q (ggml_gated_linear_attn).
    "GATED_LINEAR_ATTN": _Formula(special=_recurrence(5, values=0)),
    # s = s·g, delta += s·k, s += k·delta, out += s·q (ggml_gated_delta_net).
    "GATED_DELTA_NET": _Formula(special=_recurrence(7, values=2)),
    "GET_ROWS": _Formula(special=_get_rows),
    "SET_ROWS": _Formula(special=_set_rows),
    "CPY": _Formula(special=_cpy),
    "SET": _Formula(special=_set),
    "ACC": _Formula(special=_acc),
    # What they compute depends on parameters that are not recorded; what they move does not.
    **dict.fromkeys(
        ("POOL_1D", "POOL_2D", "UPSCALE", "TIMESTEP_EMBEDDING", "ADD_REL_POS", "COUNT_EQUAL", "XIELU", "COL2IM_1D"),
        _Formula(special=_flops_unmodelled),
    ),
}
_UNMODELLED = _Formula(special=_unmodelled)


def cost(graph: Graph) -> Cost:
    """What each node of a graph takes in one run.

    Views, nodes without elements, and nodes that the graph lists and ggml does not compute take nothing. A pair that
    ggml computes as one takes what its two nodes take: add them up.

    A source is a weight if it is, or is a view of all of, a tensor that nothing in the graph computes or writes to and
    that is not marked as an input: so the weights of programs that name none are found, and caches are not counted.
    """
    work = _Work(graph)
    count = graph.node_count
    all_nodes = np.arange(count)
    formulas = [_FORMULAS.get(op, _UNMODELLED) for op in work.ops]
    if count:
        per_result = np.array([formula.per_result for formula in formulas])[work.op_of_node]
        per_source = np.array([formula.per_source for formula in formulas])[work.op_of_node]
        work.flops = per_result * work.elements[:count] + per_source * work.elements[work.source(all_nodes, 0)]
    for number, formula in enumerate(formulas):
        if formula.special is not None:
            formula.special(work, np.flatnonzero(work.op_of_node == number))

    # Of a node whose sources are not known, as where a file does not tell them, nothing is.
    unknown = work.source(all_nodes, 0) < 0
    work.flops[unknown], work.written[unknown] = _NAN, _NAN

    flags = graph.tensors["flags"][:count]
    # Older ggml marks no node.
    is_idle = (flags & _COMPUTE_FLAG == 0) & bool((flags & _COMPUTE_FLAG).any())
    is_idle |= work.computing(*_UNUSED) | (work.elements[:count] == 0)
    work.flops[is_idle], work.written[is_idle], work.read[is_idle] = 0, 0, 0
    return Cost(
        flops=work.flops,
        bytes=work.read.sum(axis=1) + work.written,
        written_bytes=work.written,
        weight_bytes=(work.read * _reads_weights(graph, work)).sum(axis=1),
        integer=work.computing("MUL_MAT", "MUL_MAT_ID") & work.is_quantized[work.source(all_nodes, 0)],
    )


def _stored(graph: Graph, work: _Work) -> npt.NDArray[np.bool_]:
    """Which tensors hold values that were there before the graph ran and stay, weights and caches: [tensors + 1]."""
    tensors = graph.tensors
    stored = np.zeros(len(tensors) + 1, bool)
    leaves = np.arange(graph.node_count, len(tensors))
    stored[leaves] = (tensors["source_count"][leaves] == 0) & (tensors["flags"][leaves] & _INPUT_FLAG == 0)
    stored[leaves] &= work.root[leaves] == leaves
    # A scheduler's copy of a result of another backend ("CUDA0#l_out-3#0"). It copies weights too.
    for index in graph.containing(b"#"):
        stored[index] &= ".weight" in graph.name(int(index))
    return stored


def _written(graph: Graph, work: _Work) -> npt.NDArray[np.bool_]:
    """Which tensors a node of the graph writes to through a view: [tensors + 1]."""
    written = np.zeros(len(graph.tensors) + 1, bool)
    nodes = np.flatnonzero(~work.computing(*_UNUSED))
    roots = work.root[nodes]
    written[roots[roots != nodes]] = True
    return written


def _reads_weights(graph: Graph, work: _Work) -> npt.NDArray[np.bool_]:
    """Which sources of nodes are weights: [nodes, most sources]."""
    roots = work.root[work.sources]
    is_weight = _stored(graph, work) & ~_written(graph, work)
    whole = work.elements[work.sources] == work.elements[roots]
    reads: npt.NDArray[np.bool_] = is_weight[roots] & whole & (work.sources >= 0)
    reads[work.computing("FLASH_ATTN_EXT"), 1:3] = False  # the K and V of a cache that another graph writes
    return reads


# --- the KV cache ---


@dataclass(frozen=True, slots=True)
class KvBytes:
    """What attention reads of the KV cache in one run of a graph.

    Attributes:
        read_bytes: Bytes of K and V read, over all layers. llama.cpp reads a multiple of 256 positions.
        added_bytes: By how much they grow with each further token. Nothing where a layer reads all that its cache
            holds already: that of a sliding window, or one that is full.
        positions: The most positions that a layer reads.
        caches: Tensors that are read; K and V of a layer may be two or one.
    """

    read_bytes: float
    added_bytes: float
    positions: int
    caches: int


def kv_bytes(graph: Graph) -> KvBytes:
    """What attention reads of the KV cache: Σ over layers of positions · (bytes of a K row + bytes of a V row).

    Found as the views of stored tensors that FLASH_ATTN_EXT or MUL_MAT read and that are no weights. A window counts by
    itself, because its layers' views are no longer than it.
    """
    work = _Work(graph)
    stored, written = _stored(graph, work), _written(graph, work)

    attention = np.flatnonzero(work.computing("FLASH_ATTN_EXT"))
    k, v = work.source(attention, 1), work.source(attention, 2)
    k_and_v = np.concatenate([k, v[~_lies_within(work, v, k)]])
    k_and_v = k_and_v[stored[work.root[k_and_v]]]

    products = np.flatnonzero(work.computing("MUL_MAT"))
    factor, other = work.source(products, 0), work.source(products, 1)
    root = work.root[factor]
    # A cache is written to, unless another graph does that (whisper.cpp); then it is read in parts, a head at a time.
    in_parts = (work.elements[factor] < work.elements[root]) & (work.ne[factor, 2] > 1)
    is_cache = stored[root] & (written[root] | in_parts)
    # V stands so that its rows are positions; it is multiplied with the result of SOFT_MAX.
    is_softmax = np.append(work.computing("SOFT_MAX"), False)
    is_v = is_softmax[np.where(other < graph.node_count, other, -1)]

    tensors = np.concatenate([k_and_v, factor[is_cache]])
    positions = np.concatenate([work.ne[k_and_v, 1], np.where(is_v, work.ne[factor, 0], work.ne[factor, 1])[is_cache]])
    read = work.data_bytes[tensors]
    # A cache may hold several streams, each with positions of its own.
    rows = np.maximum(positions * work.ne[tensors, 3], 1)
    grows = written[work.root[tensors]] & (read < work.data_bytes[work.root[tensors]])
    return KvBytes(
        read_bytes=float(read.sum()),
        added_bytes=float((read / rows)[grows].sum()),
        positions=int(min(positions.max(initial=0), 2**63)),
        caches=len(np.unique(work.root[tensors])),
    )


def kv_cache_bytes(
    positions: int, layers: int, k_row_bytes: float, v_row_bytes: float, window: int | None = None
) -> float:
    """Bytes of a KV cache: layers · min(positions, window) · (bytes of a K row + bytes of a V row).

    Args:
        positions: Tokens that are kept.
        layers: Layers that keep them.
        k_row_bytes: Bytes of K for one token in one layer.
        v_row_bytes: Bytes of V.
        window: The most tokens that a layer keeps; None: all.
    """
    kept = positions if window is None else min(positions, window)
    return layers * kept * (k_row_bytes + v_row_bytes)
