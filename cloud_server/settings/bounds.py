"""Bounds that several settings share."""

# More is a slip of the keyboard: no machine has it, and gRPC counts in 32 bits.
MANY = 1_000_000
