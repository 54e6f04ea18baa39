"""What a trace means in ggml's terms: runs of graphs, their nodes, phases, spans of time, memory."""
