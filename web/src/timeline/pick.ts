// What of a tile is at a place, and what is beside it: for the pointer, for the keyboard, and for those who listen.
import { duration, percent } from "../numbers";
import type { Lane, LaneGroup, TimelineInfo } from "../types";
import { moment } from "./axis";
import { reaching, type Spans, type Tile } from "./tile";
import { widthOf, type View } from "./view";

type Labels = TimelineInfo["labels"];

/** A span, in seconds. */
export interface Span {
  readonly lane: Lane;
  readonly from: number;
  readonly until: number;
  readonly wait: number;
  readonly run: number;
  readonly node: number;
  readonly label: number;
}

/** A column of shares, in seconds. */
export interface Column {
  readonly lane: Lane;
  readonly from: number;
  readonly until: number;
  /** Per kind: work and wait, 0 to 1. */
  readonly shares: readonly (readonly [number, number])[];
}

/** What is at a place of a lane: a span, or a column of shares, or nothing. */
export interface Cursor {
  readonly lane: Lane;
  readonly span: Span | null;
  readonly column: Column | null;
}

/** The span that is drawn at a moment; of those that are less than `tolerance` seconds away, the nearest. */
export function spanAt(tile: Tile, lane: Lane, seconds: number, tolerance: number): Span | null {
  const spans = tile.lanes.get(lane.id);
  if (spans?.mode !== "spans") return null;
  const at = (seconds - tile.from) / widthOf(tile);
  let best = -1;
  let nearest = tolerance / widthOf(tile);
  const [first, last] = reaching(spans, at - nearest, at + nearest);
  for (let index = first; index < last; index++) {
    const begin = spans.begin[index] as number;
    const end = begin + (spans.duration[index] as number);
    const distance = at < begin ? begin - at : at >= end ? at - end : 0;
    if (distance < nearest || (distance === 0 && best < 0)) [best, nearest] = [index, distance];
    // What lies inside of another is the more special of the two.
    else if (distance === 0 && nearest === 0 && shorter(spans, index, best)) best = index;
  }
  return best < 0 ? null : spanOf(tile, spans, lane, best);
}

function shorter(spans: Spans, one: number, other: number): boolean {
  return (spans.duration[one] as number) < (spans.duration[other] as number);
}

function spanOf(tile: Tile, spans: Spans, lane: Lane, index: number): Span {
  const width = widthOf(tile);
  const from = tile.from + (spans.begin[index] as number) * width;
  return {
    lane,
    from,
    until: from + (spans.duration[index] as number) * width,
    wait: (spans.wait[index] as number) * width,
    run: spans.run[index] as number,
    node: spans.node[index] as number,
    label: spans.label[index] as number,
  };
}

/** The first span of a lane that begins after another (or the last before it), as far as the tile reaches. */
export function beside(tile: Tile, span: Span, forward: boolean): Span | null {
  const spans = tile.lanes.get(span.lane.id);
  if (spans?.mode !== "spans") return null;
  const width = widthOf(tile);
  const here = (span.from - tile.from) / width;
  // Times of another tile are rounded otherwise.
  const slack = Math.max((span.until - span.from) / width / 1000, 1e-7);
  let best = -1;
  for (let index = 0; index < spans.count; index++) {
    const begin = spans.begin[index] as number;
    if (forward ? begin <= here + slack : begin >= here - slack) continue;
    const nearer =
      best < 0 || (forward ? begin < (spans.begin[best] as number) : begin > (spans.begin[best] as number));
    if (nearer) best = index;
  }
  return best < 0 ? null : spanOf(tile, spans, span.lane, best);
}

/** The shares of a lane over about a width around a moment. */
export function columnAt(tile: Tile, lane: Lane, seconds: number, width: number): Column | null {
  const shares = tile.lanes.get(lane.id);
  if (shares?.mode !== "shares" || !tile.columns) return null;
  const column = widthOf(tile) / tile.columns;
  const first = Math.floor((seconds - width / 2 - tile.from) / column);
  const begin = Math.min(Math.max(first, 0), tile.columns - 1);
  const end = Math.min(Math.max(begin + 1, Math.round(begin + width / column)), tile.columns);
  const sums: [number, number][] = Array.from({ length: tile.kinds }, () => [0, 0]);
  for (let at = begin; at < end; at++) {
    for (const [kind, sum] of sums.entries()) {
      const place = (at * tile.kinds + kind) * 2;
      sum[0] += (shares.shares[place] ?? 0) / 255;
      sum[1] += (shares.shares[place + 1] ?? 0) / 255;
    }
  }
  return {
    lane,
    from: tile.from + begin * column,
    until: tile.from + end * column,
    shares: sums.map(([work, wait]) => [work / (end - begin), wait / (end - begin)] as const),
  };
}

/** What the parts of a lane's columns are called. */
export function partNames(group: LaneGroup, kinds: readonly string[]): readonly string[] {
  return group === "phases" || group === "graphs" ? ["prefill", "decode", "mixed", "other"] : kinds;
}

export function tellSpan(span: Span, labels: Labels, view: View): string {
  const { lane, from, until, wait } = span;
  const length = until - from;
  const waited = wait > 0 && length > 0 ? `, ${percent(wait / length)} of it waiting` : "";
  return `${labels[span.label]?.text ?? "?"}, ${lane.name}, at ${moment(from, view)}, ${duration(length)}${waited}`;
}

export function tellColumn(column: Column, kinds: readonly string[], view: View): string {
  const names = partNames(column.lane.group, kinds);
  const parts = column.shares
    .map(([work, wait], kind) => ({ name: names[kind] ?? "other", work, wait }))
    .filter(({ work, wait }) => work + wait >= 0.005)
    .sort((a, b) => b.work + b.wait - a.work - a.wait)
    .map(({ name, work, wait }) => `${name} ${percent(work)}${wait >= 0.005 ? ` and waiting ${percent(wait)}` : ""}`);
  const when = `${moment(column.from, view)} to ${moment(column.until, view)}`;
  return `${column.lane.name}, ${when}: ${parts.join(", ") || "nothing"}`;
}
