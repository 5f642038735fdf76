"""Ray Serve application: gateway -> encoder and diffusion -> index shards -> merge, and the same path in one process.

`app.build_app` joins the deployments, `local` runs them on one machine or answers without them, `client.ask` asks.
Nothing is imported here, so that the client loads neither Ray nor torch.
"""
