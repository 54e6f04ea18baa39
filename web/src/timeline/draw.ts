// Draws lanes, axis and what lies over them, in device pixels. Holds no state but what it made of a tile's shares.
import { KINDS, PHASES, WAIT_STRENGTH, type Palette } from "../palette";
import type { LaneGroup, TimelineInfo } from "../types";
import { axisOf, type Axis } from "./axis";
import type { Layout, Row } from "./lanes";
import type { Shares, Spans, Tile } from "./tile";
import { widthOf, type View } from "./view";

export interface Size {
  /** In CSS pixels. */
  readonly width: number;
  readonly height: number;
  /** Device pixels in one of CSS. */
  readonly ratio: number;
}

/** What is not meant is drawn faint. */
export interface Filter {
  /** By kind, in the order of the palette. */
  readonly kinds: readonly boolean[];
  /** By label; null where no text is looked for. */
  readonly labels: readonly boolean[] | null;
}

export interface Scene {
  readonly view: View;
  readonly tile: Tile | null;
  /** The whole of it, coarsely: what is seen where the tile does not reach yet. */
  readonly backdrop: Tile | null;
  readonly layout: Layout;
  /** How far the lanes are scrolled, in CSS pixels. */
  readonly scroll: number;
  readonly size: Size;
  readonly labels: TimelineInfo["labels"];
  readonly filter: Filter;
  readonly palette: Palette;
}

const FONT = 'system-ui, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif';
const FONT_PX = 11;
/** What is narrower than this has no name, in CSS pixels. */
const NAMED_PX = 26;
const HATCHED_PX = 9;
const FAINT = 0.12;
/** Shares are rastered so many pixels high at most, and stretched. */
const RASTER_PX = 64;

interface Colours {
  readonly work: readonly string[];
  readonly wait: readonly string[];
  readonly faint: readonly string[];
  /** Of text on `work`. */
  readonly text: readonly string[];
}

const coloursOf = remembered((palette: Palette): { kinds: Colours; phases: Colours } => ({
  kinds: shades(
    KINDS.map((kind) => palette.kinds[kind]),
    palette,
  ),
  phases: shades(
    PHASES.map((phase) => palette.phases[phase]),
    palette,
  ),
}));

function shades(work: readonly string[], palette: Palette): Colours {
  return {
    work,
    wait: work.map((colour) => mixed(colour, palette.surface, WAIT_STRENGTH)),
    faint: work.map((colour) => mixed(colour, palette.surface, FAINT)),
    text: work.map((colour) => (luminance(colour) > 0.2 ? "#000000" : "#ffffff")),
  };
}

const channels = (colour: string): [number, number, number] => [
  parseInt(colour.slice(1, 3), 16),
  parseInt(colour.slice(3, 5), 16),
  parseInt(colour.slice(5, 7), 16),
];

