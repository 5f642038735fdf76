"""Filters and caps of a request, over the attributes of items.

``filters`` has their form, ``attributes`` the columns on which a filter is evaluated, ``loading`` reads these, and
``caps`` counts items with the same value. Nothing is imported here, so that a client of a server does not load pyarrow.
"""
