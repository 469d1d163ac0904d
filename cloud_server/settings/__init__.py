"""Groups of settings that ``CloudConfig`` is made of."""
