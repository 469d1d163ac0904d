"""The parts of the model card: what is measured, and how it is said."""
