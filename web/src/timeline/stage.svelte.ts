// The moving part of the timeline: which window is shown, how it glides, and when what is drawn and asked for.
import type { Palette } from "../palette";
import type { Lane, TimelineInfo } from "../types";
import {
  drawAxis,
  drawLanes,
  drawOverlay,
  type Filter,
  type Marked,
  type Outline,
  type Scene,
  type Size,
} from "./draw";
import { Feed, type Wanted } from "./feed";
import type { Hold } from "./keys";
import { layOut, rowAt, type Layout, type Row } from "./lanes";
import { beside, columnAt, spanAt, type Column, type Cursor, type Span } from "./pick";
import type { Tile } from "./tile";
import { between, framing, pan, same, showing, toTime, widthOf, within, zoom, type View } from "./view";

const AXIS_PX = 38;
const STRIP_PX = 12;
/** So far from a span the pointer still means it. */
const NEAR_PX = 4;
const GLIDE_MS = 220;
const RESTING_MS = 140;
/** Of held keys: widths a second, and doublings a second; reached softly. */
const PAN_SPEED = 1.1;
const ZOOM_SPEED = 2.6;
const SOFTNESS_MS = 70;
/** One press, where nothing is to move by itself. */
const PAN_STEP = 0.15;
const ZOOM_STEP = 0.7;
/** While a next tile of what is followed is on its way, time goes on so long. */
const AHEAD_S = 0.1;
const AHEAD_SHARE = 0.02;
const NARROWEST_FOLLOWED_S = 0.01;
const MOST_LANES = 32;

export interface Follower {
  follow(request: number, width: number, columns: number): void;
  unfollow(): void;
  drawn(request: number): void;
}

interface Canvases {
  readonly lanes: HTMLCanvasElement;
  readonly overlay: HTMLCanvasElement;
  readonly axis: HTMLCanvasElement;
}

interface Glide {
  readonly from: View;
  readonly to: View;
  readonly began: number;
}

const NOTHING: Layout = { rows: [], headings: [], height: 0 };

export class Stage {
  view = $state.raw<View>({ from: 0, until: 1 });
  limits = $state.raw<View>({ from: 0, until: 1 });
  layout = $state.raw<Layout>(NOTHING);
  size = $state.raw<Size>({ width: 0, height: 0, ratio: 1, scale: 1 });
  tile = $state.raw<Tile | null>(null);
  following = $state(false);
  selection = $state.raw<View | null>(null);
  marks = $state.raw<readonly number[]>([]);
  /** What the pointer is at. */
  hover = $state.raw<Cursor | null>(null);
  /** What the keys are at. */
  cursor = $state.raw<Cursor | null>(null);
  pinned = $state.raw<Span | null>(null);
  /** The pointer, in CSS pixels of the lanes. */
  pointer = $state.raw<{ x: number; y: number } | null>(null);

  /** Of the axis and the strip above it. */
  get axisHeight(): number {
    return Math.round(AXIS_PX * this.size.scale);
  }

  get stripHeight(): number {
    return Math.round(STRIP_PX * this.size.scale);
  }

  readonly feed: Feed;
  readonly #follower: Follower;
  readonly #unknown: () => void;
  #canvases: Canvases | null = null;
  #info: TimelineInfo | null = null;
  #collapsed: ReadonlySet<string> = new Set();
  #palette: Palette | null = null;
  #filter: Filter = { kinds: [], labels: null };
  #backdrop: Tile | null = null;
  #scroll = 0;
  /** Where selecting by keys began. */
  #anchor: View | null = null;
  #filled = 0;
  /** Whether anybody has said how long it is. */
  #known = false;
  #frame = 0;
  #last = 0;
  #dirty = true;
  #glide: Glide | null = null;
  #held = new Set<Hold>();
  #speed = { pan: 0, zoom: 0 };
  #movedAt = -Infinity;
  #restTimer: ReturnType<typeof setTimeout> | undefined;
  #growTimer: ReturnType<typeof setInterval> | undefined;
  #levels: View[] = [];
  #followed = { request: -1, width: 0, columns: 0 };
  #followedAt = 0;
  #width = 1;
  #undrawn = -1;
  #stillness = matchMedia("(prefers-reduced-motion: reduce)");

  /** `unknown` is called when a tile mentions what the timeline's description does not have yet. */
  constructor(ask: (wanted: Wanted) => void, follower: Follower, unknown: () => void) {
    this.feed = new Feed(ask);
    this.#follower = follower;
    this.#unknown = unknown;
  }

