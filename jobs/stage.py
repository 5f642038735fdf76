"""Run one stage of an experiment, or `pipeline` for all of them.

`python jobs/stage.py STAGE CONFIG --workspace DIR`, on a cluster
`ray job submit --working-dir . -- python jobs/stage.py STAGE CONFIG --workspace DIR`.
"""

from r4t_ray.pipeline import main

if __name__ == "__main__":
    main()
