"""What every protocol says alike: error codes, and the names of label sets and priors."""
