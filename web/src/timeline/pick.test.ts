// What is under the pointer, what is beside it, and how it is told.
import { describe, expect, it } from "vitest";
import type { Lane } from "../types";
import { packTile } from "./made";
import { beside, columnAt, spanAt, tellColumn, tellSpan, type Span } from "./pick";
import { decodeTile, reaching, type Spans } from "./tile";

const LANE: Lane = { id: 5, group: "ops", name: "thread 1", pid: 1, worker: 1 };
const SHARED: Lane = { ...LANE, id: 6 };
const KINDS = ["matrix products", "attention", "elements and norms", "moving data", "other"];

// From 10 s to 20 s: spans at 11 to 12, 12 to 12.5 and 15 to 18 s.
const tile = decodeTile(
  packTile({
    from: 10,
    until: 20,
    columns: 4,
    lanes: [
      {
        id: 5,
        spans: [
          { begin: 0.1, duration: 0.1, wait: 0.025, run: 1, node: 7, label: 0 },
          { begin: 0.2, duration: 0.05, run: 1, node: 8, label: 1 },
          { begin: 0.5, duration: 0.3, run: 2, node: 7, label: 0 },
        ],
      },
      {
        id: 6,
        // Per column, of each kind: work, wait.
        shares: [
          ...[255, 0, 0, 0, 0, 0, 0, 0, 0, 0],
          ...[102, 51, 0, 0, 0, 0, 0, 0, 0, 0],
          ...[0, 0, 51, 0, 0, 0, 0, 0, 0, 0],
          ...[0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ],
      },
    ],
  }),
);

const at = (seconds: number, tolerance = 0): Span | null => spanAt(tile, LANE, seconds, tolerance);

describe("the span at a moment", () => {
  it("is told in seconds", () => {
    const span = at(11.5);
    expect(span).toMatchObject({ lane: LANE, run: 1, node: 7, label: 0 });
    expect(span?.from).toBeCloseTo(11, 5);
    expect(span?.until).toBeCloseTo(12, 5);
    expect(span?.wait).toBeCloseTo(0.25, 5);
  });

  it("is none where nothing ran", () => {
    expect(at(14)).toBeNull();
    expect(spanAt(tile, SHARED, 11.5, 1)).toBeNull();
  });

  it("is the nearest that is near enough", () => {
    expect(at(14.8, 0.5)?.node).toBe(7);
    expect(at(13, 0.6)?.node).toBe(8);
    expect(at(13, 0.1)).toBeNull();
  });

  it("is found in lanes whose spans are not sorted, and the shorter of two that overlap", () => {
    const mixed = decodeTile(
      packTile({
        from: 0,
        until: 1,
        lanes: [
          {
            id: 5,
            spans: [
              { begin: 0.4, duration: 0.1, node: 2 },
              { begin: 0, duration: 1, node: 1 },
            ],
          },
        ],
      }),
    );
    expect(spanAt(mixed, LANE, 0.45, 0)?.node).toBe(2);
    expect(spanAt(mixed, LANE, 0.95, 0)?.node).toBe(1);
  });
});

describe("the span beside", () => {
  it("is the next and the previous one", () => {
    const middle = at(12.2) as Span;
    expect(beside(tile, middle, true)?.run).toBe(2);
    expect(beside(tile, middle, false)?.node).toBe(7);
  });

  it("is none at the ends", () => {
    expect(beside(tile, at(11.5) as Span, false)).toBeNull();
    expect(beside(tile, at(16) as Span, true)).toBeNull();
  });
});

describe("columns", () => {
  it("tell the shares of a moment", () => {
    const column = columnAt(tile, SHARED, 13, 0.1);
    expect(column).toMatchObject({ from: 12.5, until: 15 });
    expect(column?.shares[0]?.[0]).toBeCloseTo(0.4);
    expect(column?.shares[0]?.[1]).toBeCloseTo(0.2);
  });

  it("are averaged over what is asked for", () => {
    const column = columnAt(tile, SHARED, 12.5, 5);
    expect(column?.shares[0]?.[0]).toBeCloseTo(0.7);
  });

  it("are none where there are spans", () => {
    expect(columnAt(tile, LANE, 13, 0.1)).toBeNull();
  });
});

describe("told to those who listen", () => {
  const view = { from: 10, until: 20 };

  it("a span", () => {
    const labels = [
      { text: "MUL_MAT ffn_up", kind: 0 },
      { text: "ADD", kind: 2 },
    ];
    const told = tellSpan(at(11.5) as Span, labels, view).replaceAll("\u00a0", " ");
    expect(told).toBe("MUL_MAT ffn_up, thread 1, at 11.00 s, 1.00 s, 25 % of it waiting");
    expect(tellSpan(at(12.2) as Span, labels, view)).not.toContain("waiting");
  });

  it("a column, the most first", () => {
    const column = columnAt(tile, SHARED, 13, 0.1);
    if (!column) throw new Error("no column");
    const told = tellColumn(column, KINDS, view).replaceAll("\u00a0", " ");
    expect(told).toBe("thread 1, 12.50 s to 15.00 s: matrix products 40 % and waiting 20 %");
  });
});

describe("the spans that reach into a part", () => {
  it("are all of those, and no more than needed", () => {
    const spans = tile.lanes.get(5) as Spans;
    const [first, last] = reaching(spans, 0.6, 0.7);
    expect([first, last]).toEqual([2, 3]);
    expect(reaching(spans, 0.9, 1)[0]).toBe(3);
  });
});
