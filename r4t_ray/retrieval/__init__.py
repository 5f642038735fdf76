"""From a request to directions to items, in one process and without Ray.

``retriever.Retriever`` answers from a workspace or asks a running server. A request passes five modules: ``request``
(checks), ``generation`` (steering terms), ``backend`` (the models and the index of this process), ``finding`` (the
choice of k of L directions, and their items) and ``compose`` (the answer). ``retriever`` calls them in this order.
``filtering`` has filters and caps over the attributes of items.

Nothing is imported here, so that a client of a server loads neither torch nor FAISS.
"""
