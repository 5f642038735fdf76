"""Embed items, sets and queries with Ray Data.

`python jobs/embed.py --config FILE --workspace DIR`, on a cluster
`ray job submit --working-dir . -- python jobs/embed.py --config FILE --workspace DIR`.
"""

from r4t_ray.pipeline import main

if __name__ == "__main__":
    main("embed")
