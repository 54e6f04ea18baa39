// Which part of time is shown, and how it moves: pure functions over seconds in float64.
export interface View {
  readonly from: number;
  readonly until: number;
}

/** Nothing is recorded in finer steps than some ns. */
const NARROWEST_S = 50e-9;

export const widthOf = (view: View): number => view.until - view.from;

export const same = (a: View, b: View): boolean => a.from === b.from && a.until === b.until;

/** Where a moment is drawn, in pixels. */
export const toX = (view: View, seconds: number, pixels: number): number =>
  ((seconds - view.from) / widthOf(view)) * pixels;

/** The moment that is drawn at a pixel. */
export const toTime = (view: View, x: number, pixels: number): number => view.from + (x / pixels) * widthOf(view);

/** Keeps a view inside of what there is, and its width where that can be. */
export function within(view: View, limits: View): View {
  const whole = widthOf(limits);
  const width = Math.min(Math.max(widthOf(view), NARROWEST_S), whole);
  if (!(width < whole)) return limits;
  const from = Math.min(Math.max(view.from, limits.from), limits.until - width);
  return { from, until: from + width };
}

/** A factor over 1 shows more; the moment `at` stays where it is. */
export function zoom(view: View, factor: number, at: number, limits: View): View {
  const width = Math.min(Math.max(widthOf(view) * factor, NARROWEST_S), widthOf(limits));
  const from = at - ((at - view.from) / widthOf(view)) * width;
  return within({ from, until: from + width }, limits);
}

export function pan(view: View, seconds: number, limits: View): View {
  return within({ from: view.from + seconds, until: view.until + seconds }, limits);
}

/** A view of this range, which takes the middle `share` of it. */
export function framing(range: View, limits: View, share = 0.8): View {
  const margin = (widthOf(range) * (1 / share - 1)) / 2;
  const middle = (range.from + range.until) / 2;
  const half = Math.max(widthOf(range) / 2 + margin, NARROWEST_S / 2);
  return within({ from: middle - half, until: middle + half }, limits);
}

/** Moved as little as it takes to show this range; its width stays unless the range is wider or too small to be seen. */
export function showing(view: View, range: View, limits: View, smallest = 1 / 400): View {
  const width = widthOf(view);
  const length = widthOf(range);
  if (length > width || length < width * smallest) return framing(range, limits, length > width ? 0.8 : 0.05);
  if (range.from >= view.from && range.until <= view.until) return view;
  const middle = (range.from + range.until) / 2;
  return within({ from: middle - width / 2, until: middle + width / 2 }, limits);
}

/** Between two views, at 0 to 1: the zoom grows evenly, and what both show at the same place stays there. */
export function between(a: View, b: View, progress: number): View {
  const [widthA, widthB] = [widthOf(a), widthOf(b)];
  const width = widthA * (widthB / widthA) ** progress;
  if (Math.abs(widthB - widthA) < 1e-6 * widthA) {
    const from = a.from + (b.from - a.from) * progress;
    return { from, until: from + width };
  }
  // How much of the way the edges have gone, measured by the width.
  const gone = (width - widthA) / (widthB - widthA);
  return { from: a.from + (b.from - a.from) * gone, until: a.until + (b.until - a.until) * gone };
}

/** As it stands in an address: `1.25-1.5`, to the ns. */
export function formatView(view: View): string {
  return `${trimmed(view.from)}-${trimmed(view.until)}`;
}

const trimmed = (seconds: number): string => String(Number(seconds.toFixed(9)));

export function parseView(text: string | undefined): View | null {
  const found = /^(\d+(?:\.\d+)?(?:e-\d+)?)-(\d+(?:\.\d+)?(?:e-\d+)?)$/.exec(text ?? "");
  if (!found) return null;
  const view = { from: Number(found[1]), until: Number(found[2]) };
  return view.until > view.from ? view : null;
}
