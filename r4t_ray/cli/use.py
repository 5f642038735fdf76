"""Commands that use a finished workspace: query it, serve it, publish its retriever."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from r4t_ray import pipeline as flow
from r4t_ray.artifacts import Workspace
from r4t_ray.cli.group import DEFAULT_WORKSPACE, USE_PANEL, WorkspaceOption, app
from r4t_ray.types import Task

TASK_HELP = (
    "oar (open-ended abstract retrieval: a direction finds whole sets) or "
    "wscr (weakly supervised compositional retrieval: a direction finds items of one set)."
)
LocalFlag = Annotated[
    bool, typer.Option("--local", help="Answer in this process from --workspace. Default: ask the server at --url.")
]
NumItems = Annotated[
    int | None, typer.Option("-n", help="Number of items per direction. Default: 10, unless --total is given.")
]
Total = Annotated[
    int | None,
    typer.Option(help="Number of items of the whole answer, in place of -n: the best ones over all directions."),
]
Like = Annotated[
    list[str] | None,
    typer.Option(
        "--like", help="Steer the set towards an id of the catalogue or words. May be repeated. Default: none."
    ),
]
Avoid = Annotated[
    list[str] | None,
    typer.Option(
        "--avoid", help="Steer the set away from an id of the catalogue or words. May be repeated. Default: none."
    ),
]
Temperature = Annotated[
    float, typer.Option(help="Diversity. 0: the most likely directions; 1: as trained. Above 1, seeds give other sets.")
]
Guidance = Annotated[float | None, typer.Option(help="Classifier-free guidance strength. Default: the model's.")]
FilterOption = Annotated[
    str | None,
    typer.Option(
        "--filter",
        metavar="JSON",
        help='Find only items with these attributes, such as \'{"eq": ["category", "tops"]}\'. Default: all items.',
    ),
]
MaxPerOption = Annotated[
    str | None,
    typer.Option(
        "--max-per",
        metavar="ATTRIBUTE:N",
        help="At most N items of the answer have the same value of the attribute. Default: no limit.",
    ),
]
FieldOption = Annotated[
    list[str] | None,
    typer.Option(
        "--field",
        metavar="NAME=VALUE",
        help="Another field of the request, such as method=mmr, min_relevance=90, dedupe=true, include_query=true or "
        "offset=10. May be repeated. docs/serving.md lists them.",
    ),
]
QueryArgument = Annotated[
    str | None,
    typer.Argument(metavar="[QUERY]", help="The query, in words. It may be left out if --like names ids."),
]
QueryLog = Annotated[
    Path,
    typer.Option(
        metavar="FILE",
        help="The queries: a file, a folder of parts or a glob (JSON lines, CSV or parquet) with the fields text, "
        "query_id and task, of which only text is needed; or a .txt file with one query per line.",
    ),
]
AnswersPath = Annotated[
    Path,
    typer.Option(metavar="FOLDER", help="Folder of the answers: a new one, or the one of a stopped run."),
]
BatchSize = Annotated[
    int, typer.Option(min=1, help="Queries in one pass of the models. Raise it on a GPU. Changes no result.")
]
QueriesPerFile = Annotated[
    int, typer.Option(min=1, help="Queries in a parquet file. A killed run loses its unfinished files only.")
]
FIRST_TASK = "Default: oar if the workspace serves it, else wscr."
JsonFlag = Annotated[
    bool,
    typer.Option("--json", help="Print the answer as JSON, the body of POST /v1/retrieve. Default: a table."),
]


@app.command(rich_help_panel=USE_PANEL)
def query(
    text: QueryArgument = None,
    local: LocalFlag = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    url: Annotated[str, typer.Option(help="Address of a running `r4t serve`.")] = "http://127.0.0.1:8000",
    k: Annotated[int, typer.Option("-k", help="Number of directions.")] = 10,
    n: NumItems = None,
    total: Total = None,
    seed: Annotated[int, typer.Option(help="Seed of the generation. The same seed gives the same answer.")] = 0,
    task: Annotated[Task | None, typer.Option(help=f"{TASK_HELP} Default: the server's default task.")] = None,
    like: Like = None,
    avoid: Avoid = None,
    strength: Annotated[float, typer.Option(help="Strength of --like and --avoid, 0 to 4. 0 does not steer.")] = 0.5,
    temperature: Temperature = 1.0,
    guidance: Guidance = None,
    filter_json: FilterOption = None,
    max_per: MaxPerOption = None,
    field: FieldOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Ask a running server for a set; with --local, answer in this process."""
    logging.basicConfig(level=logging.WARNING)
    from r4t_ray.retrieval.client import Client
    from r4t_ray.retrieval.filtering.filters import cap_of, filter_of
    from r4t_ray.retrieval.request import QUERY_FIELDS, fields_of, parse_request
    from r4t_ray.retrieval.retriever import Retriever

    shared = {"k": k, "n": n, "total": total, "seed": seed, "task": task}
    steering = {"like": like or (), "avoid": avoid or (), "strength": strength, "temperature": temperature}
    request = parse_request(
        query=text,
        guidance=guidance,
        filter=None if filter_json is None else filter_of(filter_json),
        max_per=None if max_per is None else cap_of(max_per),
        **shared,
        **steering,
        **fields_of(field or (), QUERY_FIELDS),
    )
    answer = Retriever(workspace).answer(request) if local else Client(url).retrieve(request)
    typer.echo(answer.model_dump_json() if as_json else answer.table())


