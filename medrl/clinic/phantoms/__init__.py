"""Phantoms: drawn medical pictures with known attributes, and what is asked about them."""
