"""What the answers look like: JSON schemas, those of reports and comparisons made from the data classes."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

from ggml_viz.analysis.diff import Diff
from ggml_viz.analysis.roofline import Attained, GroupRow
from ggml_viz.analysis.summary import Summary

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
INTEGER: Schema = {"type": "integer"}
FLAG: Schema = {"type": "boolean"}
ANY: Schema = {}

STATES = ("loading", "ready", "running", "paused", "idle", "ended", "failed")
PHASES = ("prefill", "decode", "mixed", "other")
DETAILS = ("thread", "op", "graph")
GROUPS = ("phases", "graphs", "splits", "ops", "copies")


def ref(name: str) -> Schema:
    """The schema of that name."""
    return {"$ref": f"#/components/schemas/{name}"}


def a_list(items: Schema) -> Schema:
    """An array."""
    return {"type": "array", "items": items}


def one_of(*values: str) -> Schema:
    """One of some texts."""
    return {"type": "string", "enum": list(values)}


def or_null(schema: Schema) -> Schema:
    """That, or null."""
    kind = schema.get("type")
    if isinstance(kind, list) and "null" in kind:
        return schema
    if kind is not None and "enum" not in schema:
        return {**schema, "type": [kind, "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def an_object(**properties: Schema) -> Schema:
    """An object that has all of these."""
    return {"type": "object", "required": list(properties), "properties": properties}


def of_dataclass(cls: Any, inside: tuple[Any, ...] = ()) -> Schema:
    """What `dataclasses.asdict` makes of one; where it holds others of its own kind, no more is said of these."""
    if cls in inside:
        return {"type": "object"}
    hints = typing.get_type_hints(cls)
    inside = (*inside, cls)
    return an_object(**{item.name: _of_type(hints[item.name], inside) for item in dataclasses.fields(cls)})


def _of_type(hint: Any, inside: tuple[Any, ...]) -> Schema:
    simple = {str: TEXT, int: INTEGER, float: NUMBER, bool: FLAG, Any: ANY}
    if hint in simple:
        # A figure that is not finite is null.
        return or_null(NUMBER) if hint is float else simple[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return or_null(_of_type(next(each for each in arguments if each is not type(None)), inside))
    if origin is dict:
        return {"type": "object", "additionalProperties": _of_type(arguments[1], inside)}
    if origin in (list, tuple):
        return a_list(_of_type(arguments[0], inside))
    return of_dataclass(hint, inside)


def _report() -> Schema:
    schema = of_dataclass(Summary)
    properties = schema["properties"]
    ends = properties["copies"]["items"]["properties"]
    renamed = {"from": ends.pop("source"), "to": ends.pop("target"), **ends}
    properties["copies"] = a_list(an_object(**renamed))
    own = of_dataclass(GroupRow)["properties"]
    own.pop("attained")
    name = own.pop("name")
    for group in ("layers", "roles"):
        row = {group.removesuffix("s"): name, **own, **of_dataclass(Attained)["properties"]}
        properties[group] = a_list(an_object(**row))
    return an_object(schema={"const": 1}, **properties)


SOURCE = an_object(
    id=TEXT,
    kind=one_of("trace", "live"),
    name=TEXT,
    command=TEXT,
    pid=or_null(INTEGER),
    ggml_version=TEXT,
    backends=a_list(TEXT),
    threads=COUNT,
    state=one_of(*STATES),
    progress={"type": "number", "minimum": 0, "maximum": 1},
    started=TEXT,
    duration_s=NUMBER,
    phase=or_null(one_of(*PHASES)),
    tokens_per_second=or_null(NUMBER),
    records=COUNT,
    lost=COUNT,
    detail=or_null(one_of(*DETAILS)),
    recording=or_null(an_object(path=TEXT, bytes=COUNT)),
    error=or_null(TEXT),
)

_COLUMN = an_object(name=TEXT, type=TEXT, unit=TEXT, meaning=TEXT)

SCHEMAS: dict[str, Schema] = {
    "Error": an_object(error=TEXT, hint=or_null(TEXT)),
    "Session": an_object(authenticated=FLAG, token_needed=FLAG, version=TEXT),
    "Source": SOURCE,
    "Sources": an_object(sources=a_list(ref("Source"))),
    "Report": _report(),
    "Diff": an_object(schema={"const": 1}, **of_dataclass(Diff)["properties"]),
    "Series": an_object(
        from_s=NUMBER,
        until_s=NUMBER,
        columns=COUNT,
        phases=a_list(an_object(phase=one_of(*PHASES), tokens_per_second=a_list(NUMBER))),
        busy=or_null(a_list(NUMBER)),
    ),
    "Now": an_object(
        at_s=NUMBER,
        phase=or_null(one_of(*PHASES)),
        threads=a_list(
            an_object(
                worker=COUNT,
                state=one_of("work", "wait", "idle"),
                op=or_null(TEXT),
                node=or_null(TEXT),
                since_s=or_null(NUMBER),
            )
        ),
        runs=a_list(an_object(run=COUNT, phase=or_null(one_of(*PHASES)), graph=COUNT, since_s=NUMBER)),
        tokens_per_second=NUMBER,
        duration_s=NUMBER,
    ),
    "Timeline": an_object(
        duration_s=NUMBER,
        whole_from_s=NUMBER,
        kinds=a_list(TEXT),
        lanes=a_list(
            an_object(id=COUNT, group=one_of(*GROUPS), name=TEXT, pid=or_null(INTEGER), worker=or_null(INTEGER))
        ),
        labels=a_list(an_object(text=TEXT, kind=COUNT)),
    ),
    "Span": an_object(
        title=TEXT,
        op=or_null(TEXT),
        kind=or_null(INTEGER),
        role=or_null(TEXT),
        layer=or_null(INTEGER),
        tensor=or_null(TEXT),
        shape=or_null(TEXT),
        types=or_null(TEXT),
        sources=a_list(ANY),
        phase=or_null(TEXT),
        run=or_null(INTEGER),
        graph=or_null(INTEGER),
        node=or_null(INTEGER),
        process=or_null(INTEGER),
        begin_s=NUMBER,
        wall_s=NUMBER,
        work_s=or_null(NUMBER),
        wait_s=or_null(NUMBER),
        workers=a_list(ANY),
        flops=or_null(NUMBER),
        bytes=or_null(NUMBER),
        gbps=or_null(NUMBER),
        gflops=or_null(NUMBER),
        floor_s=or_null(NUMBER),
        backend=or_null(TEXT),
        typical=or_null(an_object(count=COUNT, median_s=NUMBER)),
    ),
    "Matches": an_object(
        matches=a_list(
            an_object(
                process=COUNT,
                graph=COUNT,
                node=COUNT,
                name=TEXT,
                op=TEXT,
                role=TEXT,
                layer=or_null(INTEGER),
                phase=TEXT,
                count=COUNT,
                seconds=NUMBER,
            )
        ),
        total=COUNT,
    ),
    "Occurrence": an_object(run=COUNT, begin_s=NUMBER, end_s=NUMBER),
    "Graphs": an_object(
        graphs=a_list(
            an_object(process=COUNT, graph=COUNT, phase=TEXT, tokens=COUNT, nodes=COUNT, runs=COUNT, seconds=NUMBER)
        )
    ),
    "Layers": an_object(
        process=COUNT,
        graph=COUNT,
        phase=TEXT,
        tokens=COUNT,
        runs=COUNT,
        layers=a_list(
            an_object(
                layer=or_null(INTEGER),
                name=TEXT,
                nodes=COUNT,
                seconds=NUMBER,
                share=NUMBER,
                bytes=or_null(NUMBER),
                roles=a_list(an_object(role=TEXT, seconds=NUMBER)),
            )
        ),
    ),
    "Layer": an_object(
        width=NUMBER,
        height=NUMBER,
        nodes=a_list({"type": "object"}),
        edges=a_list(an_object(**{"from": ANY, "to": ANY, "points": a_list(a_list(NUMBER))})),
    ),
    "Memory": an_object(
        peak_bytes=COUNT,
        changes=a_list(an_object(at_s=NUMBER, backend=TEXT, usage=TEXT, bytes=INTEGER, total_bytes=COUNT)),
        arenas=a_list(
            an_object(
                process=COUNT,
                graph=COUNT,
                placement=COUNT,
                buffer=COUNT,
                backend=TEXT,
                phase=TEXT,
                tokens=COUNT,
                bytes=COUNT,
            )
        ),
    ),
    "Arena": an_object(bytes=COUNT, nodes=COUNT, tensors=a_list({"type": "object"})),
    "Tables": an_object(tables=a_list(an_object(name=TEXT, rows=COUNT, columns=a_list(_COLUMN)))),
    "Rows": an_object(columns=a_list(TEXT), rows=a_list(a_list(ANY)), total=COUNT),
    "Answer": an_object(
        columns=a_list(TEXT), types=a_list(TEXT), rows=a_list(a_list(ANY)), truncated=FLAG, seconds=NUMBER
    ),
}
