"""Run every stage in order, skipping what is current.

`python jobs/pipeline.py --config FILE --workspace DIR`, on a cluster
`ray job submit --working-dir . -- python jobs/pipeline.py --config FILE --workspace DIR`.
"""

from r4t_ray.pipeline import main

if __name__ == "__main__":
    main("pipeline")
