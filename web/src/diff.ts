// The shape of `ggml-viz diff --json` (docs/diff.md).
export type Diff = Record<string, unknown>;
