"""Writes a log of queries for a catalogue without one: a language model invents wishes and marks what fits each.

1. The model sees a sample of the catalogue. It writes wishes of people, and for each a few titles that would fit. So a
   fitting entry is found that is far from the wish itself.
2. The entries nearest to the wish and to its titles are shortlisted.
3. The model marks the entries of the shortlist that fit.

The file is what ``catalogue.queries`` takes.
"""

from r4t_ray.log_writer.write import Order, Written, in_words, write_log

__all__ = ["Order", "Written", "in_words", "write_log"]
