"""The service over gRPC: SplitFER's own calls and the Open Inference Protocol."""
