// Tiles made up by tests, packed as the server packs them.
interface MadeSpan {
  begin: number;
  duration: number;
  wait?: number;
  run?: number;
  node?: number;
  label?: number;
}

type MadeLane = { id: number; shares: number[] } | { id: number; spans: MadeSpan[] };

export interface MadeTile {
  request?: number;
  from: number;
  until: number;
  latest?: number;
  columns?: number;
  kinds?: number;
  flags?: number;
  lanes?: MadeLane[];
}

const FIELDS = ["begin", "duration", "wait", "run", "node", "label"] as const;

export function packTile(made: MadeTile): ArrayBuffer {
  const { request = 1, from, until, latest = until, columns = 100, kinds = 5, flags = 0, lanes = [] } = made;
  const sizes = lanes.map((lane) => ("shares" in lane ? lane.shares.length : lane.spans.length * 24));
  const offsets: number[] = [];
  let end = 56 + lanes.length * 16;
  for (const size of sizes) {
    end = Math.ceil(end / 8) * 8;
    offsets.push(end);
    end += size;
  }
  const buffer = new ArrayBuffer(end);
  const view = new DataView(buffer);
  view.setUint32(0, 0x31545647, true);
  view.setUint32(4, request, true);
  [from, until, latest].forEach((value, index) => view.setFloat64(8 + index * 8, value, true));
  [columns, lanes.length, kinds, flags].forEach((value, index) => view.setUint32(32 + index * 4, value, true));
  lanes.forEach((lane, index) => {
    const offset = offsets[index] ?? 0;
    const count = "shares" in lane ? columns : lane.spans.length;
    const described = [lane.id, "shares" in lane ? 0 : 1, count, offset];
    described.forEach((value, word) => view.setUint32(56 + index * 16 + word * 4, value, true));
    if ("shares" in lane) {
      new Uint8Array(buffer, offset).set(lane.shares);
      return;
    }
    FIELDS.forEach((field, which) => {
      lane.spans.forEach((span, at) => {
        const place = offset + (which * lane.spans.length + at) * 4;
        if (which < 3) view.setFloat32(place, span[field] ?? 0, true);
        else view.setUint32(place, span[field] ?? 0, true);
      });
    });
  });
  return buffer;
}
