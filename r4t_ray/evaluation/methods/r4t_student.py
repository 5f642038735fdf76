"""One answer of the diffusion retriever's one-step student."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from r4t_ray.evaluation.bench import Bench, Method, ModelFolder
from r4t_ray.evaluation.method_answer import Answer
from r4t_ray.evaluation.methods.r4t_diffusion import answers_of_rows, generate_rows
from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """As r4t_diffusion, except that the one-step student (diffusion/<task>/student) generates the rows."""
    z_BLD = generate(bench, queries, query_emb_BD, seed)
    solver = bench.retriever(STUDENT).sampler.solver
    return answers_of_rows(z_BLD, bench.index, bench.k, bench.n, solver=solver)


def generate(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> Array:
    """The L generated rows of every query by the student's solver, shape (B, L, D)."""
    return generate_rows(bench.retriever(STUDENT), query_emb_BD, seed, num_rows=bench.k)


STUDENT: ModelFolder = "diffusion/<task>/student"
R4T_STUDENT = Method(name="r4t_student", answer=answer, model=STUDENT, generate=generate)
