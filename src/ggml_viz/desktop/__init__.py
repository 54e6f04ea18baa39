"""The desktop application: the views of a trace or a running process in panels that dock, drawn by Dear ImGui.

Needs the extra `desktop`; only the command that opens it imports it. It computes nothing: panels ask a source in
threads and draw what it answered.
"""

INSTEAD = "Without a screen: ggml-viz serve (in a browser) or ggml-viz top (in a terminal)."
