// Which tile to ask for: one question at a time, three screens wide, so that panning shows no blank.
import { decodeTile, type Tile } from "./tile";
import { widthOf, within, type View } from "./view";

/** What is asked of the server. */
export interface Wanted {
  readonly request: number;
  readonly from: number;
  readonly until: number;
  readonly columns: number;
  readonly lanes: readonly number[] | null;
}

export interface Need {
  readonly view: View;
  /** From when to when there is something. */
  readonly limits: View;
  readonly pixels: number;
  /** Null: all. */
  readonly lanes: readonly number[] | null;
  /** Nothing has moved for a moment: fill in the detail. */
  readonly resting: boolean;
  /** Now, in ms. */
  readonly now: number;
}

const SCREENS = 3;
const MOST_COLUMNS = 8192;
/** So much of a screen is left at a side when the next tile is asked for. */
const MARGIN = 0.4;
/** An answer that takes longer got lost. */
const PATIENCE_MS = 4000;
/** How often what is still growing is asked for. */
const FRESH_MS = 250;
/** How much coarser than the screen shares may be while it moves, and at rest. */
const COARSEST_MOVING = 0.6;
const COARSEST_RESTING = 0.95;
/** Spans are exact, until the rounding of their times would be seen. */
const COARSEST_SPANS = 0.01;

function alike(a: Wanted, b: Wanted): boolean {
  return a.from === b.from && a.until === b.until && a.columns === b.columns && String(a.lanes) === String(b.lanes);
}

export class Feed {
  tile: Tile | null = null;
  #asked: Wanted | null = null;
  #answered: Wanted | null = null;
  #askedAt = 0;
  #gotAt = -Infinity;
  #request = 0;
  readonly #ask: (wanted: Wanted) => void;

  constructor(ask: (wanted: Wanted) => void) {
    this.#ask = ask;
  }

  /** Numbers of requests, which another way of asking shares. */
  nextRequest(): number {
    this.#request += 1;
    return this.#request;
  }

  /** Asks for a tile if this is not shown well by the one that there is. */
  need(need: Need): void {
    if (this.#asked && need.now - this.#askedAt < PATIENCE_MS) return;
    const { view, limits, lanes } = need;
    const pixels = Math.min(need.pixels, MOST_COLUMNS / 2);
    if (this.#suffices({ ...need, pixels })) return;
    const screens = Math.min(SCREENS, MOST_COLUMNS / pixels);
    const extra = (widthOf(view) * (screens - 1)) / 2;
    const { from, until } = within({ from: view.from - extra, until: view.until + extra }, limits);
    const columns = Math.min(Math.max(Math.round((pixels * (until - from)) / widthOf(view)), 1), MOST_COLUMNS);
    const wanted = { request: this.#request + 1, from, until, columns, lanes };
    // A server that answers with less than it was asked for would be asked forever.
    if (this.#answered && !this.tile?.live && alike(wanted, this.#answered)) return;
    this.#request = wanted.request;
    this.#asked = wanted;
    this.#askedAt = need.now;
    this.#ask(this.#asked);
  }

  /** Takes what came; null if nobody waits for it. */
  receive(buffer: ArrayBuffer, now: number): Tile | null {
    const tile = decodeTile(buffer);
    if (tile.request !== this.#asked?.request) return null;
    const answered = this.#asked;
    this.#asked = null;
    this.#take(tile, now);
    this.#answered = answered;
    return tile;
  }

  /** Takes a tile that nobody asked for by itself. */
  push(buffer: ArrayBuffer, now: number): void {
    this.#take(decodeTile(buffer), now);
  }

  #take(tile: Tile, now: number): void {
    this.tile = tile;
    this.#gotAt = now;
    this.#answered = null;
  }

  /** Nothing that was asked for will come any more. */
  forget(): void {
    this.#asked = null;
  }

  #suffices({ view, limits, pixels, lanes, resting, now }: Need): boolean {
    const { tile } = this;
    if (!tile) return false;
    const width = widthOf(view);
    const slack = width * 1e-6;
    const missing = (lanes: readonly number[] | null): boolean => lanes?.some((id) => !tile.lanes.has(id)) ?? false;
    if (missing(lanes)) return false;
    const before = view.from - tile.from;
    const after = tile.until - view.until;
    if (before < MARGIN * width && tile.from > limits.from + slack) return false;
    const growing = tile.live && tile.latest < limits.until - slack && tile.latest < view.until + MARGIN * width;
    if (growing) return now - this.#gotAt < FRESH_MS;
    if (after < MARGIN * width && tile.until < limits.until - slack) return false;
    const density = (tile.columns * width) / widthOf(tile) / pixels;
    const onlySpans = [...tile.lanes.values()].every(({ mode }) => mode === "spans");
    if (onlySpans) return density > COARSEST_SPANS;
    return density > (resting ? COARSEST_RESTING : COARSEST_MOVING);
  }
}
