// Panning and zooming, as arithmetic.
import { describe, expect, it } from "vitest";
import {
  between,
  formatView,
  framing,
  pan,
  parseView,
  showing,
  toTime,
  toX,
  widthOf,
  within,
  zoom,
  type View,
} from "./view";

const limits: View = { from: 0, until: 100 };

describe("zooming", () => {
  it("keeps the moment under the pointer where it is", () => {
    const before = { from: 20, until: 40 };
    const after = zoom(before, 0.5, 25, limits);
    expect(widthOf(after)).toBeCloseTo(10);
    expect(toX(after, 25, 1600)).toBeCloseTo(toX(before, 25, 1600));
  });

  it("shows no more than there is", () => {
    expect(zoom({ from: 20, until: 40 }, 1000, 30, limits)).toEqual(limits);
  });

  it("ends where nothing finer is recorded, hours into a recording too", () => {
    let view: View = { from: 0, until: 36_000 };
    const at = 21_234.123_456_789;
    for (let step = 0; step < 200; step++) view = zoom(view, 0.7, at, { from: 0, until: 36_000 });
    expect(widthOf(view)).toBeCloseTo(50e-9, 11);
    expect(at).toBeGreaterThan(view.from);
    expect(at).toBeLessThan(view.until);
  });

  it("goes in and out to where it was", () => {
    const view = zoom(zoom({ from: 20, until: 40 }, 1e-6, 33, limits), 1e6, 33, limits);
    expect(view.from).toBeCloseTo(20);
    expect(view.until).toBeCloseTo(40);
  });
});

describe("panning", () => {
  it("stops at the ends without changing the width", () => {
    expect(pan({ from: 20, until: 40 }, -50, limits)).toEqual({ from: 0, until: 20 });
    expect(pan({ from: 20, until: 40 }, 500, limits)).toEqual({ from: 80, until: 100 });
  });

  it("shows all of what is shorter than the view", () => {
    expect(within({ from: -3, until: 500 }, limits)).toEqual(limits);
  });
});

it("pixels and moments are each other's inverse", () => {
  const view = { from: 12.25, until: 12.2500001 };
  expect(toTime(view, toX(view, 12.25000003, 1600), 1600)).toBeCloseTo(12.25000003, 12);
});

describe("framing", () => {
  it("leaves a margin around the range", () => {
    const view = framing({ from: 50, until: 58 }, limits);
    expect(view.from).toBeCloseTo(49);
    expect(view.until).toBeCloseTo(59);
  });

  it("can frame an instant", () => {
    expect(widthOf(framing({ from: 50, until: 50 }, limits))).toBeGreaterThan(0);
  });
});

describe("showing", () => {
  const view = { from: 20, until: 40 };

  it("moves nothing when it is in view", () => {
    expect(showing(view, { from: 22, until: 23 }, limits)).toBe(view);
  });

  it("keeps the zoom when it is elsewhere", () => {
    expect(showing(view, { from: 60, until: 61 }, limits)).toEqual({ from: 50.5, until: 70.5 });
  });

  it("zooms in on what would be too small to see", () => {
    const shown = showing(view, { from: 60, until: 60.0001 }, limits);
    expect(widthOf(shown)).toBeCloseTo(0.002);
  });
});

describe("between two views", () => {
  it("begins and ends at them", () => {
    const [a, b] = [
      { from: 0, until: 100 },
      { from: 3, until: 3.001 },
    ];
    for (const [progress, expected] of [
      [0, a],
      [1, b],
    ] as const) {
      const view = between(a, b, progress);
      expect(view.from).toBeCloseTo(expected.from, 9);
      expect(view.until).toBeCloseTo(expected.until, 9);
    }
  });

  it("zooms evenly about what stays where it is", () => {
    const a = { from: 0, until: 100 };
    const b = zoom(a, 0.01, 40, limits);
    const middle = between(a, b, 0.5);
    expect(widthOf(middle)).toBeCloseTo(10);
    expect(toX(middle, 40, 1)).toBeCloseTo(0.4);
  });

  it("slides when the width is the same", () => {
    expect(between({ from: 0, until: 10 }, { from: 20, until: 30 }, 0.25)).toEqual({ from: 5, until: 15 });
  });
});

describe("in an address", () => {
  it("keeps nanoseconds", () => {
    const view = { from: 1.000000001, until: 1.000000051 };
    expect(parseView(formatView(view))).toEqual(view);
  });

  it("survives what begins within a microsecond", () => {
    const view = { from: 1e-8, until: 0.5 };
    expect(parseView(formatView(view))).toEqual(view);
  });

  it.each([undefined, "", "3", "3-2", "a-b", "-1-2"])("takes %s for no view", (text) => {
    expect(parseView(text)).toBeNull();
  });
});
