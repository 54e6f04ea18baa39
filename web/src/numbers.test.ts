// Numbers are written as the terminal writes them (tests/unit/test_terminal.py).
import { expect, it } from "vitest";
import { bytes, count, duration, percent, plural, rate, significant } from "./numbers";

const plain = (text: string): string => text.replaceAll("\u00a0", " ");

it.each([
  [0, "0 s"],
  [4.2e-8, "42.0 ns"],
  [4.12e-4, "412 µs"],
  [5.406e-3, "5.41 ms"],
  [0.99949, "999 ms"],
  [0.9996, "1.00 s"],
  [2.05, "2.05 s"],
  [1093, "1093 s"],
])("writes %f s as %s", (seconds, text) => {
  expect(plain(duration(seconds))).toBe(text);
});

it.each([
  [13, "13 B"],
  [196608, "197 kB"],
  [98.1e6, "98.1 MB"],
  [21.4e9, "21.4 GB"],
])("writes %i bytes as %s", (number, text) => {
  expect(plain(bytes(number))).toBe(text);
});

it.each([
  [0, "0 %"],
  [0.0003, "<0.1 %"],
  [0.004, "0.4 %"],
  [0.00996, "1 %"],
  [0.81, "81 %"],
  [-0.004, "-0.4 %"],
])("writes a share of %f as %s", (share, text) => {
  expect(plain(percent(share))).toBe(text);
});

it("writes counts, rates and others", () => {
  expect(plain(count(99_999))).toBe("99999");
  expect(plain(count(412_345))).toBe("412 k");
  expect(rate(183.42)).toBe("183.4");
  expect(rate(7.254)).toBe("7.25");
  expect(significant(0.0042)).toBe("0.004");
  expect(plain(plural(1, "graph"))).toBe("1 graph");
  expect(plain(plural(2, "process", "processes"))).toBe("2 processes");
});
