"""Clients of `r4t serve`: a call for each endpoint, tried again while the server is busy.

``Client`` (``blocking``) waits, ``AsyncClient`` (``awaited``) is awaited. Both send the same ``calls`` and read replies
in the same way (``connection``).
"""

from __future__ import annotations

from r4t_ray.retrieval.client.awaited import AsyncClient
from r4t_ray.retrieval.client.blocking import Client
from r4t_ray.retrieval.client.calls import Fields

__all__ = ["AsyncClient", "Client", "Fields"]
