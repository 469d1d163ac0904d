"""The Open Inference Protocol's models and tensors, for both of its transports."""
