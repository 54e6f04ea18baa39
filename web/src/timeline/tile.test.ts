// A tile's bytes, as the server packs them, and what is read from them.
import { describe, expect, it } from "vitest";
import { decodeTile, TileError } from "./tile";
import { packTile } from "./made";

describe("decodeTile", () => {
  const packed = packTile({
    request: 7,
    from: 1.5,
    until: 2.5,
    latest: 9,
    columns: 2,
    kinds: 5,
    flags: 3,
    lanes: [
      { id: 3, shares: [255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 155, 0, 0, 0, 0, 0, 0] },
      { id: 8, spans: [{ begin: 0.25, duration: 0.5, wait: 0.125, run: 4, node: 77, label: 2 }] },
      { id: 9, spans: [] },
    ],
  });

  it("reads the header", () => {
    expect(decodeTile(packed)).toMatchObject({
      request: 7,
      from: 1.5,
      until: 2.5,
      latest: 9,
      columns: 2,
      kinds: 5,
      live: true,
      letGo: true,
    });
  });

  it("reads shares by column, kind, and work and wait", () => {
    const lane = decodeTile(packed).lanes.get(3);
    expect(lane?.mode).toBe("shares");
    if (lane?.mode !== "shares") return;
    expect(lane.shares.length).toBe(20);
    expect([lane.shares[0], lane.shares[12], lane.shares[13]]).toEqual([255, 100, 155]);
  });

  it("reads spans", () => {
    const lane = decodeTile(packed).lanes.get(8);
    if (lane?.mode !== "spans") throw new Error("no spans");
    expect(lane.count).toBe(1);
    expect([...lane.begin, ...lane.duration, ...lane.wait]).toEqual([0.25, 0.5, 0.125]);
    expect([...lane.run, ...lane.node, ...lane.label]).toEqual([4, 77, 2]);
  });

  it("copies nothing", () => {
    for (const lane of decodeTile(packed).lanes.values()) {
      expect((lane.mode === "shares" ? lane.shares : lane.begin).buffer).toBe(packed);
    }
  });

  it.each([
    ["nothing", new ArrayBuffer(0)],
    ["another file", new ArrayBuffer(100)],
    ["a cut header", packed.slice(0, 60)],
    ["a cut lane", packed.slice(0, packed.byteLength - 8)],
  ])("refuses %s", (_, bytes) => {
    expect(() => decodeTile(bytes)).toThrow(TileError);
  });
});
