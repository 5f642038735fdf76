"""From a request to directions to items, in one process and without Ray.

``retriever.Retriever`` answers from a workspace or asks a running server. A request passes three modules: ``request``
(checks, steering terms, the search), ``backend`` (the models and the index of this process) and ``compose`` (the choice
of k of L directions, the merge of their items). ``retriever`` calls them in this order. ``filtering`` has filters
and caps over the attributes of items.

Nothing is imported here, so that a client of a server loads neither torch nor FAISS.
"""