/** So much of one colour on another. */
export function mixed(colour: string, ground: string, strength: number): string {
  const under = channels(ground);
  const mixture = channels(colour).map((value, at) =>
    Math.round(value * strength + (under[at] as number) * (1 - strength)),
  );
  return `#${mixture.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

/** WCAG's relative luminance. */
function luminance(colour: string): number {
  const [red, green, blue] = channels(colour).map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** What was made of an object, as long as that lives. */
function remembered<K extends object, V>(make: (key: K) => V): (key: K) => V {
  const made = new WeakMap<K, V>();
  return (key) => {
    let value = made.get(key);
    if (value === undefined) made.set(key, (value = make(key)));
    return value;
  };
}

const inPhases = (group: LaneGroup): boolean => group === "phases" || group === "graphs";

// ---- lanes ----

export function drawLanes(context: CanvasRenderingContext2D, scene: Scene): void {
  const { size, palette, layout, scroll } = scene;
  const { ratio } = size;
  const [width, height] = [Math.round(size.width * ratio), Math.round(size.height * ratio)];
  context.fillStyle = palette.background;
  context.fillRect(0, 0, width, height);
  const axis = axisFor(scene.view, size);
  for (const row of layout.rows) {
    const top = Math.round((row.y - scroll) * ratio);
    const bottom = Math.round((row.y + row.height - scroll) * ratio);
    if (bottom <= 0 || top >= height) continue;
    context.fillStyle = palette.surface;
    context.fillRect(0, top, width, bottom - top);
  }
  drawGrid(context, scene, axis, width, height);
  for (const row of layout.rows) {
    const top = Math.round((row.y - scroll) * ratio);
    const bottom = Math.round((row.y + row.height - scroll) * ratio);
    if (bottom <= 0 || top >= height) continue;
    drawRow(context, scene, row, top, Math.max(1, bottom - top), width);
  }
}

function drawGrid(
  context: CanvasRenderingContext2D,
  { view, palette }: Scene,
  axis: Axis,
  width: number,
  height: number,
): void {
  context.fillStyle = palette.line;
  context.globalAlpha = 0.5;
  for (const { at } of axis.ticks) {
    context.fillRect(Math.round(((at - view.from) / widthOf(view)) * width), 0, 1, height);
  }
  context.globalAlpha = 1;
}

/** One lane: the tile where it reaches, the backdrop beside it. */
function drawRow(
  context: CanvasRenderingContext2D,
  scene: Scene,
  row: Row,
  top: number,
  height: number,
  width: number,
): void {
  const { tile, backdrop, view } = scene;
  const fine = tile?.lanes.get(row.lane.id);
  const coarse = backdrop?.lanes.get(row.lane.id);
  const x = (seconds: number): number => ((seconds - view.from) / widthOf(view)) * width;
  let [left, right] = [0, 0];
  if (tile && fine) {
    left = Math.max(0, Math.min(width, x(tile.from)));
    right = Math.max(0, Math.min(width, x(tile.until)));
    drawPart(context, scene, row, tile, fine, { top, height, width, left, right });
  }
  if (!backdrop || !coarse) return;
  if (left > 0) drawPart(context, scene, row, backdrop, coarse, { top, height, width, left: 0, right: left });
  if (right < width) drawPart(context, scene, row, backdrop, coarse, { top, height, width, left: right, right: width });
}

interface Part {
  readonly top: number;
  readonly height: number;
  /** Of the whole canvas. */
  readonly width: number;
  /** From where to where to draw. */
  readonly left: number;
  readonly right: number;
}

function drawPart(
  context: CanvasRenderingContext2D,
  scene: Scene,
  row: Row,
  tile: Tile,
  lane: Shares | Spans,
  part: Part,
): void {
  const clipped = part.left > 0 || part.right < part.width;
  if (clipped) {
    context.save();
    context.beginPath();
    context.rect(part.left, part.top, part.right - part.left, part.height);
    context.clip();
  }
  if (lane.mode === "shares") drawShares(context, scene, row, tile, lane, part);
  else drawSpans(context, scene, row, tile, lane, part);
  if (clipped) context.restore();
}

// ---- shares ----

interface Raster {
  readonly canvas: HTMLCanvasElement;
  readonly key: string;
}

const rasters = new WeakMap<Shares, Raster>();

function drawShares(
  context: CanvasRenderingContext2D,
  scene: Scene,
  row: Row,
  tile: Tile,
  lane: Shares,
  { top, height, width }: Part,
): void {
  const { view, size } = scene;
  const raster = rasterOf(scene, row, tile, lane, Math.min(height, RASTER_PX * size.ratio));
  const column = widthOf(tile) / tile.columns;
  const first = Math.max(0, Math.floor((view.from - tile.from) / column));
  const last = Math.min(tile.columns, Math.ceil((view.until - tile.from) / column));
  if (last <= first) return;
  const x = (at: number): number => ((tile.from + at * column - view.from) / widthOf(view)) * width;
  // Columns narrower than pixels are averaged, wider ones stay sharp.
  context.imageSmoothingEnabled = (last - first) * 1.2 > x(last) - x(first);
  context.drawImage(raster, first, 0, last - first, raster.height, x(first), top, x(last) - x(first), height);
}

/** The shares as a picture: a stack for each column, work at the bottom, waiting above it, nothing above that. */
function rasterOf(scene: Scene, row: Row, tile: Tile, lane: Shares, height: number): HTMLCanvasElement {
  const { palette, filter } = scene;
  const key = `${height} ${palette.surface} ${filter.kinds.map(Number).join("")}`;
  const made = rasters.get(lane);
  if (made?.key === key) return made.canvas;
  const phases = inPhases(row.lane.group);
  const colours = coloursOf(palette)[phases ? "phases" : "kinds"];
  const words = (list: readonly string[]): number[] => list.map(word);
  const [work, wait, faint] = [words(colours.work), words(colours.wait), words(colours.faint)];
  const canvas = made?.canvas ?? document.createElement("canvas");
  canvas.width = tile.columns;
  canvas.height = height;
  const context = canvas.getContext("2d") as CanvasRenderingContext2D;
  const image = context.createImageData(tile.columns, height);
  const pixels = new Uint32Array(image.data.buffer);
  const { shares } = lane;
  for (let at = 0; at < tile.columns; at++) {
    let sum = 0;
    let filled = 0;
    for (let part = 0; part < 2; part++) {
      for (let kind = 0; kind < tile.kinds; kind++) {
        const share = shares[(at * tile.kinds + kind) * 2 + part] as number;
        if (!share) continue;
        sum += share;
        // Shares are rounded up or down each by itself: a full column is full.
        const end = sum >= 250 ? height : Math.round((sum / 255) * height);
        const wanted = phases || filter.kinds[kind] !== false;
        const colour = (!wanted ? faint : part ? wait : work)[kind] ?? 0;
        for (; filled < end; filled++) pixels[(height - 1 - filled) * tile.columns + at] = colour;
      }
    }
  }
  context.putImageData(image, 0, 0);
  rasters.set(lane, { canvas, key });
  return canvas;
}

/** A colour as it lies in an image's memory. */
function word(colour: string): number {
  const [red, green, blue] = channels(colour);
  return (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
}

// ---- spans ----

const WORK = 0;
const WAIT = 1;
const DIM = 2;
const SHADES = 3;

function drawSpans(
  context: CanvasRenderingContext2D,
  scene: Scene,
  row: Row,
  tile: Tile,
  spans: Spans,
  { top, height, width, left, right }: Part,
): void {
  const { view, labels, filter, palette, size } = scene;
  const colours = coloursOf(palette)[inPhases(row.lane.group) ? "phases" : "kinds"];
  const kinds = colours.work.length;
  const scale = (widthOf(tile) / widthOf(view)) * width;
  const shift = ((tile.from - view.from) / widthOf(view)) * width;
  const buckets: number[][] = Array.from({ length: SHADES * kinds }, () => []);
  const named: number[] = [];
  const gap = height > 6 * size.ratio ? 1 : 0;
  const byKind = !inPhases(row.lane.group);
  for (let index = 0; index < spans.count; index++) {
    const begin = shift + (spans.begin[index] as number) * scale;
    if (begin >= right) continue;
    const end = begin + (spans.duration[index] as number) * scale;
    if (end <= left) continue;
    const label = spans.label[index] as number;
    const kind = Math.min(labels[label]?.kind ?? kinds - 1, kinds - 1);
    const wanted =
      (!byKind || filter.kinds[kind] !== false) && (filter.labels === null || filter.labels[label] !== false);
    const [x, until] = snapped(Math.max(begin, left - 4), Math.min(end, right + 4), gap);
    if (!wanted) {
      (buckets[DIM * kinds + kind] as number[]).push(x, until - x);
      continue;
    }
    const wait = (spans.wait[index] as number) * scale;
    const edge = wait > 0 ? Math.min(Math.max(x, wait >= until - x ? x : Math.min(end - wait, until)), until) : until;
    if (edge > x) (buckets[WORK * kinds + kind] as number[]).push(x, edge - x);
    if (until > edge) (buckets[WAIT * kinds + kind] as number[]).push(edge, until - edge);
    if (!row.small && until - x >= NAMED_PX * size.ratio) named.push(x, edge, until, label, kind);
  }
  const fills = [colours.work, colours.wait, colours.faint];
  for (const [bucket, rectangles] of buckets.entries()) {
    if (!rectangles.length) continue;
    const kind = bucket % kinds;
    const shade = Math.floor(bucket / kinds);
    context.fillStyle = fills[shade]?.[kind] ?? palette.ink;
    for (let at = 0; at < rectangles.length; at += 2) {
      context.fillRect(rectangles[at] as number, top, rectangles[at + 1] as number, height);
    }
    if (shade === WAIT) hatch(context, scene, colours.work[kind] ?? palette.ink, rectangles, top, height, shift);
  }
  drawNames(context, scene, named, colours, top, height);
}

/** Wide rectangles end on pixels, with a gap between neighbours; narrow ones are as faint as they are narrow. */
function snapped(begin: number, end: number, gap: number): [number, number] {
  if (end - begin < 1) return [begin, Math.max(end, begin + 0.25)];
  const x = Math.round(begin);
  const until = Math.max(x + 1, Math.round(end));
  return [x, until - x > 4 ? until - gap : until];
}

const patterns = new Map<string, CanvasPattern | null>();

/** Diagonal lines over waits that are wide enough to show them. They move along with what they lie on. */
function hatch(
  context: CanvasRenderingContext2D,
  { size, palette }: Scene,
  colour: string,
  rectangles: readonly number[],
  top: number,
  height: number,
  shift: number,
): void {
  const { ratio } = size;
  const period = Math.round(6 * ratio);
  const key = `${colour} ${palette.surface} ${period}`;
  let pattern = patterns.get(key);
  if (pattern === undefined)
    patterns.set(key, (pattern = hatching(context, mixed(colour, palette.surface, 0.62), period)));
  if (!pattern) return;
  context.fillStyle = pattern;
  pattern.setTransform(new DOMMatrix([1, 0, 0, 1, shift % period, top]));
  for (let at = 0; at < rectangles.length; at += 2) {
    const wide = rectangles[at + 1] as number;
    if (wide >= HATCHED_PX * ratio) context.fillRect(rectangles[at] as number, top, wide, height);
  }
}

function hatching(context: CanvasRenderingContext2D, colour: string, period: number): CanvasPattern | null {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = period;
  const drawing = canvas.getContext("2d") as CanvasRenderingContext2D;
  drawing.strokeStyle = colour;
  drawing.lineWidth = period / 5;
  for (const offset of [-period, 0, period]) {
    drawing.beginPath();
    drawing.moveTo(offset - 1, period + 1);
    drawing.lineTo(offset + period + 1, -1);
    drawing.stroke();
  }
  return context.createPattern(canvas, "repeat");
}

/** Names stand in what was work if there is room, else in what was waiting; what reaches out of sight keeps them in it. */
function drawNames(
  context: CanvasRenderingContext2D,
  { labels, palette, size }: Scene,
  named: readonly number[],
  colours: Colours,
  top: number,
  height: number,
): void {
  if (!named.length || height < (FONT_PX + 1) * size.ratio) return;
  const { ratio } = size;
  context.font = `${FONT_PX * ratio}px ${FONT}`;
  context.textBaseline = "middle";
  context.textAlign = "left";
  const padding = 4 * ratio;
  const middle = top + height / 2 + ratio * 0.5;
  for (let at = 0; at < named.length; at += 5) {
    const [x, edge, until, label, kind] = named.slice(at, at + 5) as [number, number, number, number, number];
    const begin = Math.max(x, 0);
    const inWork = edge - begin >= until - edge;
    const from = inWork ? begin : Math.max(edge, 0);
    const room = (inWork ? edge : until) - from - 2 * padding;
    const text = fitting(context, labels[label]?.text ?? "", room);
    if (!text) continue;
    context.fillStyle = inWork ? (colours.text[kind] ?? palette.ink) : palette.ink;
    context.fillText(text, from + padding, middle);
  }
}

const widths = new Map<string, number>();

/** As much of a text as there is room for; nothing rather than a letter or two. */
function fitting(context: CanvasRenderingContext2D, text: string, room: number): string {
  const key = `${context.font}${text}`;
  let width = widths.get(key);
  if (width === undefined) {
    if (widths.size > 20_000) widths.clear();
    widths.set(key, (width = context.measureText(text).width));
  }
  if (width <= room) return text;
  const letters = Math.floor((text.length * room) / width) - 1;
  return letters >= 3 ? `${text.slice(0, letters)}…` : "";
}

// ---- axis and what lies over the lanes ----

const LABEL_PX = 90;

export function axisFor(view: View, size: Size): Axis {
  return axisOf(view, size.width / LABEL_PX);
}

export interface Marked {
  readonly view: View;
  readonly size: Size;
  readonly palette: Palette;
  readonly selection: View | null;
  readonly marks: readonly number[];
  /** Where the pointer is, in seconds. */
  readonly pointer: number | null;
}

/** The strip that shows where in the whole the view is, and beneath it the axis. */
export function drawAxis(
  context: CanvasRenderingContext2D,
  scene: Scene,
  marked: Marked,
  limits: View,
  strip: number,
): void {
  const { view, size, palette, backdrop, layout } = scene;
  const { ratio } = size;
  const [width, height] = [Math.round(size.width * ratio), Math.round(size.height * ratio)];
  context.fillStyle = palette.background;
  context.fillRect(0, 0, width, height);
  const high = Math.round(strip * ratio);
  context.fillStyle = palette.surface;
  context.fillRect(0, 0, width, high);
  const phases = layout.rows.find(({ lane }) => lane.group === "phases");
  const lane = phases && backdrop?.lanes.get(phases.lane.id);
  if (phases && backdrop && lane) {
    const part = { top: 0, height: high, width, left: 0, right: width };
    drawPart(context, { ...scene, view: limits }, { ...phases, small: true }, backdrop, lane, part);
  }
  const whole = (seconds: number): number => ((seconds - limits.from) / widthOf(limits)) * width;
  const [from, until] = [Math.round(whole(view.from)), Math.round(whole(view.until))];
  // What is not in view is covered, so that the view stands out whatever its colour.
  context.fillStyle = palette.background;
  context.globalAlpha = 0.65;
  context.fillRect(0, 0, from, high);
  context.fillRect(until, 0, width - until, high);
  context.globalAlpha = 1;
  context.strokeStyle = palette.accent;
  context.lineWidth = ratio;
  const thumb = Math.max(until - from, 4 * ratio);
  context.strokeRect(Math.min(from, width - thumb) + ratio / 2, ratio / 2, thumb - ratio, high - ratio);

  const axis = axisFor(view, size);
  const x = (seconds: number): number => Math.round(((seconds - view.from) / widthOf(view)) * width);
  context.fillStyle = palette.line;
  const minor = axis.step / axis.divisions;
  const first = Math.ceil(view.from / minor);
  for (let index = first; index * minor <= view.until && index - first < 2000; index++) {
    context.fillRect(x(index * minor), height - 4 * ratio, ratio, 4 * ratio);
  }
  context.font = `${FONT_PX * ratio}px ${FONT}`;
  context.textBaseline = "middle";
  context.textAlign = "left";
  const middle = (high + height) / 2;
  context.fillStyle = palette.faint;
  let free = 0;
  if (axis.base) {
    context.fillStyle = palette.ink;
    context.fillText(axis.base, 4 * ratio, middle);
    free = 4 * ratio + context.measureText(axis.base).width + 8 * ratio;
  }
  for (const { at, label } of axis.ticks) {
    const left = x(at);
    context.fillStyle = palette.faint;
    context.fillRect(left, high + 3 * ratio, ratio, height - high - 3 * ratio);
    const wide = context.measureText(label).width;
    if (left < free || left + wide + 4 * ratio > width) continue;
    context.fillText(label, left + 4 * ratio, middle);
    free = left + wide + 8 * ratio;
  }
  drawBand(context, marked, width, high, height);
}

/** Selection, marks and pointer, which cross axis and lanes alike. */
function drawBand(context: CanvasRenderingContext2D, marked: Marked, width: number, top: number, bottom: number): void {
  const { view, palette, selection, marks, pointer, size } = marked;
  const { ratio } = size;
  const x = (seconds: number): number => Math.round(((seconds - view.from) / widthOf(view)) * width);
  if (selection) {
    const [from, until] = [Math.max(x(selection.from), -2), Math.min(x(selection.until), width + 2)];
    context.fillStyle = palette.accent;
    context.globalAlpha = 0.16;
    context.fillRect(from, top, until - from, bottom - top);
    context.globalAlpha = 1;
    context.fillRect(from, top, ratio, bottom - top);
    context.fillRect(until - ratio, top, ratio, bottom - top);
  }
  context.fillStyle = palette.ink;
  for (const mark of marks) {
    context.fillRect(x(mark), top, Math.max(1, Math.round(ratio * 1.5)), bottom - top);
  }
  if (pointer !== null) {
    context.globalAlpha = 0.45;
    context.fillRect(x(pointer), top, ratio, bottom - top);
    context.globalAlpha = 1;
  }
}

export interface Outline {
  readonly row: Row;
  readonly from: number;
  readonly until: number;
  readonly strong: boolean;
}

export function drawOverlay(
  context: CanvasRenderingContext2D,
  marked: Marked,
  outlines: readonly Outline[],
  scroll: number,
): void {
  const { view, size, palette } = marked;
  const { ratio } = size;
  const [width, height] = [Math.round(size.width * ratio), Math.round(size.height * ratio)];
  context.clearRect(0, 0, width, height);
  drawBand(context, marked, width, 0, height);
  for (const { row, from, until, strong } of outlines) {
    const line = (strong ? 2 : 1) * ratio;
    const left = Math.max(((from - view.from) / widthOf(view)) * width, -line);
    const right = Math.min(((until - view.from) / widthOf(view)) * width, width + line);
    if (right < 0 || left > width) continue;
    const [top, high] = [(row.y - scroll) * ratio, row.height * ratio];
    context.strokeStyle = palette.background;
    context.lineWidth = line + 2 * ratio;
    context.strokeRect(left, top, Math.max(right - left, ratio), high);
    context.strokeStyle = palette.ink;
    context.lineWidth = line;
    context.strokeRect(left, top, Math.max(right - left, ratio), high);
  }
}
