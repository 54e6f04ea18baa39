// Rows of one shape for ops, roles, layers and threads, so that one list and one table can show any of them.
import { kindOf } from "../kinds";
import type { OpRow, PartRow, Phase, Report, ThreadRow } from "../types";

export type Grouping = "op" | "role" | "layer";

export interface Part {
  key: string;
  name: string;
  /** A CSS colour. */
  colour: string;
  seconds: number;
  share: number;
  /** Of the threads' time in it, the part spent waiting. */
  wait: number;
  work_s: number;
  wait_s: number;
  count: number;
  p50_us: number | null;
  p99_us: number | null;
  flops: number | null;
  bytes: number | null;
  gflops: number | null;
  gbps: number | null;
  floor_share: number | null;
  imbalance: number | null;
}

const ratio = (part: number, whole: number): number => (whole > 0 ? part / whole : 0);

function ofOp(row: OpRow, report: Report): Part {
  return {
    ...row,
    key: row.op,
    name: row.op,
    colour: `var(--kind-${kindOf(row.op)})`,
    wait: ratio(row.wait_s, row.work_s + row.wait_s),
    imbalance: report.thread_use.ops.find(({ op }) => op === row.op)?.imbalance ?? null,
  };
}

/** Of a role or a layer; a mixture of kinds has no kind's colour. */
function ofPart(row: PartRow, key: string, name: string): Part {
  return {
    ...row,
    key,
    name,
    colour: "var(--plain)",
    wait: ratio(row.wait_s, row.work_s + row.wait_s),
    p50_us: null,
    p99_us: null,
    imbalance: null,
  };
}

/** The rows of a grouping, most time first; ops are those of all phases together. */
export function partsOf(report: Report, grouping: Grouping, phase: Phase): Part[] {
  if (grouping === "op") return report.ops.map((row) => ofOp(row, report));
  const rows =
    grouping === "role"
      ? report.roles
          .filter((row) => row.phase === phase)
          .map((row) => ofPart(row, row.role, row.role || "not known by name"))
      : report.layers
          .filter((row) => row.phase === phase)
          .map((row) => ofPart(row, row.layer, row.layer === "" ? "outside layers" : `layer ${row.layer}`));
  return rows.sort((a, b) => b.seconds - a.seconds);
}

/** The phases that have roles and layers; the one that took the longest is the one to begin with. */
export function phasesOf(report: Report): { all: Phase[]; longest: Phase } {
  const longest = report.phases.toSorted((a, b) => b.seconds - a.seconds)[0]?.phase ?? "other";
  return { all: report.phases.map(({ phase }) => phase), longest };
}

export function ofThread(row: ThreadRow): number {
  return ratio(row.wait_s, row.work_s + row.wait_s);
}
