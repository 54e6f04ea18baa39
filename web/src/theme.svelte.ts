// Light or dark: what the system says, unless the user said otherwise here.
import { applyPalette, paletteOf, type Palette, type Theme } from "./palette";

const KEY = "ggml-viz.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

let chosen = $state<Theme | null>(null);
let systemDark = $state(system.matches);

export const theme = {
  get name(): Theme {
    return chosen ?? (systemDark ? "dark" : "light");
  },
  /** For canvases. Reading it in an effect or in a template draws again when the theme changes. */
  get palette(): Palette {
    return paletteOf(this.name);
  },
  toggle(): void {
    chosen = this.name === "dark" ? "light" : "dark";
    applyPalette(chosen);
    try {
      localStorage.setItem(KEY, chosen);
    } catch {
      // A browser that stores nothing forgets the choice, and no more.
    }
  },
};

export function startTheme(): void {
  try {
    const stored = localStorage.getItem(KEY);
    if (stored === "light" || stored === "dark") chosen = stored;
  } catch {
    // As above.
  }
  system.addEventListener("change", (event) => {
    systemDark = event.matches;
    applyPalette(theme.name);
  });
  applyPalette(theme.name);
}
