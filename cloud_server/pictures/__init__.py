"""Whole pictures: decoding in a process of its own, and the faces in them."""
