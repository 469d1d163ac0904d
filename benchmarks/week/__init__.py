"""A device that is left alone for a week, with everything that goes wrong meanwhile."""
