"""Synthesize the pairs (z_q, Z) with Ray Data.

`python jobs/synthesize_pairs.py --config FILE --workspace DIR`, on a cluster
`ray job submit --working-dir . -- python jobs/synthesize_pairs.py --config FILE --workspace DIR`.
"""

from r4t_ray.pipeline import main

if __name__ == "__main__":
    main("synthesize-pairs")
