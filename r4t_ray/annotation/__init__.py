"""A language model writes a log of queries (`r4t write-log`) or expansions (`r4t write-expansions`) of a catalogue.

A log (log.py) is made in three steps:

1. The model sees a sample of the catalogue. It writes wishes of people, and for each a few titles that would fit. So a
   fitting entry is found that is far from the wish itself.
2. The entries nearest to the wish and to its titles are shortlisted.
3. The model marks the entries of the shortlist that fit.

Expansions (expansions.py) are wishes that each entry answers.
"""
