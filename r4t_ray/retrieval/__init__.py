"""From a request to directions to items, in one process and without Ray.

``retriever.Retriever`` answers from a workspace or asks a running server. Between a request and its answer stand four
modules: ``request`` (checks, steering terms, what is searched), ``backend`` (the models and the index of this process),
``answer`` (the choice of k of L directions, the merge of their items) and ``retriever``, which calls them in order.

Nothing is imported here, so that a client of a server loads neither torch nor FAISS.
"""
