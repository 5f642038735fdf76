"""What stands between a client and the gateways: Serve's HTTP proxy with our layer, or HAProxy, which Ray starts."""

from r4t_ray.serve.proxy.layers import proxy_layers

__all__ = ["proxy_layers"]
