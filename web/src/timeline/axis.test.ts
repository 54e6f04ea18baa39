// What stands on the time axis, from hours to nanoseconds.
import { describe, expect, it } from "vitest";
import { axisOf, clock, moment } from "./axis";

const told = (from: number, until: number, labels = 8): string[] => {
  const axis = axisOf({ from, until }, labels);
  return [axis.base, ...axis.ticks.map(({ label }) => label)];
};

describe("the axis", () => {
  it("tells seconds", () => {
    expect(told(0, 12.4)).toEqual(["", "0 s", "2 s", "4 s", "6 s", "8 s", "10 s", "12 s"]);
  });

  it("tells hours as a clock does", () => {
    expect(told(0, 8 * 3600)).toEqual([
      "",
      "0:00",
      "1:00:00",
      "2:00:00",
      "3:00:00",
      "4:00:00",
      "5:00:00",
      "6:00:00",
      "7:00:00",
      "8:00:00",
    ]);
  });

  it("takes the unit of what is shown", () => {
    expect(told(0, 0.0035, 4)).toEqual(["", "0 ms", "1 ms", "2 ms", "3 ms"]);
    expect(told(0, 2e-6, 4)).toEqual(["", "0 µs", "0.5 µs", "1.0 µs", "1.5 µs", "2.0 µs"]);
  });

  it("keeps decimals that differ", () => {
    expect(told(1.2, 1.5, 4)).toEqual(["", "1.2 s", "1.3 s", "1.4 s", "1.5 s"]);
  });

  it("tells a base and what is added to it where the numbers would be too long", () => {
    expect(told(2.123456, 2.1234562, 4)).toEqual([
      "2.123 456 s".replaceAll(/(?<=\d) (?=\d)/g, "\u2009"),
      "+0 ns",
      "+50 ns",
      "+100 ns",
      "+150 ns",
      "+200 ns",
    ]);
  });

  it("tells milliseconds within an hour", () => {
    const [base, first] = told(3725.0101, 3725.0401, 4);
    expect(base).toBe("1:02:05.0");
    expect(first).toBe("+20 ms");
  });

  it.each([60e-9, 1e-6, 1e-3, 1, 60, 3600, 86400, 1e6])("has neither too few labels nor too many in %s s", (width) => {
    for (const from of [0, 1.1, 7777.7]) {
      const { ticks, step } = axisOf({ from, until: from + width }, 10);
      expect(ticks.length).toBeGreaterThanOrEqual(1);
      expect(ticks.length).toBeLessThanOrEqual(11);
      expect(new Set(ticks.map(({ label }) => label)).size).toBe(ticks.length);
      for (const { at } of ticks) expect(at).toBeGreaterThanOrEqual(from - step * 1e-6);
    }
  });
});

it("a clock", () => {
  expect([clock(5), clock(125), clock(3725)]).toEqual(["0:05", "2:05", "1:02:05"]);
});

it("a moment has the digits that matter in the view", () => {
  expect(moment(1.23456789, { from: 0, until: 10 })).toBe("1.23 s");
  expect(moment(1.23456789, { from: 1.2, until: 1.21 })).toBe("1.234\u200957 s");
  expect(moment(59.9999, { from: 0, until: 100 })).toBe("1:00.0");
});
