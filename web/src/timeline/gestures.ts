// What mouse, pen and fingers do on the lanes: select, pan, zoom, point, click.
export interface Handlers {
  /** In CSS pixels of the element; null: it has left. */
  point(place: Place | null): void;
  click(place: Place): void;
  /** A range from one x to another; `done` when the button is let go. */
  select(from: number, until: number, done: boolean): void;
  /** By so many pixels to the right and down. */
  pan(x: number, y: number): void;
  /** A factor over 1 shows more; what is at x stays there. */
  zoom(factor: number, x: number): void;
  zoomTo(place: Place): void;
  /** Whether one finger selects instead of panning. */
  selecting(): boolean;
}

export interface Place {
  readonly x: number;
  readonly y: number;
}

type Doing = "press" | "pan" | "select" | "pinch";

/** What moves less than this was meant as a click. */
const CLICK_PX = 4;
const LINE_PX = 16;
const PAGE_PX = 400;
const WHEEL_SPEED = 0.0016;
/** Pinching on a touchpad comes as a wheel with Ctrl, in small steps. */
const PINCH_SPEED = 0.01;

/** Listens on an element; what is returned ends it. */
export function listen(element: HTMLElement, handlers: Handlers): () => void {
  const down = new Map<number, Place>();
  let doing: Doing | null = null;
  let start: Place = { x: 0, y: 0 };

  const placeOf = (event: MouseEvent): Place => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };

  const pressed = (event: PointerEvent): void => {
    if (event.pointerType === "mouse" && event.button > 1) return;
    const place = placeOf(event);
    element.setPointerCapture(event.pointerId);
    down.set(event.pointerId, place);
    if (down.size === 2) {
      doing = "pinch";
      return;
    }
    start = place;
    doing = event.button === 1 || event.shiftKey ? "pan" : "press";
    // Without its default the middle button does not start to scroll the page.
    if (event.button === 1) event.preventDefault();
  };

  const moved = (event: PointerEvent): void => {
    const place = placeOf(event);
    const before = down.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== "touch") handlers.point(place);
      return;
    }
    if (doing === "pinch") {
      pinch(event.pointerId, before, place);
      down.set(event.pointerId, place);
      return;
    }
    if (doing === "press" && Math.hypot(place.x - start.x, place.y - start.y) >= CLICK_PX) {
      doing = event.pointerType === "touch" && !handlers.selecting() ? "pan" : "select";
    }
    if (doing === "pan") handlers.pan(place.x - before.x, place.y - before.y);
    else if (doing === "select") handlers.select(start.x, place.x, false);
    down.set(event.pointerId, place);
    if (event.pointerType !== "touch") handlers.point(place);
  };

  const pinch = (id: number, before: Place, after: Place): void => {
    const other = [...down].find(([each]) => each !== id)?.[1];
    if (!other) return;
    const distance = (place: Place): number => Math.max(Math.hypot(place.x - other.x, place.y - other.y), 10);
    handlers.pan((after.x - before.x) / 2, (after.y - before.y) / 2);
    handlers.zoom(distance(before) / distance(after), (after.x + other.x) / 2);
  };

  const released = (event: PointerEvent): void => {
    if (!down.delete(event.pointerId)) return;
    const place = placeOf(event);
    if (doing === "press" && event.type === "pointerup") handlers.click(place);
    else if (doing === "select") handlers.select(start.x, place.x, true);
    // The finger that is left after a pinch goes on panning.
    doing = down.size ? "pan" : null;
  };

  const left = (): void => handlers.point(null);

  const wheeled = (event: WheelEvent): void => {
    if (event.altKey) return;
    event.preventDefault();
    const unit = [1, LINE_PX, PAGE_PX][event.deltaMode] ?? 1;
    const [x, y] = [event.deltaX * unit, event.deltaY * unit];
    if (event.shiftKey || Math.abs(x) > Math.abs(y)) handlers.pan(-(Math.abs(x) > Math.abs(y) ? x : y), 0);
    else handlers.zoom(Math.exp(y * (event.ctrlKey ? PINCH_SPEED : WHEEL_SPEED)), placeOf(event).x);
  };

  const twice = (event: MouseEvent): void => handlers.zoomTo(placeOf(event));

  const listeners: [string, (event: never) => void][] = [
    ["pointerdown", pressed],
    ["pointermove", moved],
    ["pointerup", released],
    ["pointercancel", released],
    ["pointerleave", left],
    ["wheel", wheeled],
    ["dblclick", twice],
  ];
  for (const [type, listener] of listeners)
    element.addEventListener(type, listener as EventListener, { passive: false });
  return () => {
    for (const [type, listener] of listeners) element.removeEventListener(type, listener as EventListener);
  };
}
