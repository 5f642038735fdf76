"""Train the diffusion retriever on Ray Train.

`python jobs/train_diffusion.py --config FILE --workspace DIR`, on a cluster
`ray job submit --working-dir . -- python jobs/train_diffusion.py --config FILE --workspace DIR`.
"""

from r4t_ray.pipeline import main

if __name__ == "__main__":
    main("train-diffusion")
