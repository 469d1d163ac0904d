"""What the edge and the cloud must agree on: contracts, preprocessing, codec, models and weights."""
