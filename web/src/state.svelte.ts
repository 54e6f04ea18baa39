// What the header and all pages share: the sources, what the watched one does now, the selected range, whether to follow.
import { keep, route } from "./router.svelte";
import type { Connection } from "./socket";
import type { NowMessage, Range, Session, Source } from "./types";

interface Shared {
  session: Session | null;
  /** Null until the server has told. */
  sources: Source[] | null;
  connection: Connection;
  /** What the watched live source does this instant. */
  now: NowMessage | null;
  /** Whether views of a live source move along with it. */
  follow: boolean;
}

export const shared = $state<Shared>({
  session: null,
  sources: null,
  connection: "connecting",
  now: null,
  follow: true,
});

const selected = $derived.by((): Range | null => {
  const from_s = Number.parseFloat(route.params.from ?? "");
  const until_s = Number.parseFloat(route.params.until ?? "");
  return Number.isFinite(from_s) && until_s > from_s ? { from_s, until_s } : null;
});

/** The selected range; it stands in the address. Reactive. */
export const selection = {
  get range(): Range | null {
    return selected;
  },
  set range(range: Range | null) {
    keep({ from: range && digits(range.from_s), until: range && digits(range.until_s) });
  },
};

/** Microseconds are enough, in an address that people send each other. */
function digits(seconds: number): string {
  return String(Number(seconds.toFixed(6)));
}
