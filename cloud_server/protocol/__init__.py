"""What both transports share: error codes, and the names of label sets and priors."""
