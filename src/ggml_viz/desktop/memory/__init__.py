"""Memory: buffers over time, and how a graph's tensors share one."""
