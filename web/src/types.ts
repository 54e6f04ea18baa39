// What the server says, as docs/http-api.md describes it. Times `_s` are seconds since the source's beginning.

export type Phase = "prefill" | "decode" | "mixed" | "other";
export type Detail = "thread" | "op" | "graph";
export type SourceState = "loading" | "ready" | "running" | "paused" | "idle" | "ended" | "failed";

/** A trace file or a live process. */
export interface Source {
  id: string;
  kind: "trace" | "live";
  name: string;
  command: string;
  pid: number | null;
  ggml_version: string;
  backends: string[];
  threads: number;
  state: SourceState;
  /** How far it is loaded, 0 to 1. */
  progress: number;
  started: string;
  duration_s: number;
  phase: Phase | null;
  tokens_per_second: number | null;
  records: number;
  lost: number;
  detail: Detail | null;
  recording: { path: string; bytes: number } | null;
  error: string | null;
}

export interface Session {
  authenticated: boolean;
  token_needed: boolean;
  version: string;
}

export interface Range {
  from_s: number;
  until_s: number;
}

// ---- /report ----

/** Operations and bytes of some work, where they are known. */
export interface Achieved {
  flops: number | null;
  bytes: number | null;
  gflops: number | null;
  gbps: number | null;
  /** The shortest time that the machine could do it in, over the time it took. */
  floor_share: number | null;
}

export interface OpRow extends Achieved {
  op: string;
  count: number;
  seconds: number;
  work_s: number;
  wait_s: number;
  share: number;
  p50_us: number;
  p99_us: number;
}

export interface PartRow extends Achieved {
  phase: Phase;
  count: number;
  seconds: number;
  share: number;
  work_s: number;
  wait_s: number;
  floor_s: number | null;
}

export type LayerRow = PartRow & { layer: string };
export type RoleRow = PartRow & { role: string };

export interface PhaseRow {
  phase: Phase;
  runs: number;
  tokens: number;
  seconds: number;
  tokens_per_second: number | null;
}

export interface ThreadRow {
  worker: number;
  work_s: number;
  wait_s: number;
  busy: number;
}

export interface BackendRow {
  backend: string;
  runs: number;
  splits: number;
  seconds: number;
  timed: "computation" | "call";
}

export interface CopyRow {
  count: number;
  bytes: number;
  seconds: number;
  from: string;
  to: string;
}

export interface BufferRow {
  backend: string;
  usage: string;
  bytes: number;
}

export interface Finding {
  rule: string;
  severity: string;
  phase: string;
  sentence: string;
  evidence: string;
  advice: string;
  cost_s: number;
  cost_share: number;
  cost_tokens_per_second: number | null;
  at_most: boolean;
}

export interface ProcessRow {
  pid: number;
  command: string;
  ggml_version: string;
  method: string;
  detail: Detail;
  distorting: boolean;
  filters: string[];
  not_seen: string[];
  end: string;
  threads: number;
}

export interface Peak {
  threads: number;
  triad_bytes_per_s: number;
  read_bytes_per_s: number;
  flops_per_s: number;
  int8_ops_per_s: number;
}

export interface Roofline {
  machine: { identity: string; cpu: string; cpus: number; peaks: Peak[] } | null;
  modelled_share: number;
  floor_share: number | null;
  decode: {
    threads: number;
    bandwidth_gbps: number;
    weight_bytes: number;
    kv_bytes: number;
    tokens_per_second: number;
    reached: number;
  } | null;
}

export interface ThreadUse {
  ops: { op: string; work_s: number; inner_s: number; wait_s: number; imbalance: number | null }[];
  phases: {
    phase: Phase;
    threads: number;
    cpus: number;
    seconds: number;
    work_s: number;
    wait_s: number;
    enough: number | null;
  }[];
}

export interface MemoryReport {
  peak_bytes: number;
  buffers: BufferRow[];
  kv: { positions: number; read_bytes: number; bytes_per_token: number } | null;
}

export interface Report {
  schema: number;
  trace: {
    path: string;
    format: number;
    started: string;
    duration_s: number;
    records: number;
    lost: number;
    skipped: number;
    let_go: number;
    damage: string | null;
    processes: ProcessRow[];
  };
  overhead: { ns_per_record: number; share: number };
  graphs: { runs: number; definitions: number; nodes: number };
  graph_time: { seconds: number; p50_us: number; p99_us: number };
  phases: PhaseRow[];
  ops: OpRow[];
  untimed_ops: { op: string; count: number }[];
  threads: ThreadRow[];
  backends: BackendRow[];
  copies: CopyRow[];
  memory: MemoryReport;
  layers: LayerRow[];
  roles: RoleRow[];
  roofline: Roofline;
  thread_use: ThreadUse;
  findings: Finding[];
}

// ---- over time ----

export interface Series {
  from_s: number;
  until_s: number;
  columns: number;
  phases: { phase: Phase; tokens_per_second: number[] }[];
  busy: number[] | null;
}

