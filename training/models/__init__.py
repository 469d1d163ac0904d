"""The networks, in torch. Nothing that is deployed imports this package: it is exported to ONNX."""