  /** Draws on these from now on. */
  attach(canvases: Canvases): () => void {
    this.#canvases = canvases;
    this.#growTimer = setInterval(() => this.invalidate(), 250);
    this.#schedule();
    return () => {
      this.#canvases = null;
      clearInterval(this.#growTimer);
      clearTimeout(this.#restTimer);
      cancelAnimationFrame(this.#frame);
      this.#frame = 0;
    };
  }

  setInfo(info: TimelineInfo): void {
    this.#info = info;
    this.#layOut();
  }

  setCollapsed(collapsed: ReadonlySet<string>): void {
    this.#collapsed = collapsed;
    this.#layOut();
  }

  /** How large the lanes' canvas is, and how much of that they are stretched to fill. */
  setSize(size: Size, filled: number): void {
    this.size = size;
    this.#filled = filled;
    const canvases = this.#canvases;
    if (canvases) {
      for (const canvas of [canvases.lanes, canvases.overlay]) resize(canvas, size);
      resize(canvases.axis, { ...size, height: this.axisHeight });
    }
    this.#layOut();
    // A canvas that changes its size is empty: were it drawn in the next frame, it would flash.
    this.#draw();
    this.#drawOver();
  }

  setLook(palette: Palette, filter: Filter): void {
    this.#palette = palette;
    this.#filter = filter;
    this.#dirty = true;
    // At once: what is shown in old colours for a frame flickers.
    this.#schedule();
  }

  setScroll(scroll: number): void {
    this.#scroll = scroll;
    this.invalidate();
  }

  setBackdrop(tile: Tile): void {
    this.#backdrop = tile;
    this.invalidate();
  }

  get backdrop(): Tile | null {
    return this.#backdrop;
  }

  /** How far there is something; what is live grows. */
  setDuration(seconds: number): void {
    if (this.#known && seconds <= this.limits.until) return;
    this.#known = true;
    const whole = same(this.view, this.limits);
    this.limits = { from: 0, until: Math.max(seconds, 1e-6) };
    if (whole && !this.following) this.view = this.limits;
    this.invalidate();
  }

  #layOut(): void {
    if (!this.#info) return;
    this.layout = layOut(this.#info.lanes, this.#collapsed, this.#filled, this.size.scale);
    this.invalidate();
  }

  // ---- what comes from the server ----

  receive(buffer: ArrayBuffer): void {
    const now = performance.now();
    if (this.following) {
      const request = new DataView(buffer).getUint32(4, true);
      if (request !== this.#followed.request) return;
      this.#undrawn = request;
      this.feed.push(buffer, now);
      this.#followedAt = now;
    } else if (!this.feed.receive(buffer, now)) return;
    this.tile = this.feed.tile;
    if (this.tile?.live) this.setDuration(this.tile.latest);
    if (this.tile && this.#info && !isDescribed(this.tile, this.#info)) this.#unknown();
    this.invalidate();
  }

  /** The socket is open again: whatever was asked for is asked again. */
  reconnected(): void {
    this.feed.forget();
    this.#followed = { request: -1, width: 0, columns: 0 };
    this.invalidate();
  }

  // ---- moving ----

  /** Shows a window at once, and remembers none. */
  jumpTo(view: View): void {
    this.#glide = null;
    this.#show(within(view, this.limits));
  }

  /** Moves there, and keeps where it was as a level to go out to. */
  glideTo(view: View): void {
    const to = within(view, this.limits);
    if (same(to, this.view)) return;
    this.stopFollowing();
    this.#levels.push(this.view);
    if (this.#levels.length > 50) this.#levels.shift();
    this.#glideTo(to);
  }

  #glideTo(to: View): void {
    if (this.#stillness.matches) return this.jumpTo(to);
    this.#glide = { from: this.view, to, began: performance.now() };
    this.invalidate();
  }

  /** Back to where the last jump began, else further out; false when all is shown. */
  out(): boolean {
    const level = this.#levels.pop();
    if (level) {
      this.#glideTo(within(level, this.limits));
      return true;
    }
    if (same(this.view, this.limits) || this.following) return false;
    this.#glideTo(this.limits);
    return true;
  }

  panBy(seconds: number): void {
    if (seconds > 0 && this.following) return;
    this.stopFollowing();
    this.#glide = null;
    this.#show(pan(this.view, seconds, this.limits));
  }

  zoomBy(factor: number, at = (this.view.from + this.view.until) / 2): void {
    this.#glide = null;
    if (!this.following) return this.#show(zoom(this.view, factor, at, this.limits));
    // What follows keeps the newest at its edge.
    const { until } = this.view;
    this.#width = Math.min(Math.max(this.#width * factor, NARROWEST_FOLLOWED_S), Math.max(this.limits.until, 1));
    this.#show({ from: Math.max(until - this.#width, 0), until: Math.max(until, this.#width) });
  }

  frame(range: View): void {
    this.glideTo(framing(range, this.limits));
  }

  bring(range: View): void {
    this.glideTo(showing(this.view, range, this.limits));
  }

  goToEdge(end: boolean): void {
    const width = widthOf(this.view);
    this.glideTo(end ? { from: this.limits.until - width, until: this.limits.until } : { from: 0, until: width });
  }

  hold(hold: Hold): void {
    if (this.#stillness.matches) {
      if (hold === "left" || hold === "right") this.panBy((hold === "left" ? -1 : 1) * PAN_STEP * widthOf(this.view));
      else this.zoomBy(hold === "zoom-in" ? ZOOM_STEP : 1 / ZOOM_STEP, this.#focusTime());
      return;
    }
    this.#held.add(hold);
    this.invalidate();
  }

  release(hold: Hold): void {
    this.#held.delete(hold);
  }

  releaseAll(): void {
    this.#held.clear();
  }

  /** Zooming by keys goes where the pointer is, else to the middle. */
  #focusTime(): number | undefined {
    return this.pointer ? this.timeAt(this.pointer.x) : undefined;
  }

  // ---- following ----

  startFollowing(width = widthOf(this.view)): void {
    this.following = true;
    this.#glide = null;
    this.feed.forget();
    this.#followed = { request: -1, width: 0, columns: 0 };
    this.#width = Math.max(width, NARROWEST_FOLLOWED_S);
    this.invalidate();
  }

  stopFollowing(): void {
    if (!this.following) return;
    this.following = false;
    this.#undrawn = -1;
    this.#follower.unfollow();
    this.invalidate();
  }

  #follow(now: number): void {
    if (!this.size.width) return;
    const width = this.#width;
    const columns = Math.round(this.size.width);
    const asked = this.#followed;
    if (asked.request < 0 || ((asked.width !== width || asked.columns !== columns) && this.#resting(now))) {
      this.#followed = { request: this.feed.nextRequest(), width, columns };
      this.#follower.follow(this.#followed.request, width, columns);
    }
    const { tile } = this;
    if (!tile) return;
    const ahead = this.#stillness.matches ? 0 : Math.min(AHEAD_S, width * AHEAD_SHARE);
    const until = tile.latest + Math.min((now - this.#followedAt) / 1000, ahead);
    // A little early is corrected by waiting, not by going back.
    const shown = until < this.view.until && until > this.view.until - 2 * AHEAD_S ? this.view.until : until;
    const view = { from: Math.max(shown - width, 0), until: Math.max(shown, width) };
    if (!same(view, this.view)) {
      this.view = view;
      this.#dirty = true;
    }
  }

  // ---- looking ----

  timeAt(x: number): number {
    return toTime(this.view, x, this.size.width);
  }

  rowAt(y: number): Row | null {
    return rowAt(this.layout, y + this.#scroll);
  }

  /** What is drawn at a place of the lanes. */
  at(x: number, y: number): Cursor | null {
    const row = this.rowAt(y);
    return row ? this.#lookUp(row.lane, this.timeAt(x)) : null;
  }

  #lookUp(lane: Lane, seconds: number): Cursor {
    const perPixel = widthOf(this.view) / Math.max(this.size.width, 1);
    for (const tile of [this.tile, this.#backdrop]) {
      if (!tile || seconds < tile.from || seconds > tile.until) continue;
      const span = spanAt(tile, lane, seconds, NEAR_PX * perPixel);
      if (span) return { lane, span, column: null };
      const column = columnAt(tile, lane, seconds, perPixel);
      if (column) return { lane, span: null, column };
      if (tile.lanes.has(lane.id)) break;
    }
    return { lane, span: null, column: null };
  }

  /** The pointer is here; null: it has left. */
  point(place: { x: number; y: number } | null): void {
    this.pointer = place;
    this.hover = place ? this.at(place.x, place.y) : null;
    this.#schedule();
  }

  /** Moves the keyboard's cursor to the lane above or below. */
  cursorToLane(down: boolean): void {
    const { rows } = this.layout;
    const lane = this.cursor?.lane ?? null;
    const at = lane ? rows.findIndex((row) => row.lane.id === lane.id) : down ? -1 : rows.length;
    const row = rows[Math.min(Math.max(at + (down ? 1 : -1), 0), rows.length - 1)];
    if (!row) return;
    this.cursor = this.#lookUp(row.lane, this.#cursorTime());
    this.invalidate();
  }

  #cursorTime(): number {
    const { span, column } = this.cursor ?? {};
    const seconds = span
      ? (span.from + Math.min(span.until, span.from + widthOf(this.view))) / 2
      : columnMiddle(column);
    if (seconds !== null && seconds >= this.view.from && seconds <= this.view.until) return seconds;
    return (this.view.from + this.view.until) / 2;
  }

  /** Moves the keyboard's cursor to the span beside; over shares, a little further. `extend` selects what lies between. */
  cursorBeside(forward: boolean, extend: boolean): void {
    if (!this.cursor) return this.cursorToLane(true);
    const { lane, span, column } = this.cursor;
    this.#anchor = extend ? (this.#anchor ?? span ?? column) : null;
    const next = span && this.tile ? beside(this.tile, span, forward) : null;
    if (next) this.cursor = { lane, span: next, column: null };
    else if (span) {
      // Whatever is next lies far outside: on the way there more tiles come.
      this.stopFollowing();
      this.#glideTo(pan(this.view, (widthOf(this.view) / 2) * (forward ? 1 : -1), this.limits));
      return;
    } else {
      const step = (widthOf(this.view) / 40) * (forward ? 1 : -1);
      const seconds = Math.min(Math.max(this.#cursorTime() + step, this.limits.from), this.limits.until);
      this.cursor = this.#lookUp(lane, seconds);
    }
    const shown = this.cursor.span ?? this.cursor.column;
    if (!shown) return this.invalidate();
    if (this.#anchor) {
      const { from, until } = this.#anchor;
      this.select({ from: Math.min(from, shown.from), until: Math.max(until, shown.until) });
    }
    if (shown.from < this.view.from || shown.until > this.view.until) {
      this.stopFollowing();
      this.#glideTo(showing(this.view, shown, this.limits, 0));
    }
    this.invalidate();
  }

  clearCursor(): void {
    this.cursor = null;
    this.invalidate();
  }

  setMarks(marks: readonly number[]): void {
    this.marks = marks;
    this.invalidate();
  }

  toggleMark(seconds: number): void {
    const near = (widthOf(this.view) / Math.max(this.size.width, 1)) * NEAR_PX;
    const kept = this.marks.filter((mark) => Math.abs(mark - seconds) > near);
    this.setMarks(kept.length < this.marks.length ? kept : [...kept, seconds].sort((a, b) => a - b));
  }

  select(range: View | null): void {
    this.selection = range;
    this.invalidate();
  }

  pin(span: Span | null): void {
    this.pinned = span;
    this.invalidate();
  }

  // ---- frames ----

  invalidate(): void {
    this.#dirty = true;
    this.#schedule();
  }

  #show(view: View): void {
    if (same(view, this.view)) return;
    this.view = view;
    this.#movedAt = performance.now();
    clearTimeout(this.#restTimer);
    this.#restTimer = setTimeout(() => this.invalidate(), RESTING_MS + 10);
    this.invalidate();
  }

  #resting(now: number): boolean {
    return now - this.#movedAt > RESTING_MS;
  }

  #schedule(): void {
    if (this.#frame || !this.#canvases) return;
    this.#frame = requestAnimationFrame((now) => {
      this.#frame = 0;
      this.#step(now);
    });
  }

  #step(now: number): void {
    const elapsed = Math.min(now - this.#last, 50);
    this.#last = now;
    const moving = this.#animate(now, elapsed);
    if (this.following) this.#follow(now);
    else this.#need(now);
    if (this.#dirty) this.#draw();
    this.#drawOver();
    if (this.#undrawn >= 0) {
      this.#follower.drawn(this.#undrawn);
      this.#undrawn = -1;
    }
    if (moving || this.following) this.#schedule();
  }

  /** Whether there is more to move. */
  #animate(now: number, elapsed: number): boolean {
    if (this.#glide) {
      const { from, to, began } = this.#glide;
      const progress = Math.min(Math.max((now - began) / GLIDE_MS, 0), 1);
      const eased = 1 - (1 - progress) ** 3;
      if (progress >= 1) this.#glide = null;
      this.#show(progress >= 1 ? to : between(from, to, eased));
      return true;
    }
    const held = (hold: Hold): number => Number(this.#held.has(hold));
    const wanted = {
      pan: (held("right") - held("left")) * PAN_SPEED,
      zoom: (held("zoom-out") - held("zoom-in")) * ZOOM_SPEED,
    };
    const soft = 1 - Math.exp(-elapsed / SOFTNESS_MS);
    this.#speed.pan += (wanted.pan - this.#speed.pan) * soft;
    this.#speed.zoom += (wanted.zoom - this.#speed.zoom) * soft;
    const { pan: panning, zoom: zooming } = this.#speed;
    if (Math.abs(panning) > 0.01) this.panBy((panning * widthOf(this.view) * elapsed) / 1000);
    if (Math.abs(zooming) > 0.01) this.zoomBy(2 ** ((zooming * elapsed) / 1000), this.#focusTime());
    if (this.#held.size || Math.abs(panning) > 0.01 || Math.abs(zooming) > 0.01) return true;
    this.#speed = { pan: 0, zoom: 0 };
    return false;
  }

  #need(now: number): void {
    if (!this.#info || !this.size.width) return;
    this.feed.need({
      view: this.view,
      limits: this.limits,
      pixels: Math.round(this.size.width),
      lanes: this.#visibleLanes(),
      resting: this.#resting(now),
      now,
    });
  }

  /** Null where all lanes are few enough to ask for. */
  #visibleLanes(): number[] | null {
    const { rows } = this.layout;
    if (rows.length <= MOST_LANES) return null;
    const [top, bottom] = [this.#scroll - this.size.height / 2, this.#scroll + this.size.height * 1.5];
    return rows.filter(({ y, height }) => y + height > top && y < bottom).map(({ lane }) => lane.id);
  }

  #scene(): Scene | null {
    if (!this.#palette || !this.#info) return null;
    return {
      view: this.view,
      tile: this.tile,
      backdrop: this.#backdrop,
      layout: this.layout,
      scroll: this.#scroll,
      size: this.size,
      labels: this.#info.labels,
      filter: this.#filter,
      palette: this.#palette,
    };
  }

  #draw(): void {
    this.#dirty = false;
    const scene = this.#scene();
    const context = this.#canvases?.lanes.getContext("2d", { alpha: false });
    if (!scene || !context) return;
    drawLanes(context, scene);
    if (this.pointer) this.hover = this.at(this.pointer.x, this.pointer.y);
  }

  #drawOver(): void {
    const scene = this.#scene();
    const over = this.#canvases?.overlay.getContext("2d");
    const axis = this.#canvases?.axis.getContext("2d", { alpha: false });
    if (!scene || !over || !axis) return;
    const marked: Marked = {
      view: this.view,
      size: this.size,
      palette: scene.palette,
      selection: this.selection,
      marks: this.marks,
      pointer: this.pointer ? this.timeAt(this.pointer.x) : null,
    };
    drawOverlay(over, marked, this.#outlines(), this.#scroll);
    const size = { ...this.size, height: this.axisHeight };
    drawAxis(axis, { ...scene, size }, { ...marked, size }, this.limits, this.stripHeight);
  }

  #outlines(): Outline[] {
    const outlines: Outline[] = [];
    const add = (lane: Lane, range: View | null | undefined, strong: boolean): void => {
      const row = this.layout.rows.find((row) => row.lane.id === lane.id);
      if (row && range) outlines.push({ row, from: range.from, until: range.until, strong });
    };
    if (this.hover?.span) add(this.hover.lane, this.hover.span, false);
    if (this.pinned) add(this.pinned.lane, this.pinned, true);
    if (this.cursor) add(this.cursor.lane, this.cursor.span ?? this.cursor.column, true);
    return outlines;
  }
}

function isDescribed(tile: Tile, info: TimelineInfo): boolean {
  const known = new Set(info.lanes.map(({ id }) => id));
  const { length } = info.labels;
  for (const [id, lane] of tile.lanes) {
    if (!known.has(id)) return false;
    if (lane.mode === "spans" && lane.label.some((label) => label >= length)) return false;
  }
  return true;
}

function columnMiddle(column: Column | null | undefined): number | null {
  return column ? (column.from + column.until) / 2 : null;
}

function resize(canvas: HTMLCanvasElement, { width, height, ratio }: Size): void {
  const [wide, high] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== high) canvas.height = high;
}
