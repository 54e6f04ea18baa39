// Moments, spans of time and command lines, as people read them.
import { expect, it } from "vitest";
import { QUESTIONS } from "./questions";
import { clock, lasted, shortCommand } from "./words";

const plain = (text: string): string => text.replaceAll("\u00a0", " ");

it.each([
  [1.25, 0.25, "1.25 s"],
  [1.5, 0.5, "1.5 s"],
  [12, 2, "12 s"],
  [0.00035, 0.00005, "0.00035 s"],
  [1093.5, 0.5, "18:13.5"],
  [3723, 60, "1:02:03"],
])("tells the moment %f by steps of %f as %s", (seconds, step, text) => {
  expect(plain(clock(seconds, step))).toBe(text);
});

it("tells how long something lasted", () => {
  expect(plain(lasted(3.4765))).toBe("3.48 s");
  expect(lasted(1093)).toBe("18:13");
});

it("names programs and files without their folders, and addresses whole", () => {
  expect(shortCommand("/usr/bin/llama-server -m /models/a.gguf --url http://host/path")).toBe(
    "llama-server -m a.gguf --url http://host/path",
  );
});

it("finds the worked questions of the manual", () => {
  expect(QUESTIONS).toHaveLength(20);
  expect(QUESTIONS[0]?.title).toBe("Which ops take the time?");
  for (const { sql } of QUESTIONS) expect(sql).toMatch(/^(SELECT|WITH|FROM)\b/);
});
