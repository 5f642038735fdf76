"""Threads of a process that answers queries: one place decides, from the CPUs that the process has.

Torch, FAISS, the BLAS of numpy, the tokenizer and ONNX Runtime each keep a pool of threads. They take turns on a
request. The threads of a pool that waits would spin on the cores that the next one needs.
"""

from __future__ import annotations

import os
import sys

from threadpoolctl import threadpool_limits

from r4t_ray.machine.limits import usable_cpus


def let_threads_sleep() -> None:
    """Let the threads of OpenMP sleep while they wait, unless the environment says otherwise.

    It has an effect only before torch and FAISS are loaded, because OpenMP reads the variable then.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def limit_threads(cpus: float | None = None) -> int:
    """Give torch, FAISS and every BLAS that is loaded one thread per CPU of this process, and the tokenizer one thread.

    Args:
        cpus: CPUs that are reserved for the process. Default: those that it may use.

    Returns:
        The threads of each pool, at least one. The caller hands them to ONNX Runtime, whose sessions have their own.
    """
    usable = usable_cpus()
    threads = max(1, int(usable if cpus is None else min(cpus, usable)))
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    if "faiss" in sys.modules:
        sys.modules["faiss"].omp_set_num_threads(threads)
    threadpool_limits(threads, user_api="blas")
    return threads
