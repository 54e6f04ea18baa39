"""The web server: traces and live processes over HTTP and WebSocket, for the dashboard and for programs.

Needs the extra `web`; only the commands that serve import it.
"""
