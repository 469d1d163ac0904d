"""Pictures: decoding, the search for faces, and their crops."""
