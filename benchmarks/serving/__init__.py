"""The server under load, beside its peers, and spread over replicas."""
