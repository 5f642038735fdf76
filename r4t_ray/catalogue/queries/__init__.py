"""Queries: made from the sets of a catalogue and recombined, their splits, and the sets that are relevant to them."""
