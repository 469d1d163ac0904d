"""The device: frames in, one answer per face out, through the cloud or alone."""
