"""Answers to a whole log of queries, by Ray Data, as parquet files: the command `r4t retrieve`.

The log is checked and copied to one file, whose row groups are the units of work (``log``). Actors answer them by the
functions of ``retrieval``, many queries in one pass of the models, and write one parquet file for each (``retrieve``).
A folder with the final name is always whole (``folder``).
"""
