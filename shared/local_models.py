"""What a user calls the networks that answer on a device."""

# The paper's own: the head, and the tail that goes with it.
BACKBONE = "backbone"
