// Draws lanes, axis and what lies over them, in device pixels. Holds no state but what it made of a tile's shares.
import { KINDS, PHASES, WAIT_STRENGTH, type Palette } from "../palette";
import type { LaneGroup, TimelineInfo } from "../types";
import { axisOf, type Axis } from "./axis";
import type { Layout, Row } from "./lanes";
import { reaching, type Shares, type Spans, type Tile } from "./tile";
import { Raster, type Rgb } from "./raster";
import { widthOf, type View } from "./view";

export interface Size {
  /** In CSS pixels. */
  readonly width: number;
  readonly height: number;
  /** Device pixels in one of CSS. */
  readonly ratio: number;
  /** How much larger than usual type is, and all that goes by it. */
  readonly scale: number;
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
const HATCH_STRENGTH = 0.62;
/** So far beyond the canvas spans are drawn, so that their ends do not show at its edges. */
const EDGE_PX = 4;
/** The picture of shares is so many pixels high at most, and stretched. */
const PICTURE_PX = 64;

/** By kind, or by phase. */
interface Colours {
  readonly work: readonly Rgb[];
  readonly wait: readonly Rgb[];
  readonly hatch: readonly Rgb[];
  readonly faint: readonly Rgb[];
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

function shades(colours: readonly string[], palette: Palette): Colours {
  const work = colours.map(rgb);
  const ground = rgb(palette.surface);
  return {
    work,
    wait: work.map((colour) => mixed(colour, ground, WAIT_STRENGTH)),
    hatch: work.map((colour) => mixed(colour, ground, HATCH_STRENGTH)),
    faint: work.map((colour) => mixed(colour, ground, FAINT)),
    text: work.map((colour) => (luminance(colour) > 0.2 ? "#000000" : "#ffffff")),
  };
}

const rgb = (colour: string): Rgb => [
  parseInt(colour.slice(1, 3), 16),
  parseInt(colour.slice(3, 5), 16),
  parseInt(colour.slice(5, 7), 16),
];

const css = ([red, green, blue]: Rgb): string => `rgb(${red} ${green} ${blue})`;

/** So much of one colour on another. */
function mixed(colour: Rgb, ground: Rgb, strength: number): Rgb {
  const mix = (at: 0 | 1 | 2): number => Math.round(colour[at] * strength + ground[at] * (1 - strength));
  return [mix(0), mix(1), mix(2)];
}

/** WCAG's relative luminance. */
function luminance(colour: Rgb): number {
  const [red, green, blue] = colour.map((value) => {
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

const isFiltered = (group: LaneGroup): boolean => group === "ops" || group === "copies";
const inPhases = (group: LaneGroup): boolean => group === "phases" || group === "graphs";

/** By label, which kind it is, and which phase: runs and their phases are called by that first. */
const coloured = remembered((labels: TimelineInfo["labels"]) => ({
  kinds: Uint8Array.from(labels, ({ kind }) => kind),
  phases: Uint8Array.from(labels, ({ text }) => {
    const phase = PHASES.findIndex((name) => text.startsWith(name));
    return phase < 0 ? PHASES.length - 1 : phase;
  }),
}));

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

const pictures = new WeakMap<Shares, { canvas: HTMLCanvasElement; key: string }>();

function drawShares(
  context: CanvasRenderingContext2D,
  scene: Scene,
  row: Row,
  tile: Tile,
  lane: Shares,
  { top, height, width }: Part,
): void {
  const { view, size } = scene;
  const picture = pictureOf(scene, row, tile, lane, Math.min(height, PICTURE_PX * size.ratio));
  const column = widthOf(tile) / tile.columns;
  const first = Math.max(0, Math.floor((view.from - tile.from) / column));
  const last = Math.min(tile.columns, Math.ceil((view.until - tile.from) / column));
  if (last <= first) return;
  const x = (at: number): number => ((tile.from + at * column - view.from) / widthOf(view)) * width;
  // Columns narrower than pixels are averaged, wider ones stay sharp.
  context.imageSmoothingEnabled = (last - first) * 1.2 > x(last) - x(first);
  context.drawImage(picture, first, 0, last - first, picture.height, x(first), top, x(last) - x(first), height);
}

/** The shares as a picture: a stack for each column, work at the bottom, waiting above it, nothing above that. */
function pictureOf(scene: Scene, row: Row, tile: Tile, lane: Shares, height: number): HTMLCanvasElement {
  const { palette, filter } = scene;
  const key = `${height} ${palette.surface} ${filter.kinds.map(Number).join("")}`;
  const made = pictures.get(lane);
  if (made?.key === key) return made.canvas;
  const filtered = isFiltered(row.lane.group);
  const colours = coloursOf(palette)[inPhases(row.lane.group) ? "phases" : "kinds"];
  const [work, wait, faint] = [colours.work.map(word), colours.wait.map(word), colours.faint.map(word)];
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
        const wanted = !filtered || filter.kinds[kind] !== false;
        const colour = (!wanted ? faint : part ? wait : work)[kind] ?? 0;
        for (; filled < end; filled++) pixels[(height - 1 - filled) * tile.columns + at] = colour;
      }
    }
  }
  context.putImageData(image, 0, 0);
  pictures.set(lane, { canvas, key });
  return canvas;
}

/** A colour as it lies in an image's memory. */
function word([red, green, blue]: Rgb): number {
  return (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
}

// ---- spans ----

const raster = new Raster();

/** What is wide enough for lines or for a name: from where, where its waiting begins, until where. */
interface Wide {
  readonly from: number;
  readonly edge: number;
  readonly until: number;
  readonly label: number;
  readonly kind: number;
}

function drawSpans(
  context: CanvasRenderingContext2D,
  scene: Scene,
  row: Row,
  tile: Tile,
  spans: Spans,
  { top, height, width, left, right }: Part,
): void {
  const { view, labels, filter, size } = scene;
  const filtered = isFiltered(row.lane.group);
  const colours = coloursOf(scene.palette)[inPhases(row.lane.group) ? "phases" : "kinds"];
  const shown = coloured(labels)[inPhases(row.lane.group) ? "phases" : "kinds"];
  const other = colours.work.length - 1;
  const scale = (widthOf(tile) / widthOf(view)) * width;
  const shift = ((tile.from - view.from) / widthOf(view)) * width;
  const gap = height > 6 * size.ratio ? 1 : 0;
  const wide: Wide[] = [];
  const [first, last] = reaching(spans, (left - shift) / scale, (right - shift) / scale);
  raster.begin(width);
  for (let index = first; index < last; index++) {
    const begin = shift + (spans.begin[index] as number) * scale;
    if (begin >= right) continue;
    const end = begin + (spans.duration[index] as number) * scale;
    if (end <= left) continue;
    const label = spans.label[index] as number;
    const kind = Math.min(shown[label] ?? other, other);
    const [from, until] = snapped(Math.max(begin, -EDGE_PX), Math.min(end, width + EDGE_PX), gap);
    if (filtered && (filter.kinds[kind] === false || filter.labels?.[label] === false)) {
      raster.cover(from, until, colours.faint[kind] as Rgb);
      continue;
    }
    const wait = (spans.wait[index] as number) * scale;
    const edge = wait > 0 ? Math.min(Math.max(from, end - wait), until) : until;
    if (edge > from) raster.cover(from, edge, colours.work[kind] as Rgb);
    if (until > edge) raster.cover(edge, until, colours.wait[kind] as Rgb);
    if (until - from >= HATCHED_PX * size.ratio) wide.push({ from, edge, until, label, kind });
  }
  raster.paint(context, top, height);
  if (row.small) return;
  drawHatches(context, scene, wide, colours, top, height, shift);
  drawNames(context, scene, wide, colours, top, height);
}

/** Wide ones end on pixels, with a gap between neighbours; narrow ones are as faint as they are narrow. */
function snapped(begin: number, end: number, gap: number): [number, number] {
  if (end - begin < 1) return [begin, Math.max(end, begin + 0.25)];
  const from = Math.round(begin);
  const until = Math.max(from + 1, Math.round(end));
  return [from, until - from > 4 ? until - gap : until];
}

const patterns = new Map<string, CanvasPattern | null>();

/** Diagonal lines over waits that are wide enough to show them. They move along with what they lie on. */
function drawHatches(
  context: CanvasRenderingContext2D,
  { size, palette }: Scene,
  wide: readonly Wide[],
  colours: Colours,
  top: number,
  height: number,
  shift: number,
): void {
  const { ratio } = size;
  const period = Math.round(6 * ratio);
  for (const { edge, until, kind } of wide) {
    if (until - edge < HATCHED_PX * ratio) continue;
    const colour = css(colours.hatch[kind] as Rgb);
    const key = `${colour} ${palette.surface} ${period}`;
    let pattern = patterns.get(key);
    if (pattern === undefined) patterns.set(key, (pattern = hatching(context, colour, period)));
    if (!pattern) continue;
    pattern.setTransform(new DOMMatrix([1, 0, 0, 1, shift % period, top]));
    context.fillStyle = pattern;
    context.fillRect(edge, top, until - edge, height);
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
  wide: readonly Wide[],
  colours: Colours,
  top: number,
  height: number,
): void {
  const ratio = size.ratio * size.scale;
  if (height < (FONT_PX + 1) * ratio) return;
  context.font = `${FONT_PX * ratio}px ${FONT}`;
  context.textBaseline = "middle";
  context.textAlign = "left";
  const padding = 4 * ratio;
  const middle = top + height / 2 + ratio * 0.5;
  for (const { from, edge, until, label, kind } of wide) {
    if (until - from < NAMED_PX * ratio) continue;
    const begin = Math.max(from, 0);
    const inWork = edge - begin >= until - edge;
    const left = inWork ? begin : Math.max(edge, 0);
    const room = (inWork ? edge : until) - left - 2 * padding;
    const text = fitting(context, labels[label]?.text ?? "", room);
    if (!text) continue;
    context.fillStyle = inWork ? (colours.text[kind] as string) : palette.ink;
    context.fillText(text, left + padding, middle);
  }
}

const widths = new Map<string, number>();

function widthOfText(context: CanvasRenderingContext2D, text: string): number {
  const key = `${context.font}${text}`;
  let width = widths.get(key);
  if (width === undefined) {
    if (widths.size > 20_000) widths.clear();
    widths.set(key, (width = context.measureText(text).width));
  }
  return width;
}

/** As much of a text as there is room for; nothing rather than a letter or two. */
function fitting(context: CanvasRenderingContext2D, text: string, room: number): string {
  const width = widthOfText(context, text);
  if (width <= room) return text;
  // Letters differ in width: the first guess may be too long.
  for (let letters = Math.floor((text.length * room) / width); letters >= 3; letters--) {
    const cut = `${text.slice(0, letters)}…`;
    if (widthOfText(context, cut) <= room) return cut;
  }
  return "";
}

// ---- axis and what lies over the lanes ----

const LABEL_PX = 90;

export function axisFor(view: View, size: Size): Axis {
  return axisOf(view, size.width / (LABEL_PX * size.scale));
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
  const ratio = size.ratio * size.scale;
  const [width, height] = [Math.round(size.width * size.ratio), Math.round(size.height * size.ratio)];
  context.fillStyle = palette.background;
  context.fillRect(0, 0, width, height);
  const high = Math.round(strip * size.ratio);
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
  context.fillStyle = palette.ink;
  for (const mark of marked.marks) {
    const flag = x(mark);
    context.beginPath();
    context.moveTo(flag, high + 1);
    context.lineTo(flag + 9 * ratio, high + 5 * ratio);
    context.lineTo(flag, high + 9 * ratio);
    context.fill();
  }
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
