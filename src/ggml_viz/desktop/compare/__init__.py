"""How a comparison is said."""
