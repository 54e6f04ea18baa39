// What the header and all pages share: the sources, what the watched one does now, the selected range, whether to follow.
import { keep, route } from "./router.svelte";
import type { Connection } from "./socket";
import type { NowMessage, Range, Session, Source } from "./types";

interface Shared {
  session: Session | null;
  /** Null until the server has told. */
  sources: Source[] | null;
  connection: Connection;
  /** Whether the connection was lost since it last stood. */
  dropped: boolean;
  /** What the watched live source does this instant. */
  now: NowMessage | null;
  /** Whether views of a live source move along with it. */
  follow: boolean;
}

export const shared = $state<Shared>({
  session: null,
  sources: null,
  connection: "connecting",
  dropped: false,
  now: null,
  follow: true,
});

// Numbers first: they stay equal when something else in the address changes, so that nobody is woken.
const from_s = $derived(Number.parseFloat(route.params.from ?? ""));
const until_s = $derived(Number.parseFloat(route.params.until ?? ""));
const selected = $derived<Range | null>(Number.isFinite(from_s) && until_s > from_s ? { from_s, until_s } : null);

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
