"""Ops, roles and layers in numbers: rows, how each figure is known, and the roofline."""
