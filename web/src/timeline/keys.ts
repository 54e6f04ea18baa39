// Which key does what on the timeline.
export type Hold = "zoom-in" | "zoom-out" | "left" | "right";

export type Command =
  | "cursor-left"
  | "cursor-right"
  | "cursor-up"
  | "cursor-down"
  | "select-left"
  | "select-right"
  | "pin"
  | "begin"
  | "end"
  | "frame"
  | "mark"
  | "next"
  | "previous"
  | "search"
  | "out"
  | "step-in"
  | "step-out";

/** Those that go on as long as they are held. */
export const HOLDS: Readonly<Record<string, Hold>> = { w: "zoom-in", s: "zoom-out", a: "left", d: "right" };

const COMMANDS: Readonly<Record<string, Command>> = {
  arrowleft: "cursor-left",
  arrowright: "cursor-right",
  "shift arrowleft": "select-left",
  "shift arrowright": "select-right",
  arrowup: "cursor-up",
  arrowdown: "cursor-down",
  enter: "pin",
  home: "begin",
  end: "end",
  f: "frame",
  m: "mark",
  n: "next",
  p: "previous",
  "/": "search",
  escape: "out",
  "+": "step-in",
  "=": "step-in",
  "-": "step-out",
};

/** What a key does, if anything. Only arrows mean something else with Shift. */
export function commandOf(event: KeyboardEvent): Command | undefined {
  const key = event.key.toLowerCase();
  return (event.shiftKey ? COMMANDS[`shift ${key}`] : undefined) ?? COMMANDS[key];
}

/** What a page of all keys says of them. */
export const TIMELINE_KEYS: readonly (readonly [string, string])[] = [
  ["w s", "zoom in and out (also: wheel, + −, pinch)"],
  ["a d", "pan (also: Shift or the middle button and drag, one finger)"],
  ["← →", "go to the span beside"],
  ["↑ ↓", "go to the lane above or below"],
  ["Enter", "pin the span (also: click)"],
  ["drag", "select a range and see its statistics (also: Shift ← →)"],
  ["f", "frame the selection"],
  ["m", "set or take away a mark"],
  ["n p", "next and previous execution of the same node"],
  ["/", "search"],
  ["Home End", "go to the beginning, to the end"],
  ["Esc", "out one level: close, unselect, zoom back, show all"],
];
