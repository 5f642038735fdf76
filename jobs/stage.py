"""Run one stage of an experiment, or `pipeline` for all of them.

On this machine: `python jobs/stage.py STAGE CONFIG --workspace DIR`.
On a cluster: `ray job submit --working-dir . -- python jobs/stage.py STAGE CONFIG --workspace DIR`.
"""

from r4t_ray.pipeline import main

if __name__ == "__main__":
    main()
