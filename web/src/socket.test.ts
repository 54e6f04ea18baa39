// The socket comes back by itself, and asks again for what was wanted.
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Connection, Socket } from "./socket";

class Wire {
  static readonly OPEN = 1;
  static all: Wire[] = [];
  readyState = 0;
  readonly sent: Record<string, unknown>[] = [];
  onopen: () => void = () => undefined;
  onclose: () => void = () => undefined;
  onmessage: (event: { data: unknown }) => void = () => undefined;

  constructor(readonly url: URL) {
    Wire.all.push(this);
  }

  accept(): void {
    this.readyState = Wire.OPEN;
    this.onopen();
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }

  drop(): void {
    this.readyState = 3;
    this.onclose();
  }

  close(): void {
    this.drop();
  }
}

const latest = (): Wire => Wire.all.at(-1) as Wire;
let socket: Socket;
let states: Connection[];

beforeEach(async () => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  vi.resetModules();
  Wire.all = [];
  vi.stubGlobal("WebSocket", Wire);
  const deaf = { addEventListener: () => undefined, removeEventListener: () => undefined };
  vi.stubGlobal("document", { baseURI: "https://host/some/path/", hidden: false, ...deaf });
  for (const [name, value] of Object.entries(deaf)) vi.stubGlobal(name, value);
  const module = await import("./socket");
  socket = new module.Socket();
  states = [];
  socket.connection.add((state) => states.push(state));
  socket.open();
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

const VIEW = { source: "a", request: 7, from_s: 0, until_s: 1, columns: 100, lanes: null, spans: false };

it("goes where the page came from, encrypted if that was", () => {
  expect(latest().url.href).toBe("wss://host/some/path/api/v1/socket");
});

it("asks again after the connection was lost", () => {
  socket.watch("pid-1");
  socket.view(VIEW);
  latest().accept();
  expect(latest().sent).toEqual([
    { type: "watch", source: "pid-1" },
    { type: "view", ...VIEW },
  ]);
  latest().drop();
  vi.advanceTimersByTime(250);
  expect(Wire.all).toHaveLength(2);
  latest().accept();
  expect(latest().sent).toHaveLength(2);
  expect(states).toEqual(["connecting", "open", "lost", "connecting", "open"]);
});

it("follows again instead of looking at an old view, until it is told not to", () => {
  latest().accept();
  socket.view(VIEW);
  socket.follow({ source: "a", request: 8, width_s: 5, columns: 100 });
  latest().drop();
  vi.advanceTimersByTime(250);
  latest().accept();
  expect(latest().sent.map(({ type }) => type)).toEqual(["watch", "follow"]);
  socket.unfollow();
  latest().drop();
  vi.advanceTimersByTime(250);
  latest().accept();
  expect(latest().sent.map(({ type }) => type)).toEqual(["watch"]);
});

it("tries ever more seldom, at least every ten seconds", () => {
  const waits = [250, 500, 1000, 2000, 4000, 8000, 8000];
  for (const [tries, wait] of waits.entries()) {
    latest().drop();
    vi.advanceTimersByTime(wait - 1);
    expect(Wire.all).toHaveLength(tries + 1);
    vi.advanceTimersByTime(1);
    expect(Wire.all).toHaveLength(tries + 2);
  }
});

it("stays away once it is closed", () => {
  latest().accept();
  socket.close();
  vi.advanceTimersByTime(60_000);
  expect(Wire.all).toHaveLength(1);
});

it("hands on what it is told, tiles as they are", () => {
  const tiles: ArrayBuffer[] = [];
  const errors: unknown[] = [];
  socket.tiles.add((tile) => tiles.push(tile));
  socket.errors.add((error) => errors.push(error));
  latest().accept();
  const tile = new ArrayBuffer(56);
  latest().onmessage({ data: tile });
  latest().onmessage({ data: '{"type": "error", "error": "no such source", "request": 7}' });
  expect(tiles).toEqual([tile]);
  expect(errors).toEqual([{ error: "no such source", request: 7 }]);
});
