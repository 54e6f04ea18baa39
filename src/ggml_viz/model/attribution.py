"""Which layer of the model each tensor of a graph belongs to, and in which role, told from names alone.

Names are matched against families of naming rules (`naming/*.toml`, described in docs/naming-rules.md). A layer has a
number. Where several stacks of layers are numbered alike (an encoder and a decoder), the role begins with the stack's
module: `encoder.attn_q` and `decoder.attn_q` of layer 0 are different layers, so group by layer and role, or by layer
and `module_of(role)`, never by the layer's number alone.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ggml_viz.errors import UserError, printable

if TYPE_CHECKING:
    from ggml_viz.model.graph import Graph

PARTS = ("", "embedding", "output", "input", "kv")
EMBEDDING, OUTPUT, INPUT, KV = range(1, 5)

# Beyond it a name is none: ggml's own limit is 64 bytes, a few programs set 128.
_LONGEST_NAME = 256
_LAYER_DIGITS = 6
_MAX_ROLES = 1 << 16
_MAX_NAMES = 1 << 18
_MAX_FILE_BYTES = 1 << 20
# The first so many leaves with a name of their own tell the family.
_TELLING_LEAVES = 64

_AUTOMATIC = re.compile(rb"(node|leaf)_\d+")
_NORMS = ("RMS_NORM", "NORM", "L2_NORM", "GROUP_NORM")
_MATMULS = ("MUL_MAT", "MUL_MAT_ID")
_MOVES = ("VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE", "CONT", "CPY", "DUP")


@dataclass(frozen=True, slots=True)
class Attribution:
    """Layers and roles of a graph's tensors.

    Attributes:
        family: The naming rules that apply; "" where none does.
        layer: Number of the layer, -1 where it belongs to none: [tensors].
        role: Its role, as an index in `roles`; 0: unnamed: [tensors].
        part: Where there is no layer: what it belongs to, as an index in PARTS; 0: unknown: [tensors].
        roles: The roles' names, "" first. All graphs that are attributed with the same rules share it, so that their
            numbers mean the same; it grows with each graph.
    """

    family: str
    layer: npt.NDArray[np.int32]
    role: npt.NDArray[np.uint16]
    part: npt.NDArray[np.uint8]
    roles: list[str]

    @property
    def placed(self) -> npt.NDArray[np.bool_]:
        """Whether it belongs to a layer, to the embedding or to the output: [tensors]."""
        placed: npt.NDArray[np.bool_] = (self.layer >= 0) | (self.part == EMBEDDING) | (self.part == OUTPUT)
        return placed


class _Roles:
    """Numbers the roles that all families of one `load_rules` give."""

    def __init__(self) -> None:
        self.names = [""]
        self._numbers = {"": 0}

    def number(self, role: str) -> int:
        """The number of a role; 0 if there are too many."""
        known = self._numbers.get(role)
        if known is None:
            if len(self.names) >= _MAX_ROLES:
                return 0
            known = self._numbers[role] = len(self.names)
            self.names.append(role)
        return known


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    role: str
    part: int
    module: str


class NamingRules:
    """A family of rules, and what they said of names so far. Made by `load_rules`.

    Attributes:
        name: The family's name.
        roles: The table of roles that it shares with the other families of its `load_rules`.
    """

    def __init__(
        self, name: str, rules: Sequence[_Rule], aliases: Mapping[str, str], ops: Mapping[str, str], roles: _Roles
    ) -> None:
        self.name = name
        self.roles = roles
        self._rules = rules
        self._aliases = aliases
        self._ops = ops
        self._known: dict[bytes, int] = {}
        # Rows: layer, role, part, number of the module, whether the role awaits a module. Row 0: no rule matches.
        self._rows: list[tuple[int, int, int, int, int]] = [(-1, 0, 0, 0, 0)]
        self._numbers = {self._rows[0]: 0}
        self._table = np.array(self._rows, np.int32)

    def rows(self, names: Sequence[bytes]) -> npt.NDArray[np.intp]:
        """For each name the row of `table` that holds what the rules say of it; 0: nothing."""
        known = self._known
        found = [known.get(name) for name in names]
        if None in found:
            if len(known) > _MAX_NAMES:
                known.clear()
            found = [self._look_up(name) for name in names]
        return np.array(found, np.intp)

    @property
    def table(self) -> npt.NDArray[np.int32]:
        """Layer, role, part, module and whether the role awaits one: [rows, 5]."""
        if len(self._table) != len(self._rows):
            self._table = np.array(self._rows, np.int32)
        return self._table

    def matches(self, names: Iterable[bytes]) -> int:
        """How many of the names a rule matches."""
        return sum(self._look_up(name) > 0 for name in names)

    def role_of_op(self, op: str) -> int:
        """Number of the role of unnamed nodes that compute an op, 0 if there is none."""
        return self.roles.number(self._ops.get(op, ""))

    def in_module(self, role: int, module: int) -> int:
        """Number of a role in a module; 0 stands for none of either."""
        names = self.roles.names
        return self.roles.number(f"{names[module]}.{names[role]}") if role and module else role

    def _look_up(self, name: bytes) -> int:
        row = self._known.get(name)
        if row is None:
            base = base_name(name)
            row = self._known.get(base)
            if row is None:
                row = self._known[base] = self._match(base)
            self._known[name] = row
        return row

    def _match(self, base: bytes) -> int:
        if not base or len(base) > _LONGEST_NAME:
            return 0
        text = base.decode("utf-8", "replace")
        for rule in self._rules:
            match = rule.pattern.fullmatch(text)
            if match is None:
                continue
            groups = match.groupdict()
            digits = groups.get("layer")
            layer = int(digits) if digits and digits.isdecimal() and len(digits) <= _LAYER_DIGITS else -1
            if digits and layer < 0:
                continue
            role = _filled(rule.role, groups).replace(".", "_")
            role = self._aliases.get(role, role)
            module = self.roles.number(rule.module)
            if module:
                role = f"{rule.module}.{role}"
            awaits = layer >= 0 and not module
            row = (layer, self.roles.number(role), 0 if layer >= 0 else rule.part, module, int(awaits))
            number = self._numbers.get(row)
            if number is None:
                number = self._numbers[row] = len(self._rows)
                self._rows.append(row)
            return number
        return 0


def base_name(name: bytes) -> bytes:
    """A tensor's name without what ggml adds to it; empty if ggml made it up.

    ggml adds " (view)", " (permuted)", " (copy of …)" and the like at the end, and a scheduler calls its copies
    "BACKEND#name#number". Names are cut off at 63 bytes, so that an addition may lack its end.
    """
    parts = name.split(b"#", 2)
    if len(parts) > 1:
        name = parts[1]
    name = name.split(b" (", 1)[0]
    return b"" if _AUTOMATIC.fullmatch(name) else name


def module_of(role: str) -> str:
    """The module of a role (`encoder` of `encoder.attn_q`), "" if it has none.

    A role has no other dots: those of a weight's name become underscores (`mlp_fc1` of `mlp.fc1.weight`).
    """
    return role.rpartition(".")[0]


def attribute(graph: Graph, rules: Sequence[NamingRules]) -> Attribution:
    """Tells the layer and the role of each tensor of a graph.

    A name that a rule matches tells by itself. The product of a layer's weight has that weight's role. A node without
    such a name takes the layer and the role of its nearest source that has them: of a weight first, else of a node. The
    embedding, the output and the inputs are not handed on from node to node, only from a weight to what uses it, and
    to what moves them. A norm whose result is multiplied by a weight at once has the role of that product.

    Takes time linear in the graph's size, whatever the sources are.

    Args:
        graph: The graph.
        rules: What `load_rules` returned.
    """
    tensors = graph.tensors
    names = graph.encoded_names(_LONGEST_NAME + 1)
    family = _family_of(graph, names, rules)
    if family is None:
        zeros = np.zeros(len(tensors), np.uint16)
        roles = rules[0].roles.names if rules else [""]
        return Attribution("", np.full(len(tensors), -1, np.int32), zeros, zeros.astype(np.uint8), roles)
    rows = family.rows(names)
    layer, role, part, module, awaits = family.table[rows].T.copy()
    ops = _Ops.of(graph)
    sources = _sources(graph)
    is_leaf = (np.arange(len(tensors)) >= graph.node_count) & (sources < 0).all(axis=1)

    module_of_nodes = _most_common(module[is_leaf & (layer >= 0)])
    if module_of_nodes:
        nodes = np.flatnonzero(awaits[: graph.node_count])
        role[nodes] = _in_module(family, role[nodes], module_of_nodes)
    _take_from_weights(graph, ops, sources, is_leaf, layer, role)
    _inherit(graph, ops, sources, is_leaf, rows > 0, (layer, role, part), family.roles.number("output"))
    for op in ops.names:
        number = family.role_of_op(op)
        if number:
            unnamed = ops.are((op,)) & (rows == 0)[: graph.node_count] & (layer[: graph.node_count] >= 0)
            role[np.flatnonzero(unnamed)] = family.in_module(number, module_of_nodes)
    _norms_like_products(graph, ops, sources, is_leaf, (layer, role, part))
    return Attribution(family.name, layer, role.astype(np.uint16), part.astype(np.uint8), family.roles.names)


def _family_of(graph: Graph, names: Sequence[bytes], rules: Sequence[NamingRules]) -> NamingRules | None:
    """The family whose rules match the most names of leaves; the most names of nodes, where that does not tell."""
    best, found = list(rules), False
    for candidates in (names[graph.node_count :], names[: graph.node_count]):
        telling = list(islice(filter(base_name, candidates), _TELLING_LEAVES))
        counts = [family.matches(telling) for family in best]
        most = max(counts, default=0)
        if most:
            found = True
            best = [family for family, count in zip(best, counts, strict=True) if count == most]
        if len(best) == 1:
            break
    return best[0] if found else None


@dataclass(frozen=True, slots=True)
class _Ops:
    """The ops of a graph's nodes: `names[number]` for each `number`: [nodes]."""

    names: list[str]
    number: npt.NDArray[np.intp]

    @classmethod
    def of(cls, graph: Graph) -> _Ops:
        numbers, inverse = np.unique(graph.tensors["op"][: graph.node_count], return_inverse=True)
        return cls([graph.names.get(int(number), "?") for number in numbers], inverse)

    def are(self, ops: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Which nodes compute one of some ops: [nodes]."""
        chosen: npt.NDArray[np.bool_] = np.array([name in ops for name in self.names], bool)[self.number]
        return chosen


def _sources(graph: Graph) -> npt.NDArray[np.int64]:
    """Indices of the tensors' sources, -1 where there is none: [tensors, most sources]."""
    width = int(graph.tensors["source_count"].max(initial=0))
    sources: npt.NDArray[np.int64] = graph.tensors["sources"][:, :width].astype(np.int64) - 1
    return sources


def _most_common(numbers: npt.NDArray[np.int32]) -> int:
    return int(np.bincount(numbers).argmax()) if len(numbers) else 0


def _in_module(family: NamingRules, roles: npt.NDArray[np.int32], module: int) -> npt.NDArray[np.int32]:
    known, inverse = np.unique(roles, return_inverse=True)
    return np.array([family.in_module(int(role), module) for role in known], np.int32)[inverse]


def _take_from_weights(
    graph: Graph,
    ops: _Ops,
    sources: npt.NDArray[np.int64],
    is_leaf: npt.NDArray[np.bool_],
    layer: npt.NDArray[np.int32],
    role: npt.NDArray[np.int32],
) -> None:
    """Gives products of a weight its role: a node may be named for the block that it ends (`ffn_out`)."""
    if not sources.shape[1]:
        return
    products = np.flatnonzero(ops.are(_MATMULS))
    weights = sources[products, 0]
    same = (weights >= 0) & is_leaf[weights] & (layer[weights] >= 0) & (layer[weights] == layer[products])
    role[products[same]] = role[weights[same]]


def _inherit(
    graph: Graph,
    ops: _Ops,
    sources: npt.NDArray[np.int64],
    is_leaf: npt.NDArray[np.bool_],
    is_named: npt.NDArray[np.bool_],
    columns: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32]],
    output_role: int,
) -> None:
    """Lets tensors without a name take layer, role and part from their sources, in place."""
    count = graph.node_count
    waiting = np.flatnonzero(~is_named & ~is_leaf)
    # Nodes stand in order of execution; other tensors of a larger graph stand before what they are computed from.
    waiting = np.concatenate([waiting[waiting >= count][::-1], waiting[waiting < count]])
    moves = np.zeros(len(is_leaf), bool)
    moves[:count] = ops.are(_MOVES)
    multiplies = np.zeros(len(is_leaf), bool)
    multiplies[:count] = ops.are(_MATMULS)
    layer, role, part = (column.tolist() for column in columns)
    leaf = is_leaf.tolist()
    rows = zip(
        waiting.tolist(), sources[waiting].tolist(), moves[waiting].tolist(), multiplies[waiting].tolist(), strict=True
    )
    for index, own, is_move, is_product in rows:
        best, nearest = 0, -1
        for source in own:
            if source < 0:
                continue
            if layer[source] >= 0:
                rank = 4 if leaf[source] else 2
            elif leaf[source] and EMBEDDING <= part[source] <= OUTPUT:
                rank = 3
            else:
                rank = int(is_move and part[source] > 0)
            if rank > best:
                best, nearest = rank, source
        if nearest < 0:
            continue
        layer[index], role[index], part[index] = layer[nearest], role[nearest], part[nearest]
        # The table of embeddings is the output's weight in many models.
        if is_product and layer[index] < 0 and part[index] == EMBEDDING:
            role[index], part[index] = output_role, OUTPUT
    for column, values in zip(columns, (layer, role, part), strict=True):
        column[waiting] = np.array(values, np.int32)[waiting]


