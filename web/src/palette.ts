// Every colour of the dashboard, for light and for dark: CSS and canvases take theirs from here.
//
// A colour is a kind of work, the same everywhere (Okabe and Ito's, safe for the colour-blind). Waiting has no colour of
// its own: it is the same one at a third of its strength. Red is for findings only.
import type { Phase } from "./types";

export type Kind = "matrix" | "attention" | "elements" | "movement" | "other";

/** In the order of `kinds` of the timeline and of tiles. */
export const KINDS: readonly Kind[] = ["matrix", "attention", "elements", "movement", "other"];

export const KIND_NAMES: Readonly<Record<Kind, string>> = {
  matrix: "matrix products",
  attention: "attention",
  elements: "elements and norms",
  movement: "moving data",
  other: "other",
};

/** In the order in which tiles tell phases. */
export const PHASES: readonly Phase[] = ["prefill", "decode", "mixed", "other"];

export const WAIT_STRENGTH = 1 / 3;

export type Usage = "weights" | "kv" | "compute" | "other";

export interface Palette {
  background: string;
  /** What lies on the background: fields, cards, the header. */
  surface: string;
  raised: string;
  line: string;
  ink: string;
  /** Less important text; still legible by WCAG AA on every surface. */
  faint: string;
  accent: string;
  onAccent: string;
  finding: string;
  warning: string;
  good: string;
  selection: string;
  kinds: Record<Kind, string>;
  phases: Record<Phase, string>;
  usages: Record<Usage, string>;
}

const LIGHT: Palette = {
  background: "#ffffff",
  surface: "#f5f6f8",
  raised: "#ffffff",
  line: "#d5d9df",
  ink: "#16191d",
  faint: "#59616c",
  accent: "#0062a3",
  onAccent: "#ffffff",
  finding: "#b3261e",
  warning: "#8a5a00",
  good: "#00734f",
  selection: "#0062a3",
  kinds: { matrix: "#0072b2", attention: "#d98f00", elements: "#009e73", movement: "#bd5f92", other: "#868d96" },
  phases: { prefill: "#56b4e9", decode: "#44546a", mixed: "#a99a1f", other: "#a6acb4" },
  usages: { weights: "#0072b2", kv: "#d98f00", compute: "#009e73", other: "#868d96" },
};

const DARK: Palette = {
  background: "#101215",
  surface: "#181b20",
  raised: "#1e2228",
  line: "#343a43",
  ink: "#e8eaed",
  faint: "#a0a8b3",
  accent: "#6cb8ec",
  onAccent: "#0b1620",
  finding: "#ff8a80",
  warning: "#f0b94a",
  good: "#4fd1a5",
  selection: "#6cb8ec",
  kinds: { matrix: "#3f9fd8", attention: "#e69f00", elements: "#1fb58a", movement: "#d88fb4", other: "#8d949e" },
  phases: { prefill: "#56b4e9", decode: "#c3cddb", mixed: "#d8cb4a", other: "#6f7781" },
  usages: { weights: "#3f9fd8", kv: "#e69f00", compute: "#1fb58a", other: "#8d949e" },
};

export type Theme = "light" | "dark";

export function paletteOf(theme: Theme): Palette {
  return theme === "dark" ? DARK : LIGHT;
}

/** Gives CSS the colours, as `--ink`, `--kind-matrix`, `--phase-decode`, `--usage-kv` and so on. */
export function applyPalette(theme: Theme): void {
  const { kinds, phases, usages, ...plain } = paletteOf(theme);
  const { style } = document.documentElement;
  for (const [name, colour] of Object.entries(plain)) style.setProperty(`--${kebab(name)}`, colour);
  for (const [name, colour] of Object.entries(kinds)) style.setProperty(`--kind-${name}`, colour);
  for (const [name, colour] of Object.entries(phases)) style.setProperty(`--phase-${name}`, colour);
  for (const [name, colour] of Object.entries(usages)) style.setProperty(`--usage-${name}`, colour);
  style.setProperty("color-scheme", theme);
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
