// What a page asks the server for: asked for again when something else is wanted, and now and then while it changes.

/** How often what moves is asked for again. */
const AGAIN_MS = 3000;

export interface Loaded<T> {
  /** The last that was told; stays until something else is. */
  readonly value: T | null;
  readonly failure: unknown;
}

/**
 * Loads something for as long as the component is there.
 *
 * @param ask - Asks for it; what it reads is what it depends on. Null: nothing is wanted.
 * @param moves - Whether it changes by itself.
 */
export function loaded<T>(ask: () => Promise<T> | null, moves: () => boolean): Loaded<T> {
  let value = $state.raw<T | null>(null);
  let failure = $state.raw<unknown>(null);
  $effect(() => {
    let stale = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const again = moves();
    const take = (asked: Promise<T>): void => {
      asked
        .then(
          (told) => {
            if (stale) return;
            value = told;
            failure = null;
          },
          (error: unknown) => {
            if (stale) return;
            value = null;
            failure = error;
          },
        )
        .finally(() => {
          if (again && !stale) timer = setTimeout(next, AGAIN_MS);
        });
    };
    const next = (): void => {
      const asked = document.hidden ? null : ask();
      if (asked) take(asked);
      else timer = setTimeout(next, AGAIN_MS);
    };
    const asked = ask();
    if (asked) take(asked);
    else value = null;
    return () => {
      stale = true;
      clearTimeout(timer);
    };
  });
  return {
    get value() {
      return value;
    },
    get failure() {
      return failure;
    },
  };
}
