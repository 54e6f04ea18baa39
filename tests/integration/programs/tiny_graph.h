/* What tiny.c finds in the plugin that tiny_graph.c makes. */
#ifndef TINY_GRAPH_H
#define TINY_GRAPH_H

enum { TINY_NODES = 32 };

/* Computes a graph of TINY_NODES nodes `runs` times on `threads` threads. Returns 0 if each result was right. */
typedef int tiny_compute(int threads, int runs);

#endif