def _norms_like_products(
    graph: Graph,
    ops: _Ops,
    sources: npt.NDArray[np.int64],
    is_leaf: npt.NDArray[np.bool_],
    columns: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32]],
) -> None:
    if sources.shape[1] < 2:
        return
    norms = np.flatnonzero(ops.are(_NORMS)[:-1] & ops.are(("MUL",))[1:])
    first, second = sources[norms + 1, 0], sources[norms + 1, 1]
    fused = ((first == norms) & (second >= 0) & is_leaf[second]) | ((second == norms) & (first >= 0) & is_leaf[first])
    norms = norms[fused]
    known = (columns[0][norms + 1] >= 0) | (columns[2][norms + 1] > 0)
    for column in columns:
        column[norms[known]] = column[norms[known] + 1]


# --- files of rules ---

_KEYS = ("match", "role", "part", "module")
_SECTIONS = ("rules", "roles", "ops")
_PLACEHOLDER = re.compile(r"\{(\w*)\}")


def _filled(template: str, groups: Mapping[str, str | None]) -> str:
    return _PLACEHOLDER.sub(lambda match: groups.get(match[1]) or "", template)


def load_rules(extra_files: Sequence[Path] = ()) -> list[NamingRules]:
    """Reads the families of naming rules that come with ggml-viz, and others.

    Args:
        extra_files: Files of a user's own; where they match as many names as another family, they come before it.

    Raises:
        UserError: A file cannot be read, or something in it is not right.
    """
    roles = _Roles()
    return [NamingRules(*family, roles) for family in (*map(_read_family, extra_files), *_own_families())]


