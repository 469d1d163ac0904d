"""What a latent tells of a face."""
