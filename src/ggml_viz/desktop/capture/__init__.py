"""Parts of capturing from the desktop: programs that it starts, processes that it attaches to, and their dialogs."""
