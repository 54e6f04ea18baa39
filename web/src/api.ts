// The server's HTTP interface, typed. What answers over the socket is in socket.ts.
import type {
  Arena,
  ControlAction,
  Detail,
  ExportFormat,
  GraphLayers,
  GraphRow,
  LayerDrawing,
  Match,
  MemoryOverTime,
  Occurrence,
  Range,
  Report,
  Series,
  Session,
  Source,
  SpanDetails,
  SqlResult,
  TableInfo,
  TimelineInfo,
} from "./types";
import type { Diff } from "./diff";

const ROOT = new URL("api/v1/", document.baseURI);

/** The address of something the server has, below /api/v1/. */
export function address(path: string, query: Record<string, string | number | undefined | null> = {}): URL {
  const url = new URL(path, ROOT);
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== null) url.searchParams.set(key, String(value));
  }
  return url;
}

/** What the server answered instead, or that it did not (status 0). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly hint: string | null = null,
  ) {
    super(message);
  }
}

type Unauthorized = () => void;
let unauthorized: Unauthorized = () => undefined;

/** Calls `listener` whenever the server wants a token. */
export function onUnauthorized(listener: Unauthorized): void {
  unauthorized = listener;
}

async function fetchFrom(url: URL, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { credentials: "same-origin", ...init });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "The server does not answer.", "Is ggml-viz still running where this page came from?");
  }
  if (response.ok) return response;
  if (response.status === 401 && !url.pathname.endsWith("/session")) unauthorized();
  const told: unknown = await response.json().catch(() => null);
  const { error, hint } = (told ?? {}) as { error?: unknown; hint?: unknown };
  throw new ApiError(
    response.status,
    typeof error === "string" ? error : `The server answered ${response.status}.`,
    typeof hint === "string" ? hint : null,
  );
}

async function get<T>(
  path: string,
  query: Record<string, string | number | undefined | null> = {},
  signal?: AbortSignal,
): Promise<T> {
  const response = await fetchFrom(address(path, query), signal ? { signal } : {});
  return (await response.json()) as T;
}

async function post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  const response = await fetchFrom(address(path), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    ...(signal ? { signal } : {}),
  });
  return (await response.json()) as T;
}

const of = (source: string, rest: string): string => `sources/${encodeURIComponent(source)}/${rest}`;

export const api = {
  session: () => get<Session>("session"),
  login: (token: string) => post<Session>("session", { token }),
  sources: async () => (await get<{ sources: Source[] }>("sources")).sources,
  report: (source: string, range: Range | null = null, signal?: AbortSignal) =>
    get<Report>(of(source, "report"), { ...range }, signal),
  series: (source: string, columns: number, range: Range | null = null, signal?: AbortSignal) =>
    get<Series>(of(source, "series"), { columns, ...range }, signal),
  timeline: (source: string) => get<TimelineInfo>(of(source, "timeline")),
  tile: async (source: string, range: Range, columns: number, signal?: AbortSignal) => {
    const response = await fetchFrom(address(of(source, "tile"), { ...range, columns }), signal ? { signal } : {});
    return response.arrayBuffer();
  },
  span: (source: string, lane: number, run: number, node: number, begin_s: number, signal?: AbortSignal) =>
    get<SpanDetails>(of(source, "span"), { lane, run, node, begin_s }, signal),
  search: (source: string, q: string, limit = 50, signal?: AbortSignal) =>
    get<{ matches: Match[]; total: number }>(of(source, "search"), { q, limit }, signal),
  occurrence: (
    source: string,
    where: { process: number; graph: number; node: number; after_s?: number; before_s?: number },
  ) => get<Occurrence>(of(source, "occurrence"), where),
  graphs: async (source: string) => (await get<{ graphs: GraphRow[] }>(of(source, "graphs"))).graphs,
  graph: (source: string, process: number, graph: number) => get<GraphLayers>(of(source, `graphs/${process}/${graph}`)),
  layer: (source: string, process: number, graph: number, layer: number | "outside") =>
    get<LayerDrawing>(of(source, `graphs/${process}/${graph}/layers/${layer}`)),
  memory: (source: string) => get<MemoryOverTime>(of(source, "memory")),
  arena: (source: string, where: { process: number; graph: number; placement: number; buffer: number }) =>
    get<Arena>(of(source, "arena"), where),
  tables: async (source: string) => (await get<{ tables: TableInfo[] }>(of(source, "tables"))).tables,
  sql: (source: string, query: string, signal?: AbortSignal) => post<SqlResult>(of(source, "sql"), { query }, signal),
  compare: (before: string, after: string, signal?: AbortSignal) => get<Diff>("compare", { before, after }, signal),
  control: (source: string, action: ControlAction, level?: Detail) =>
    post<Source>(of(source, "control"), level ? { action, level } : { action }),
  /** For a link that downloads. */
  exportAddress: (source: string, format: ExportFormat, range: Range | null = null): string =>
    address(of(source, "export"), { format, ...range }).href,
};

export type Api = typeof api;
