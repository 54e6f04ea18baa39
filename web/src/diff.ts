// The shape of `ggml-viz diff --json` (docs/diff.md). `a` is before, `b` after; times are for each token or graph.
import type { Phase } from "./types";

export type Verdict = "slower" | "faster" | "new" | "gone" | "same";

export interface Side {
  files: string[];
  commands: string[];
  ggml_versions: string[];
  threads: number[];
}

export interface Outside {
  part: string;
  a_s: number;
  b_s: number;
  change_s: number;
  share: number;
}

export interface PhaseChange {
  phase: Phase;
  verdict: Verdict;
  per: "token" | "graph";
  a_per_second: number | null;
  b_per_second: number | null;
  a_s: number | null;
  b_s: number | null;
  change_s: number | null;
  ratio: number | null;
  ratio_low: number | null;
  ratio_high: number | null;
  p: number | null;
  p_corrected: number | null;
  outside: Outside[];
}

export interface NodeChange {
  phase: Phase;
  op: string | null;
  role: string | null;
  layer: number | null;
  shape: string | null;
  verdict: Verdict;
  a_executions: number;
  b_executions: number;
  a_median_s: number | null;
  b_median_s: number | null;
  a_s: number;
  b_s: number;
  change_s: number;
  share: number;
  least_share: number;
  ratio: number | null;
  ratio_low: number | null;
  ratio_high: number | null;
  p: number | null;
  p_corrected: number | null;
  shapes_differ: boolean;
  details: NodeChange[];
}

export interface Diff {
  schema: number;
  a: Side;
  b: Side;
  unit: "file" | "execution";
  can_tell: boolean;
  notes: string[];
  phases: PhaseChange[];
  findings: NodeChange[];
  operations: NodeChange[];
  ops: NodeChange[];
  roles: NodeChange[];
}
