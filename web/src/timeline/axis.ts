// Where the time axis has its ticks and what stands at them, from hours to nanoseconds.
import type { View } from "./view";
import { widthOf } from "./view";

export interface Tick {
  readonly at: number;
  readonly label: string;
}

export interface Axis {
  /** What the labels are added to, where all of the time would be too long; else empty. */
  readonly base: string;
  readonly ticks: readonly Tick[];
  /** Between two ticks are so many steps that have a mark without a label. */
  readonly divisions: number;
  readonly step: number;
}

const CLOCK_STEPS: readonly (readonly [number, number])[] = [
  [1, 5],
  [2, 4],
  [5, 5],
  [10, 5],
  [15, 3],
  [30, 6],
  [60, 6],
  [120, 4],
  [300, 5],
  [600, 5],
  [900, 3],
  [1800, 6],
  [3600, 6],
  [7200, 4],
  [21600, 6],
  [43200, 6],
  [86400, 4],
];

const UNITS: readonly (readonly [number, string])[] = [
  [1, "s"],
  [1e-3, "ms"],
  [1e-6, "µs"],
  [1e-9, "ns"],
];

/** Times with more digits than these are told as a base and what is added to it. */
const LONGEST_DIGITS = 6;

/** The axis of a view that is so many labels wide at most. */
export function axisOf(view: View, labels: number): Axis {
  const width = widthOf(view);
  const { step, divisions } = stepOf(width / Math.max(labels, 1));
  const first = Math.ceil(view.from / step - 1e-9);
  const last = Math.floor(view.until / step + 1e-9);
  const { base, label } = labelling(view, step);
  const ticks: Tick[] = [];
  for (let index = first; index <= last; index++) {
    ticks.push({ at: index * step, label: label(index) });
  }
  return { base, ticks, divisions, step };
}

function stepOf(least: number): { step: number; divisions: number } {
  if (least > 0.5) {
    const found = CLOCK_STEPS.find(([step]) => step >= least);
    if (found) return { step: found[0], divisions: found[1] };
    return { step: Math.ceil(least / 86400) * 86400, divisions: 4 };
  }
  // Powers below one are made by division, which rounds once: 3 / 1e6 is the float next to 3 µs, 3 * 1e-6 is not.
  const power = Math.floor(Math.log10(least));
  const scale = (digit: number): number => (power < 0 ? digit / 10 ** -power : digit * 10 ** power);
  for (const digit of [1, 2, 5, 10]) {
    if (scale(digit) >= least * (1 - 1e-9)) return { step: scale(digit), divisions: digit === 2 ? 4 : 5 };
  }
  return { step: scale(10), divisions: 5 };
}

interface Labelling {
  base: string;
  label: (index: number) => string;
}

function labelling(view: View, step: number): Labelling {
  const far = Math.max(Math.abs(view.from), Math.abs(view.until));
  if (step >= 1) {
    if (far < 120) return { base: "", label: (index) => `${index * step} s` };
    return { base: "", label: (index) => clock(index * step) };
  }
  if (far / step < 10 ** LONGEST_DIGITS && far < 60) {
    return { base: "", label: scaledBy(far, step) };
  }
  // The base is round in units of a power of ten that is at least as wide as the view.
  const power = Math.ceil(Math.log10(widthOf(view)) - 1e-9);
  const round = 10 ** power;
  const steps = Math.round(round / step);
  const start = Math.floor(view.from / round + 1e-9);
  const write = scaledBy(step, step);
  return {
    base: written(power < 0 ? start / 10 ** -power : start * round, Math.max(0, -power)),
    label: (index) => `+${write(index - start * steps)}`,
  };
}

/** Writes multiples of a step in the unit that fits what is this far. */
function scaledBy(far: number, step: number): (index: number) => string {
  const [scale, unit] = UNITS.find(([scale]) => far >= scale * 0.999) ?? (UNITS[UNITS.length - 1] as [number, string]);
  const decimals = Math.max(0, -Math.floor(Math.log10(step / scale) + 1e-9));
  return (index) => (index === 0 ? `0 ${unit}` : `${(index * (step / scale)).toFixed(decimals)} ${unit}`);
}

/** Digits after the point in threes: `12.345 678`. */
function grouped(number: string): string {
  const [whole = "", fraction = ""] = number.split(".");
  return fraction ? `${whole}.${fraction.replace(/(\d{3})(?=\d)/g, "$1\u2009")}` : whole;
}

/** `2:05`, `1:02:05`. */
export function clock(seconds: number): string {
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.round(seconds % 60)];
  const two = (number: number): string => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** One moment with as many digits as matter in this view: `1.234567 s`. */
export function moment(seconds: number, view: View): string {
  const decimals = Math.min(9, Math.max(0, Math.ceil(-Math.log10(widthOf(view) / 1000))));
  return written(Number(seconds.toFixed(decimals)), decimals);
}

/** With a clock's shape from a minute on. */
function written(seconds: number, decimals: number): string {
  if (seconds < 60) return `${grouped(seconds.toFixed(decimals))} s`;
  const whole = Math.floor(seconds);
  return `${clock(whole)}${decimals ? grouped((seconds - whole).toFixed(decimals)).slice(1) : ""}`;
}
