"""The commands: each parses, calls one function that computes, hands the result to a face."""