class _Family(NamedTuple):
    name: str
    rules: Sequence[_Rule]
    aliases: Mapping[str, str]
    ops: Mapping[str, str]


@functools.cache
def _own_families() -> list[_Family]:
    """Those that come with ggml-viz, llama.cpp's first: where nothing tells, it is the likeliest."""
    with resources.as_file(resources.files("ggml_viz.model").joinpath("naming")) as folder:
        paths = sorted(folder.glob("*.toml"), key=lambda path: (path.stem != "llama.cpp", path.name))
        return [_read_family(path) for path in paths]


def _read_family(path: Path) -> _Family:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UserError(f"the naming rules cannot be read: {path}: {error.strerror}", exit_status=2) from None
    try:
        if len(data) > _MAX_FILE_BYTES:
            raise ValueError("too long for a file of naming rules")
        content = tomllib.loads(data.decode())
    except UnicodeDecodeError:
        raise UserError(f"{path}: not text in UTF-8", exit_status=2) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not TOML: {error}", exit_status=2) from None
    return _checked_family(path, content)


def _checked_family(path: Path, content: Mapping[str, Any]) -> _Family:
    def wrong(key: str, text: str) -> UserError:
        return UserError(f"{path}: {printable(key)}: {text}", "docs/naming-rules.md describes the format", 2)

    for key in content:
        if key not in _SECTIONS:
            raise wrong(key, f"there is no such key; there are {', '.join(_SECTIONS)}")
    given = content.get("rules", [])
    if not isinstance(given, list) or not given or not all(isinstance(rule, dict) for rule in given):
        raise wrong("rules", "expected one or more [[rules]]")
    rules = []
    for number, rule in enumerate(given, 1):
        try:
            rules.append(_checked_rule(rule))
        except _WrongRule as error:
            raise wrong(f"rules, number {number}: {error.key}", error.text) from None
    for section in ("roles", "ops"):
        table = content.get(section, {})
        if not isinstance(table, dict):
            raise wrong(section, "expected a section")
        for key, value in table.items():
            if not isinstance(value, str) or "." in value:
                raise wrong(f"{section}.{key}", "expected a role, in quotes and without dots")
    return _Family(path.stem, rules, content.get("roles", {}), content.get("ops", {}))


