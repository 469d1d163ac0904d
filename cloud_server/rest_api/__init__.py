"""The service over HTTP: REST, the Open Inference Protocol, administration, the page."""
