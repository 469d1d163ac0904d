"""Time from frame to answer over links of all kinds, measured and simulated."""
