"""Read a catalogue into items, sets and queries.

`python jobs/ingest.py --config FILE --workspace DIR`, on a cluster
`ray job submit --working-dir . -- python jobs/ingest.py --config FILE --workspace DIR`.
"""

from r4t_ray.pipeline import main

if __name__ == "__main__":
    main("ingest")
