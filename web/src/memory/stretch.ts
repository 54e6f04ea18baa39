// Where the offsets of a buffer go on the page: true to scale, or with what no tensor ever takes drawn together, and
// with room to see the small.
import type { ArenaTensor } from "../types";

export interface Stretch {
  /** In bytes. */
  begin: number;
  end: number;
  /** Shares of the page's width. */
  from: number;
  until: number;
  /** Whether any tensor lies in it. */
  used: boolean;
}

/** How much of the width a gap takes that is drawn together, and a stretch between two gaps at least. */
const GAP = 0.008;
const NARROWEST = 0.03;

/** The stretches of a buffer that tensors take, and the gaps between them. */
export function stretches(tensors: readonly ArenaTensor[], closed: boolean): Stretch[] {
  const ranges = tensors
    .filter(({ bytes }) => bytes > 0)
    .map(({ offset, bytes }) => ({ begin: offset, end: offset + bytes }))
    .sort((a, b) => a.begin - b.begin);
  const parts: { begin: number; end: number; used: boolean }[] = [];
  let at = 0;
  for (const { begin, end } of ranges) {
    const last = parts.at(-1);
    if (begin > at) parts.push({ begin: at, end: begin, used: false });
    if (last?.used && begin <= last.end) last.end = Math.max(last.end, end);
    else parts.push({ begin: Math.max(begin, at), end, used: true });
    at = Math.max(at, end);
  }
  const shares = closed ? closedShares(parts) : parts.map(({ begin, end }) => (end - begin) / (at || 1));
  let from = 0;
  return parts.map((part, i) => {
    const until = from + (shares[i] ?? 0);
    const stretch = { ...part, from, until };
    from = until;
    return stretch;
  });
}

function closedShares(parts: readonly { begin: number; end: number; used: boolean }[]): number[] {
  const used = parts.filter((part) => part.used);
  const gaps = parts.length - used.length;
  const gap = Math.min(GAP, 0.3 / Math.max(gaps, 1));
  const narrowest = Math.min(NARROWEST, 0.5 / Math.max(used.length, 1));
  const whole = used.reduce((sum, { begin, end }) => sum + end - begin, 0) || 1;
  const free = 1 - gaps * gap - used.length * narrowest;
  return parts.map((part) => (part.used ? narrowest + ((part.end - part.begin) / whole) * free : gap));
}

/** What share of a buffer's used length is taken by any tensor at all. */
export function usedShare(parts: readonly Stretch[]): number {
  const used = parts.reduce((sum, { begin, end, used }) => sum + (used ? end - begin : 0), 0);
  return used / (parts.at(-1)?.end || 1);
}

/** Where an offset goes, as a share of the width. */
export function placeOf(parts: readonly Stretch[], offset: number): number {
  let [low, high] = [0, parts.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((parts[middle] as Stretch).end >= offset) high = middle;
    else low = middle + 1;
  }
  const part = parts[low];
  if (!part) return 0;
  const share = (offset - part.begin) / (part.end - part.begin || 1);
  return part.from + Math.min(Math.max(share, 0), 1) * (part.until - part.from);
}
