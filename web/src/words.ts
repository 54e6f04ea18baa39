// How things are called on the page, in the words of people who know tokens per second and have never profiled.
import { duration, plural } from "./numbers";
import type { Detail, Phase, Source } from "./types";

export const PHASE_MEANINGS: Readonly<Record<Phase, string>> = {
  prefill: "reading the prompt",
  decode: "writing the answer, one token at a time",
  mixed: "reading prompts and writing answers in one batch",
  other: "graphs that are no language model’s, or that could not be told",
};

export const DETAIL_MEANINGS: Readonly<Record<Detail, string>> = {
  thread: "all threads",
  op: "ops on thread 0 only",
  graph: "graphs only",
};

const USAGES: Readonly<Record<string, string>> = { kv: "KV cache" };

export function usageName(usage: string): string {
  return USAGES[usage] ?? usage;
}

/** A command line whose program, scripts and models are named without their folders. */
export function shortCommand(command: string): string {
  return command
    .split(/\s+/)
    .map((word) => (word.includes("/") && !word.includes("://") ? word.replace(/^.*\/(?=[^/])/, "") : word))
    .join(" ");
}

/** The process, where the name of a live source does not tell it already. */
export function pidOf({ kind, name, pid }: Source): string {
  return kind === "live" && pid !== null && !name.includes(String(pid)) ? `pid ${pid}` : "";
}

export const STATE_WORDS: Readonly<Record<Source["state"], string>> = {
  loading: "loading",
  ready: "recorded",
  running: "live",
  paused: "paused",
  idle: "live, idle",
  ended: "ended",
  failed: "failed",
};

export function threadsOf(source: Source): string {
  return [source.backends.join(", "), source.threads ? plural(source.threads, "thread") : ""]
    .filter(Boolean)
    .join(", ");
}

/** When it began, in the reader's own time zone. */
export function when(iso: string): string {
  const date = new Date(iso);
  if (!iso || Number.isNaN(date.getTime())) return "";
  return date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

/** A moment of a recording, as exact as `step` needs it: `12.4 s`, `3:07`, `1:02:30`. */
export function clock(seconds: number, step: number): string {
  const decimals = [0, 1, 2, 3, 4, 5].find((digits) => isWhole(step * 10 ** digits)) ?? 6;
  if (Math.abs(seconds) < 120) return `${seconds.toFixed(decimals)}\u00a0s`;
  const whole = Math.floor(seconds);
  const rest = decimals ? (seconds - whole).toFixed(decimals).slice(1) : "";
  const two = (value: number): string => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(whole % 60)}${rest}`;
}

/** How long something lasted: `412 ms`, `3.48 s`, `18:13`. */
export function lasted(seconds: number): string {
  return seconds < 120 ? duration(seconds) : clock(seconds, 1);
}

function isWhole(value: number): boolean {
  return value > 0.5 && Math.abs(value - Math.round(value)) < 1e-6 * value;
}
