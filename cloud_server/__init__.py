"""The server: latents or pictures in, answers out, over gRPC and REST."""
