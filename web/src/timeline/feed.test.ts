// When a tile is asked for, and which.
import { describe, expect, it } from "vitest";
import { Feed, type Need, type Wanted } from "./feed";
import { packTile } from "./made";
import type { View } from "./view";

const LIMITS: View = { from: 0, until: 1000 };

class Server {
  readonly asked: Wanted[] = [];
  readonly feed = new Feed((wanted) => this.asked.push(wanted));
  now = 0;

  need(view: View, more: Partial<Need> = {}): void {
    this.now += 16;
    this.feed.need({ view, limits: LIMITS, pixels: 1000, lanes: null, resting: false, now: this.now, ...more });
  }

  /** Answers the last question with shares, or with a span. */
  answer({ spans = false, flags = 0, latest }: { spans?: boolean; flags?: number; latest?: number } = {}): boolean {
    const { request, from, until, columns } = this.asked.at(-1) as Wanted;
    const lane = spans
      ? { id: 1, spans: [{ begin: 0, duration: 1 }] }
      : { id: 1, shares: new Array<number>(columns * 10).fill(0) };
    const tile = packTile({ request, from, until, latest: latest ?? until, columns, flags, lanes: [lane] });
    return this.feed.receive(tile, this.now) !== null;
  }
}

const VIEW: View = { from: 500, until: 510 };

describe("the feed", () => {
  it("asks for three screens around the view", () => {
    const server = new Server();
    server.need(VIEW);
    expect(server.asked).toMatchObject([{ from: 490, until: 520, columns: 3000, lanes: null }]);
  });

  it("asks for nothing outside of what there is", () => {
    const server = new Server();
    server.need({ from: 0, until: 10 });
    expect(server.asked[0]?.from).toBe(0);
    server.feed.forget();
    server.need(LIMITS);
    expect(server.asked[1]).toMatchObject({ from: 0, until: 1000, columns: 1000 });
  });

  it("asks one question at a time, and for what is needed then", () => {
    const server = new Server();
    server.need(VIEW);
    server.need({ from: 100, until: 110 });
    server.need({ from: 200, until: 210 });
    expect(server.asked).toHaveLength(1);
    server.answer();
    server.need({ from: 300, until: 310 });
    expect(server.asked[1]?.from).toBe(290);
  });

  it("does not wait for an answer that got lost", () => {
    const server = new Server();
    server.need(VIEW);
    server.now += 60_000;
    server.need(VIEW);
    expect(server.asked).toHaveLength(2);
    server.feed.forget();
    server.need(VIEW);
    expect(server.asked).toHaveLength(3);
  });

  it("is content with what shows the view, and asks before panning reaches its end", () => {
    const server = new Server();
    server.need(VIEW);
    server.answer();
    server.need(VIEW, { resting: true });
    server.need({ from: 505, until: 515 });
    expect(server.asked).toHaveLength(1);
    server.need({ from: 507, until: 517 });
    expect(server.asked).toHaveLength(2);
  });

  it("asks for finer columns when zoomed in, sooner when at rest", () => {
    const server = new Server();
    server.need(VIEW);
    server.answer();
    const closer = { from: 501, until: 509 };
    server.need(closer);
    expect(server.asked).toHaveLength(1);
    server.need(closer, { resting: true });
    expect(server.asked).toHaveLength(2);
  });

  it("needs no other tile to zoom into spans", () => {
    const server = new Server();
    server.need(VIEW);
    server.answer({ spans: true });
    server.need({ from: 504, until: 505 }, { resting: true });
    expect(server.asked).toHaveLength(1);
    server.need({ from: 504, until: 504.001 }, { resting: true });
    expect(server.asked).toHaveLength(2);
  });

  it("drops answers to what is no longer asked", () => {
    const server = new Server();
    server.need(VIEW);
    server.feed.forget();
    expect(server.answer()).toBe(false);
    expect(server.feed.tile).toBeNull();
  });

  it("asks for lanes that come into view", () => {
    const server = new Server();
    server.need(VIEW, { lanes: [1] });
    server.answer();
    server.need(VIEW, { lanes: [1, 2] });
    expect(server.asked[1]?.lanes).toEqual([1, 2]);
  });

  it("asks again for what still grows, but not all the time", () => {
    const server = new Server();
    server.need(VIEW);
    server.answer({ flags: 1, latest: 505 });
    server.need(VIEW);
    expect(server.asked).toHaveLength(1);
    server.now += 300;
    server.need(VIEW);
    expect(server.asked).toHaveLength(2);
  });

  it("does not ask forever when the answer is coarser than asked for", () => {
    const server = new Server();
    server.need(VIEW);
    const { request, from, until } = server.asked[0] as Wanted;
    const lane = { id: 1, shares: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0] };
    server.feed.receive(packTile({ request, from, until, columns: 1, lanes: [lane] }), server.now);
    server.need(VIEW, { resting: true });
    expect(server.asked).toHaveLength(1);
  });

  it.each([360, 1600, 3840, 7680])("asks for no more columns than a server gives, and once, at %s pixels", (pixels) => {
    const server = new Server();
    server.need(VIEW, { pixels });
    expect(server.asked[0]?.columns).toBeLessThanOrEqual(8192);
    server.answer();
    server.need(VIEW, { pixels, resting: true });
    expect(server.asked).toHaveLength(1);
  });
});
