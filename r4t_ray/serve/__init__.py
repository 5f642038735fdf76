"""The Ray Serve application: gateway -> generator -> index shards -> answer. `retrieval` does the same in one process.

`app.build_app` joins the deployments, and `server` runs them on one machine.
"""
