// What kind of work an op is, told from its name; the same words as in model/kinds.py, in the same order.
import type { Kind } from "./palette";

const WORDS: readonly (readonly [Kind, readonly string[]])[] = [
  ["attention", ["FLASH_ATTN", "SOFT_MAX", "ROPE", "DIAG_MASK", "SSM", "RWKV", "GATED_LINEAR", "DELTA_NET"]],
  ["matrix", ["MUL_MAT", "OUT_PROD", "CONV", "IM2COL"]],
  ["movement", ["CPY", "CONT", "DUP", "GET_ROWS", "SET", "CONCAT", "REPEAT", "PAD", "ROLL", "ACC"]],
  ["elements", ["NORM", "MUL", "ADD", "SUB", "DIV", "SCALE", "SQR", "SQRT", "CLAMP", "LU", "SIGMOID", "TANH", "EXP"]],
];

/** The kind of an op or of a fused group. */
export function kindOf(op: string): Kind {
  return WORDS.find(([, words]) => words.some((word) => op.includes(word)))?.[0] ?? "other";
}
