"""How what is known of a tensor is said."""
