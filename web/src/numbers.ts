// How numbers are written for people, as the terminal writes them: three digits and the unit that fits.

/** Between a number and its unit, where no line may break. */
const GAP = "\u00a0";

export function significant(value: number): string {
  if (!value) return "0";
  const size = Math.abs(value);
  if (size < 0.995) return value.toFixed(3);
  if (size < 9.995) return value.toFixed(2);
  if (size < 99.95) return value.toFixed(1);
  return value.toFixed(0);
}

function scaled(value: number, units: readonly (readonly [number, string])[]): string {
  const size = Math.abs(value);
  const last = units[units.length - 1] as readonly [number, string];
  const [scale, unit] = units.find(([scale]) => size < scale * 999.5) ?? last;
  return `${significant(value / scale)}${GAP}${unit}`;
}

/** `412 µs`, `5.41 ms`, `2.05 s`. */
export function duration(seconds: number): string {
  if (!seconds) return `0${GAP}s`;
  return scaled(seconds, [
    [1e-9, "ns"],
    [1e-6, "µs"],
    [1e-3, "ms"],
    [1, "s"],
  ]);
}

/** Bytes in powers of ten: `98.1 MB`. */
export function bytes(count: number): string {
  if (Math.abs(count) < 999.5) return `${count.toFixed(0)}${GAP}B`;
  return scaled(count, [
    [1e3, "kB"],
    [1e6, "MB"],
    [1e9, "GB"],
    [1e12, "TB"],
  ]);
}

/** All digits up to 99999, then three: `412 k`. */
export function count(number: number): string {
  if (number < 100_000) return String(number);
  return scaled(number, [
    [1e3, "k"],
    [1e6, "M"],
    [1e9, "G"],
  ]);
}

/** A share of one: `81 %`, `0.4 %`, `<0.1 %`. */
export function percent(share: number): string {
  if (share && Math.abs(share) < 0.00995) {
    return Math.abs(share) >= 0.0005 ? `${(share * 100).toFixed(1)}${GAP}%` : `<0.1${GAP}%`;
  }
  return `${(share * 100).toFixed(0)}${GAP}%`;
}

/** Tokens per second: `183.4`, `7.25`. */
export function rate(tokensPerSecond: number): string {
  return tokensPerSecond >= 10 ? tokensPerSecond.toFixed(1) : tokensPerSecond.toFixed(2);
}

/** `1 graph`, `2 graphs`. */
export function plural(number: number, noun: string, nouns = `${noun}s`): string {
  return `${count(number)}${GAP}${number === 1 ? noun : nouns}`;
}