@app.command(rich_help_panel=USE_PANEL)
def retrieve(
    queries: QueryLog,
    out: AnswersPath,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    task: Annotated[Task | None, typer.Option(help=f"Task of queries that name none: {TASK_HELP} {FIRST_TASK}")] = None,
    k: Annotated[int, typer.Option("-k", help="Number of directions.")] = 10,
    n: NumItems = None,
    total: Total = None,
    seed: Annotated[int, typer.Option(help="Seed of the generation, the same for every query.")] = 0,
    temperature: Temperature = 1.0,
    guidance: Guidance = None,
    filter_json: FilterOption = None,
    max_per: MaxPerOption = None,
    field: FieldOption = None,
    actors: Annotated[int, typer.Option(min=1, help="Actors that answer. Raise it to the number of cores.")] = 1,
    cpus: Annotated[float, typer.Option(min=0, help="CPUs per actor; rounded up, also its torch threads.")] = 1.0,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs per actor.")] = 0.0,
    batch_size: BatchSize = 64,
    queries_per_file: QueriesPerFile = 256,
) -> None:
    """Answer a whole log of queries by Ray Data into parquet files. Stop it at any time and run it again."""
    flow.set_up_logging()
    from r4t_ray.config import Resources
    from r4t_ray.retrieval.filtering.filters import cap_of, filter_of
    from r4t_ray.retrieval.request import LOG_FIELDS, fields_of, parse_request

    shared = {"k": k, "n": n, "total": total, "seed": seed, "task": task, "temperature": temperature}
    template = parse_request(
        query="any",
        guidance=guidance,
        filter=None if filter_json is None else filter_of(filter_json),
        max_per=None if max_per is None else cap_of(max_per),
        **shared,
        **fields_of(field or (), LOG_FIELDS),
    )
    from r4t_ray.answers.folder import Asked

    asked = Asked(log=queries, template=template, workspace=Workspace(workspace), queries_per_file=queries_per_file)
    answers, errors = flow.run_retrieval(asked, out, Resources(num=actors, cpus=cpus, gpus=gpus), batch_size)
    typer.echo(f"{answers.path}: {answers.manifest.rows} answers" + (f", {errors} of them an error" if errors else ""))


@app.command(rich_help_panel=USE_PANEL)
def serve(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    config: Annotated[
        Path | None,
        typer.Option(
            help="YAML file of an experiment; its `serve` section is used. Default: the defaults of that section."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let other machines ask without an API key. Default: refuse to start.")
    ] = False,
) -> None:
    """Serve a workspace over HTTP with Ray Serve until interrupted."""
    flow.set_up_logging()
    args = flow.load_experiment(config).serve if config else None
    from r4t_ray.serve.server import serve_workspace

    serve_workspace(workspace, host=host, port=port, args=args, is_insecure=insecure)


@app.command(rich_help_panel=USE_PANEL)
def push(
    repo_id: Annotated[str, typer.Argument(metavar="REPO_ID", help="Repository on the hub: OWNER/NAME.")],
    task: Annotated[Task, typer.Option(help=f"Task of the retriever to push: {TASK_HELP}")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    student: Annotated[
        bool, typer.Option("--student", help="Push the one-step student instead of the retriever.")
    ] = False,
    private: Annotated[
        bool, typer.Option("--private", help="Create the repository as private. Default: the hub's default.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write the files to this folder and push nothing. Default: push.")
    ] = None,
) -> None:
    """Push a diffusion retriever to the Hugging Face hub with a model card of its data, settings and results."""
    from r4t_ray.evaluation.push import push as push_retriever

    typer.echo(push_retriever(workspace, repo_id, task, student=student, private=private, out=out))
