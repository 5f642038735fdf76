"""Build the FAISS shards of both pools.

`python jobs/build_index.py --config FILE --workspace DIR`, on a cluster
`ray job submit --working-dir . -- python jobs/build_index.py --config FILE --workspace DIR`.
"""

from r4t_ray.pipeline import main

if __name__ == "__main__":
    main("build-index")
