"""The graph's picture: where its boxes are on the screen, their colours, and how they are drawn."""
