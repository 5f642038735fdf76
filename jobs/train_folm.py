"""Train the fan-out language model: warm start, then Soft-GRPO on Ray Train and vLLM.

`python jobs/train_folm.py --config FILE --workspace DIR`, on a cluster
`ray job submit --working-dir . -- python jobs/train_folm.py --config FILE --workspace DIR`.
"""

from r4t_ray.pipeline import main

if __name__ == "__main__":
    main("train-folm")
