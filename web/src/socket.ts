// The socket: sources and the present instant as they change, and tiles. It reconnects by itself and asks again.
import { address } from "./api";
import type { FollowRequest, NowMessage, ServerMessage, Source, ViewRequest } from "./types";

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 8000;

export type Connection = "connecting" | "open" | "lost";

type Listener<T> = (value: T) => void;

/** Those who want to be told of something. */
class Listeners<T> {
  #all = new Set<Listener<T>>();

  /** Adds one; what is returned takes it away again. */
  add(listener: Listener<T>): () => void {
    this.#all.add(listener);
    return () => this.#all.delete(listener);
  }

  tell(value: T): void {
    for (const listener of this.#all) listener(value);
  }
}

export class Socket {
  readonly connection = new Listeners<Connection>();
  readonly sources = new Listeners<Source[]>();
  readonly now = new Listeners<NowMessage>();
  /** Whole tiles, header included. */
  readonly tiles = new Listeners<ArrayBuffer>();
  readonly errors = new Listeners<{ error: string; request: number | null }>();

  #socket: WebSocket | null = null;
  #wait = FIRST_WAIT_MS;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = true;
  // What to ask for again after reconnecting.
  #watched: string | null = null;
  #view: ViewRequest | null = null;
  #follow: FollowRequest | null = null;

  open(): void {
    if (!this.#closed) return;
    this.#closed = false;
    this.#connect();
    addEventListener("online", this.#retryNow);
    document.addEventListener("visibilitychange", this.#retryNow);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    removeEventListener("online", this.#retryNow);
    document.removeEventListener("visibilitychange", this.#retryNow);
    this.#socket?.close();
    this.#socket = null;
  }

  /** Wants to know what this live source does now. */
  watch(source: string | null): void {
    this.#watched = source;
    this.#send({ type: "watch", source });
  }

  /** Asks for one tile; a newer view replaces one that is not yet answered. */
  view(request: ViewRequest): void {
    this.#view = request;
    this.#send({ type: "view", ...request });
  }

  /** Asks for a tile of the last seconds, again and again; each is to be answered with `drawn`. */
  follow(request: FollowRequest): void {
    this.#follow = request;
    this.#view = null;
    this.#send({ type: "follow", ...request });
  }

  drawn(request: number): void {
    this.#send({ type: "drawn", request });
  }

  unfollow(): void {
    if (!this.#follow) return;
    this.#follow = null;
    this.#send({ type: "unfollow" });
  }

  #connect(): void {
    const url = address("socket");
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    this.connection.tell("connecting");
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    socket.onopen = () => {
      this.#wait = FIRST_WAIT_MS;
      this.connection.tell("open");
      this.#send({ type: "watch", source: this.#watched });
      if (this.#follow) this.#send({ type: "follow", ...this.#follow });
      else if (this.#view) this.#send({ type: "view", ...this.#view });
    };
    socket.onmessage = ({ data }: MessageEvent<ArrayBuffer | string>) => {
      if (data instanceof ArrayBuffer) this.tiles.tell(data);
      else this.#told(JSON.parse(data) as ServerMessage);
    };
    socket.onclose = () => {
      if (this.#socket !== socket || this.#closed) return;
      this.#socket = null;
      this.connection.tell("lost");
      // Not all viewers at once when a server comes back.
      this.#timer = setTimeout(() => this.#connect(), this.#wait * (0.75 + Math.random() / 2));
      this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_MS);
    };
  }

  #retryNow = (): void => {
    if (this.#socket || this.#closed || document.hidden) return;
    clearTimeout(this.#timer);
    this.#wait = FIRST_WAIT_MS;
    this.#connect();
  };

  #told(message: ServerMessage): void {
    if (message.type === "sources") this.sources.tell(message.sources);
    else if (message.type === "now") this.now.tell(message);
    else if (message.type === "error") this.errors.tell({ error: message.error, request: message.request });
  }

  #send(message: object): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }
}

/** The page's one socket. */
export const socket = new Socket();
