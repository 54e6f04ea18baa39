// Where lanes are drawn.
import { describe, expect, it } from "vitest";
import type { Lane } from "../types";
import { layOut, nameOf, rowAt } from "./lanes";

const lane = (id: number, group: Lane["group"], pid = 1): Lane => ({
  id,
  group,
  name: `${group} ${id}`,
  pid,
  worker: group === "ops" ? id : null,
});
const LANES = [lane(0, "phases"), lane(1, "graphs"), lane(2, "ops"), lane(3, "ops"), lane(4, "ops")];

describe("the layout", () => {
  it("puts lanes one below the other, without overlaps", () => {
    const { rows, headings, height } = layOut(LANES, new Set(), 0);
    expect(rows.map((row) => row.lane.id)).toEqual([0, 1, 2, 3, 4]);
    const boxes = [...rows, ...headings].sort((a, b) => a.y - b.y);
    boxes.forEach((box, at) => expect(box.y + box.height).toBeLessThanOrEqual(boxes[at + 1]?.y ?? height));
  });

  it("has a heading only above what can be collapsed", () => {
    expect(layOut(LANES, new Set(), 0).headings.map(({ name }) => name)).toEqual(["ops (3)"]);
  });

  it("makes workers higher where there is room, and not without end", () => {
    const low = layOut(LANES, new Set(), 0);
    const high = layOut(LANES, new Set(), 400);
    const endless = layOut(LANES, new Set(), 40_000);
    expect(high.height).toBeGreaterThan(low.height);
    expect(high.height).toBeLessThanOrEqual(400);
    expect(endless.height).toBeLessThan(1000);
  });

  it("keeps all lanes of a collapsed group visible, without names", () => {
    const [heading] = layOut(LANES, new Set(), 0).headings;
    const { rows, height } = layOut(LANES, new Set([heading?.key ?? ""]), 0);
    expect(rows.filter(({ small }) => small).map((row) => row.lane.id)).toEqual([2, 3, 4]);
    expect(height).toBeLessThan(layOut(LANES, new Set(), 0).height);
  });

  it("collapses each process's groups by themselves", () => {
    const two = [lane(0, "ops"), lane(1, "ops"), lane(2, "ops", 2), lane(3, "ops", 2)];
    const { headings } = layOut(two, new Set(), 0);
    expect(headings.map(({ name }) => name)).toEqual(["ops · 1 (2)", "ops · 2 (2)"]);
    expect(new Set(headings.map(({ key }) => key)).size).toBe(2);
  });
});

it("finds the lane at a height, and none in a heading", () => {
  const layout = layOut(LANES, new Set(), 0);
  for (const row of layout.rows) expect(rowAt(layout, row.y + row.height / 2)).toBe(row);
  const [heading] = layout.headings;
  expect(rowAt(layout, (heading?.y ?? 0) + (heading?.height ?? 0) / 2)).toBeNull();
  expect(rowAt(layout, layout.height + 100)).toBeNull();
});

it("says of which process a lane is only where there are several", () => {
  expect(nameOf(lane(2, "ops"), LANES)).toBe("ops 2");
  expect(nameOf(lane(2, "ops"), [...LANES, lane(9, "ops", 7)])).toBe("ops 2 · 1");
});
