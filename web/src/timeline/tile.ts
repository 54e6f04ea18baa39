// Reads a tile: what a window of time shows of each lane, as the server packs it (docs/http-api.md). Nothing is copied.
const MAGIC = 0x31545647;
const HEADER_BYTES = 56;
const LANE_BYTES = 16;
const LIVE = 1;
const LET_GO = 2;

/** How much of each column's time each kind of work took. */
export interface Shares {
  readonly mode: "shares";
  /** Per column, per kind: work, wait; 255 is all of the column's time. */
  readonly shares: Uint8Array;
}

/** Each span by itself. Times are in widths of the tile, from its beginning; they may reach outside. */
export interface Spans {
  readonly mode: "spans";
  readonly count: number;
  readonly begin: Float32Array;
  readonly duration: Float32Array;
  /** How much of its end was waiting. */
  readonly wait: Float32Array;
  readonly run: Uint32Array;
  /** Of lanes of graphs the graph's number, of splits the backend's, of copies their bytes. */
  readonly node: Uint32Array;
  /** Index into the timeline's labels. */
  readonly label: Uint32Array;
}

export interface Tile {
  readonly request: number;
  readonly from: number;
  readonly until: number;
  /** How far is recorded. */
  readonly latest: number;
  readonly columns: number;
  readonly kinds: number;
  readonly live: boolean;
  /** The detail of (part of) this window is no longer kept. */
  readonly letGo: boolean;
  readonly lanes: ReadonlyMap<number, Shares | Spans>;
}

export class TileError extends Error {}

/** Throws a TileError where the bytes are no tile. */
export function decodeTile(buffer: ArrayBuffer): Tile {
  if (buffer.byteLength < HEADER_BYTES) throw new TileError("The tile is too short.");
  const view = new DataView(buffer);
  if (view.getUint32(0, true) !== MAGIC) throw new TileError("This is no tile.");
  const columns = view.getUint32(32, true);
  const count = view.getUint32(36, true);
  const kinds = view.getUint32(40, true);
  const flags = view.getUint32(44, true);
  const lanes = new Map<number, Shares | Spans>();
  if (HEADER_BYTES + count * LANE_BYTES > buffer.byteLength) throw new TileError("The tile's lanes are cut off.");
  for (let at = HEADER_BYTES; at < HEADER_BYTES + count * LANE_BYTES; at += LANE_BYTES) {
    const mode = view.getUint32(at + 4, true);
    const length = view.getUint32(at + 8, true);
    const offset = view.getUint32(at + 12, true);
    lanes.set(
      view.getUint32(at, true),
      mode === 0 ? sharesAt(buffer, offset, length * kinds * 2) : spansAt(buffer, offset, length),
    );
  }
  return {
    request: view.getUint32(4, true),
    from: view.getFloat64(8, true),
    until: view.getFloat64(16, true),
    latest: view.getFloat64(24, true),
    columns,
    kinds,
    live: (flags & LIVE) !== 0,
    letGo: (flags & LET_GO) !== 0,
    lanes,
  };
}

function sharesAt(buffer: ArrayBuffer, offset: number, bytes: number): Shares {
  check(buffer, offset, bytes);
  return { mode: "shares", shares: new Uint8Array(buffer, offset, bytes) };
}

function spansAt(buffer: ArrayBuffer, offset: number, count: number): Spans {
  const bytes = 4 * count;
  check(buffer, offset, 6 * bytes);
  return {
    mode: "spans",
    count,
    begin: new Float32Array(buffer, offset, count),
    duration: new Float32Array(buffer, offset + bytes, count),
    wait: new Float32Array(buffer, offset + 2 * bytes, count),
    run: new Uint32Array(buffer, offset + 3 * bytes, count),
    node: new Uint32Array(buffer, offset + 4 * bytes, count),
    label: new Uint32Array(buffer, offset + 5 * bytes, count),
  };
}

function check(buffer: ArrayBuffer, offset: number, bytes: number): void {
  if (offset % 4 !== 0 || offset + bytes > buffer.byteLength) throw new TileError("A lane of the tile is cut off.");
}

interface Order {
  readonly sorted: boolean;
  readonly longest: number;
}

const orders = new WeakMap<Spans, Order>();

function orderOf(spans: Spans): Order {
  let order = orders.get(spans);
  if (!order) {
    let sorted = true;
    let longest = 0;
    for (let index = 0; index < spans.count; index++) {
      if (index && (spans.begin[index] as number) < (spans.begin[index - 1] as number)) sorted = false;
      longest = Math.max(longest, spans.duration[index] as number);
    }
    orders.set(spans, (order = { sorted, longest }));
  }
  return order;
}

/** From which index to which (excluded) all spans lie that reach into a part of the tile; some others may be among them. */
export function reaching(spans: Spans, from: number, until: number): [number, number] {
  const { sorted, longest } = orderOf(spans);
  if (!sorted) return [0, spans.count];
  return [firstFrom(spans.begin, from - longest), firstFrom(spans.begin, until)];
}

/** The index of the first value that is at least this. */
function firstFrom(values: Float32Array, least: number): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((values[middle] as number) < least) low = middle + 1;
    else high = middle;
  }
  return low;
}
