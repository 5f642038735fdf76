"""Measure every method on the held-out queries and write the report.

`python jobs/evaluate.py --config FILE --workspace DIR`, on a cluster
`ray job submit --working-dir . -- python jobs/evaluate.py --config FILE --workspace DIR`.
"""

from r4t_ray.pipeline import main

if __name__ == "__main__":
    main("evaluate")
