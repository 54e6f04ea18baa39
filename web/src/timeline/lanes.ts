// Where each lane is drawn: from top to bottom, in groups that can be collapsed, filling the height that there is.
import type { Lane, LaneGroup } from "../types";

export interface Row {
  readonly lane: Lane;
  readonly y: number;
  readonly height: number;
  /** One of a collapsed group: too low for names. */
  readonly small: boolean;
}

/** The line above a group of several lanes. */
export interface Heading {
  readonly key: string;
  readonly name: string;
  readonly y: number;
  readonly height: number;
  readonly collapsed: boolean;
}

export interface Layout {
  readonly rows: readonly Row[];
  readonly headings: readonly Heading[];
  readonly height: number;
}

const HEIGHTS: Readonly<Record<LaneGroup, number>> = { phases: 16, graphs: 20, splits: 20, ops: 30, copies: 16 };
const TALLEST = 110;
const HEADING = 22;
const GAP = 3;
const COLLAPSED = 24;

/** Lanes of one process and kind, as the server put them one behind the other. */
function groupsOf(lanes: readonly Lane[]): Lane[][] {
  const groups: Lane[][] = [];
  for (const lane of lanes) {
    const last = groups.at(-1);
    if (last?.[0]?.pid === lane.pid && last[0].group === lane.group) last.push(lane);
    else groups.push([lane]);
  }
  return groups;
}

const keyOf = (lane: Lane): string => `${lane.pid}/${lane.group}`;

/** A lane's name; where several processes are shown it says of which. */
export function nameOf(lane: Lane, lanes: readonly Lane[]): string {
  return lanes.some(({ pid }) => pid !== lane.pid) ? `${lane.name} · ${lane.pid}` : lane.name;
}

/** Lays lanes out; those of workers fill this height, within reason. `scale` is how much larger than usual all is. */
export function layOut(lanes: readonly Lane[], collapsed: ReadonlySet<string>, available: number, scale = 1): Layout {
  const needed = place(lanes, collapsed, HEIGHTS.ops * scale, scale);
  const workers = needed.rows.filter(({ lane, small }) => lane.group === "ops" && !small).length;
  const spare = Math.floor((available - needed.height) / Math.max(workers, 1));
  if (spare <= 0 || workers === 0) return needed;
  return place(lanes, collapsed, Math.min(TALLEST, HEIGHTS.ops + spare / scale) * scale, scale);
}

function place(lanes: readonly Lane[], collapsed: ReadonlySet<string>, ops: number, scale: number): Layout {
  const rows: Row[] = [];
  const headings: Heading[] = [];
  let y = GAP;
  for (const group of groupsOf(lanes)) {
    const [first] = group;
    if (!first) continue;
    const closed = group.length > 1 && collapsed.has(keyOf(first));
    if (group.length > 1) {
      const name = nameOf({ ...first, name: first.group }, lanes);
      headings.push({
        key: keyOf(first),
        name: `${name} (${group.length})`,
        y,
        height: HEADING * scale,
        collapsed: closed,
      });
      if (!closed) y += HEADING * scale;
    }
    if (closed) {
      const height = Math.max(1, Math.floor((COLLAPSED * scale) / group.length));
      for (const lane of group) {
        rows.push({ lane, y, height: Math.max(1, height - 1), small: true });
        y += height;
      }
      y = Math.max(y, (headings.at(-1)?.y ?? 0) + HEADING * scale) + GAP;
      continue;
    }
    for (const lane of group) {
      const height = lane.group === "ops" ? ops : HEIGHTS[lane.group] * scale;
      rows.push({ lane, y, height, small: false });
      y += height + GAP;
    }
  }
  return { rows, headings, height: y };
}

/** The lane at this height, or the nearest where it is between two. */
export function rowAt(layout: Layout, y: number): Row | null {
  return layout.rows.find((row) => y >= row.y - GAP / 2 && y < row.y + row.height + GAP / 2) ?? null;
}
