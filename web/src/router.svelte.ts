// Where the user is: `#/SOURCE/PAGE?PARAMETERS` in the address, so that every view can be linked to.

export const PAGES = ["overview", "timeline", "graph", "memory", "threads", "ops", "compare", "sql"] as const;
export type PageName = (typeof PAGES)[number];

export const PAGE_TITLES: Readonly<Record<PageName, string>> = {
  overview: "Overview",
  timeline: "Timeline",
  graph: "Graph",
  memory: "Memory",
  threads: "Threads",
  ops: "Ops",
  compare: "Compare",
  sql: "SQL",
};

interface Route {
  /** Null: the list of sources. */
  source: string | null;
  page: PageName;
  /** What the page keeps in the address. */
  params: Record<string, string>;
}

function parse(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [source = "", page = ""] = path.split("/").map(decode);
  return {
    source: source || null,
    page: PAGES.find((name) => name === page) ?? "overview",
    params: Object.fromEntries(new URLSearchParams(query)),
  };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}

function format({ source, page, params }: Route): string {
  if (source === null) return "#/";
  const query = new URLSearchParams(params).toString();
  return `#/${encodeURIComponent(source)}/${page}${query ? `?${query}` : ""}`;
}

/** The token that came in the address (`#token=…`), which it is taken out of: addresses are copied and kept. */
export function takeToken(): string | null {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token === null) return null;
  history.replaceState(null, "", "#/");
  show(parse("#/"));
  return token;
}

const current = $state<Route>(parse(location.hash));

/** A view that moves would write its address at every step, which browsers forbid. */
const WRITE_MS = 300;
let writing: ReturnType<typeof setTimeout> | undefined;

function show(route: Route): void {
  clearTimeout(writing);
  writing = undefined;
  current.source = route.source;
  current.page = route.page;
  current.params = route.params;
}

addEventListener("hashchange", () => show(parse(location.hash)));

/** The route; reactive, to be read only. */
export const route: Readonly<Route> = current;

/** An address within the page, for links: parameters are those given, and the selected range, which goes along. */
export function linkTo(
  source: string | null,
  page: PageName = "overview",
  params: Record<string, string> = {},
): string {
  const kept: Record<string, string> = {};
  if (source !== null && source === current.source) {
    for (const key of ["from", "until"]) if (current.params[key] !== undefined) kept[key] = current.params[key];
  }
  return format({ source, page, params: { ...kept, ...params } });
}

export function goTo(
  source: string | null,
  page: PageName = "overview",
  params: Record<string, string> = {},
  { replace = false } = {},
): void {
  const hash = linkTo(source, page, params);
  history[replace ? "replaceState" : "pushState"](null, "", hash);
  show(parse(hash));
}

/** Keeps values in the address without a step in the history; null takes one out. */
export function keep(values: Record<string, string | null>): void {
  const params = { ...current.params };
  for (const [key, value] of Object.entries(values)) {
    if (value === null) delete params[key];
    else params[key] = value;
  }
  current.params = params;
  writing ??= setTimeout(() => {
    writing = undefined;
    history.replaceState(null, "", format(current));
  }, WRITE_MS);
}