class _WrongRule(Exception):
    def __init__(self, key: str, text: str) -> None:
        super().__init__(key, text)
        self.key = key
        self.text = text


def _checked_rule(rule: Mapping[str, Any]) -> _Rule:
    for key, value in rule.items():
        if key not in _KEYS:
            raise _WrongRule(key, f"there is no such key; there are {', '.join(_KEYS)}")
        if not isinstance(value, str):
            raise _WrongRule(key, "expected text, in quotes")
    if "." in rule.get("module", ""):
        raise _WrongRule("module", "it may have no dots")
    if "match" not in rule:
        raise _WrongRule("match", "a rule needs it")
    try:
        pattern = re.compile(rule["match"])
    except (re.error, OverflowError, RecursionError) as error:
        raise _WrongRule("match", f"not a regular expression: {error}") from None
    groups = set(pattern.groupindex)
    for group in groups - {"layer", "role"}:
        raise _WrongRule("match", f"there is no group {group}; there are layer and role")
    part = rule.get("part", "")
    if part not in PARTS:
        raise _WrongRule("part", f"expected one of {', '.join(PARTS[1:])}")
    if "layer" not in groups and not part:
        raise _WrongRule("match", "a rule needs a group (?P<layer>…) or a part")
    role = rule.get("role", "{role}" if "role" in groups else "")
    for placeholder in _PLACEHOLDER.findall(role):
        if placeholder not in groups:
            raise _WrongRule("role", f"{{{placeholder}}} is no group of match")
    return _Rule(pattern, role, PARTS.index(part), rule.get("module", ""))
