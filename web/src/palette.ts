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
  /** The hot end of a scale of time or bytes; the cold end is the background. */
  heat: string;
  /** Of bars whose length says something, and whose colour does not. */
  plain: string;
  kinds: Record<Kind, string>;
  phases: Record<Phase, string>;
  usages: Record<Usage, string>;
}

const LIGHT: Palette = {
  background: "#ffffff",
  surface: "#f4f5f7",
  raised: "#ffffff",
  line: "#d3d8de",
  ink: "#15181c",
  faint: "#565e69",
  accent: "#0062a3",
  onAccent: "#ffffff",
  finding: "#b00034",
  warning: "#865300",
  good: "#006e4c",
  heat: "#E69F00",
  plain: "#66758a",
  kinds: { matrix: "#0072B2", attention: "#E69F00", elements: "#009E73", movement: "#CC79A7", other: "#999999" },
  phases: { prefill: "#56B4E9", decode: "#D55E00", mixed: "#F0E442", other: "#999999" },
  usages: { weights: "#0072B2", kv: "#E69F00", compute: "#009E73", other: "#999999" },
};

const DARK: Palette = {
  background: "#0f1114",
  surface: "#181b20",
  raised: "#1e2228",
  line: "#343a43",
  ink: "#e8eaed",
  faint: "#a3abb6",
  accent: "#6cb8ec",
  onAccent: "#08131c",
  finding: "#ff8096",
  warning: "#f0b94a",
  good: "#4fd1a5",
  heat: "#F0AE2E",
  plain: "#8b9bb0",
  kinds: { matrix: "#3D9BE0", attention: "#F0AE2E", elements: "#1FBF94", movement: "#D98BB6", other: "#A3A3A3" },
  phases: { prefill: "#7CC8F2", decode: "#E8803A", mixed: "#F0E442", other: "#A3A3A3" },
  usages: { weights: "#3D9BE0", kv: "#F0AE2E", compute: "#1FBF94", other: "#A3A3A3" },
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