export interface ThreadNow {
  worker: number;
  state: "work" | "wait" | "idle";
  op: string;
  node: string;
  since_s: number;
}

export interface Now {
  at_s: number;
  phase: Phase | null;
  threads: ThreadNow[];
  runs: { run: number; phase: Phase; graph: number; since_s: number }[];
}

/** A `Now` that the socket pushed. */
export interface NowMessage extends Now {
  source: string;
  tokens_per_second: number | null;
  duration_s: number;
}

// ---- timeline ----

export type LaneGroup = "phases" | "graphs" | "splits" | "ops" | "copies";

export interface Lane {
  id: number;
  group: LaneGroup;
  name: string;
  pid: number;
  worker: number | null;
}

export interface TimelineInfo {
  duration_s: number;
  whole_from_s: number;
  kinds: string[];
  lanes: Lane[];
  labels: { text: string; kind: number }[];
}

export interface SpanDetails {
  title: string;
  op: string;
  kind: number;
  role: string;
  layer: number | null;
  tensor: string;
  shape: string;
  types: string;
  sources: { name: string; shape: string; type: string; op: string }[];
  phase: Phase;
  run: number;
  graph: number;
  node: number;
  process: number;
  begin_s: number;
  wall_s: number;
  work_s: number;
  wait_s: number;
  workers: { worker: number; begin_s: number; work_s: number; inner_s: number; wait_s: number }[];
  flops: number | null;
  bytes: number | null;
  gbps: number | null;
  gflops: number | null;
  floor_s: number | null;
  backend: string | null;
  typical: { count: number; median_s: number } | null;
}

export interface Match {
  process: number;
  graph: number;
  node: number;
  name: string;
  op: string;
  role: string;
  layer: number | null;
  phase: Phase;
  count: number;
  seconds: number;
}

export interface Occurrence {
  run: number;
  begin_s: number;
  end_s: number;
}

// ---- graphs and memory ----

export interface GraphRow {
  process: number;
  graph: number;
  phase: Phase;
  tokens: number;
  nodes: number;
  runs: number;
  seconds: number;
}

export interface GraphLayers {
  process: number;
  graph: number;
  phase: Phase;
  tokens: number;
  runs: number;
  layers: {
    layer: number | null;
    name: string;
    nodes: number;
    seconds: number;
    share: number;
    bytes: number | null;
    roles: { role: string; seconds: number }[];
  }[];
}

export type GraphLayer = GraphLayers["layers"][number];

/** A node of a layer, or what it reads from outside; a tensor that several nodes read stands above each. */
export interface LayerNode {
  id: string;
  /** Null: it is not computed in this graph. */
  node: number | null;
  tensor: number;
  name: string;
  op: string;
  kind: number;
  role: string;
  shape: string;
  type: string;
  outside: boolean;
  /** Of all executions. */
  seconds: number | null;
  executions: number;
  /** That one execution moves; of what is not computed, that it takes. */
  bytes: number | null;
  /** That computed it when the graph was last run. */
  backend: string | null;
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface LayerDrawing {
  width: number;
  height: number;
  nodes: LayerNode[];
  edges: { from: string; to: string; points: [number, number][] }[];
  /** How many nodes more the layer has. */
  left_out: number;
}

export interface MemoryOverTime {
  peak_bytes: number;
  changes: { at_s: number; backend: string; usage: string; bytes: number; total_bytes: number }[];
  arenas: {
    process: number;
    graph: number;
    placement: number;
    buffer: number;
    backend: string;
    phase: Phase;
    tokens: number;
    bytes: number;
  }[];
}

export interface Arena {
  bytes: number;
  nodes: number;
  tensors: {
    name: string;
    op: string;
    kind: number;
    offset: number;
    bytes: number;
    born: number;
    dies: number;
    /** Null: it is not computed in this graph. */
    node: number | null;
    /** Which of these lay there before. */
    reuses: number | null;
  }[];
}

export type ArenaTensor = Arena["tensors"][number];

// ---- tables ----

export type Cell = string | number | boolean | null;

export interface TableInfo {
  name: string;
  rows: number;
  columns: { name: string; type: string; unit: string; meaning: string }[];
}

export interface SqlResult {
  columns: string[];
  types: string[];
  rows: Cell[][];
  truncated: boolean;
  seconds: number;
}

export type ControlAction = "pause" | "resume" | "stop" | "detail" | "record" | "stop-recording";
export type ExportFormat = "chrome" | "perfetto" | "speedscope" | "csv" | "ggmlviz";

// ---- socket ----

export interface ViewRequest extends Range {
  source: string;
  request: number;
  columns: number;
  lanes: number[] | null;
  spans: boolean;
}

export interface FollowRequest {
  source: string;
  request: number;
  width_s: number;
  columns: number;
}

export type ServerMessage =
  | { type: "sources"; sources: Source[] }
  | ({ type: "now" } & NowMessage)
  | { type: "error"; error: string; request: number | null };
