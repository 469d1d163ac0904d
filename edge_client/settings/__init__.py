"""Groups of settings that ``EdgeConfig`` is made of, and what may change while a run goes on."""
