"""What edge and cloud must agree on: contracts, preprocessing, codec, models and weights."""
