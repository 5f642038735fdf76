"""Commands by which a language model writes a log of queries, or wishes that entries answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from r4t_ray import pipeline as flow
from r4t_ray.artifacts import Workspace
from r4t_ray.cli.group import DEFAULT_WORKSPACE, WORKSPACE_PANEL, WorkspaceOption, app

if TYPE_CHECKING:
    from r4t_ray.endpoints.chat import ChatEndpoint

Out = Annotated[
    Path, typer.Option(metavar="FILE", help="The file to write, as JSON lines. If it is there, it is continued.")
]
Url = Annotated[str, typer.Option(help="Address of an OpenAI-compatible endpoint, with its /v1.")]
Model = Annotated[str, typer.Option(help="Name of the language model at the endpoint. The larger, the better.")]
About = Annotated[
    str, typer.Option(help='What the catalogue is, such as "dishes for home cooks". Default: the entries say it.')
]
ApiKeyEnv = Annotated[
    str | None,
    typer.Option(help="Environment variable that holds the key of the endpoint. Default: an endpoint without keys."),
]
Concurrency = Annotated[int, typer.Option(min=1, help="Calls that are open at once.")]
TimeoutS = Annotated[float, typer.Option(min=1, help="Seconds after which a call counts as failed.")]


@app.command("write-log", rich_help_panel=WORKSPACE_PANEL)
def write_log(
    out: Out,
    url: Url,
    model: Model,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    num: Annotated[int, typer.Option(min=1, help="Queries that the file shall have.")] = 400,
    about: About = "",
    seed: Annotated[int, typer.Option(help="Decides which entries the model sees.")] = 0,
    api_key_env: ApiKeyEnv = None,
    concurrency: Concurrency = 8,
    timeout_s: TimeoutS = 300.0,
) -> None:
    """Have a language model write queries and mark the entries that fit them. It is sent titles and items."""
    flow.set_up_logging()
    from r4t_ray.annotation.log import Order, counted
    from r4t_ray.annotation.log import write_log as write

    endpoint = _endpoint(url, model, api_key_env, concurrency, timeout_s)
    written = write(Order(out=out, num=num, about=about, seed=seed), Workspace(workspace), endpoint)
    each = written.num_relevant / max(1, written.num_queries)
    typer.echo(f"{out}: {written.num_queries} queries, on average with {each:.1f} entries")
    typer.echo(f"left out in this run: {counted(written.left_out)}")
    typer.echo(f"read a part of it, set catalogue.queries: {out}, and run `r4t pipeline` again")


@app.command("write-expansions", rich_help_panel=WORKSPACE_PANEL)
def write_expansions(
    out: Out,
    url: Url,
    model: Model,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    about: About = "",
    api_key_env: ApiKeyEnv = None,
    concurrency: Concurrency = 8,
    timeout_s: TimeoutS = 300.0,
) -> None:
    """Have a language model write wishes that each entry answers. It is sent titles and items."""
    flow.set_up_logging()
    from r4t_ray.annotation.expansions import write_expansions as write

    endpoint = _endpoint(url, model, api_key_env, concurrency, timeout_s)
    written = write(out, about, Workspace(workspace), endpoint)
    left = written.num_entries - written.num_expanded
    again = f"; the model left out {left}, run the command again for them" if left else ""
    typer.echo(f"{out}: {written.num_expanded} of {written.num_entries} entries have expansions{again}")
    typer.echo(f"read a part of it, set catalogue.expansions: {out}, and run `r4t pipeline` again")


def _endpoint(url: str, model: str, api_key_env: str | None, concurrency: int, timeout_s: float) -> ChatEndpoint:
    from r4t_ray.endpoints.chat import ChatEndpoint
    from r4t_ray.endpoints.key import key_of

    return ChatEndpoint(
        base_url=url,
        model=model,
        key=None if api_key_env is None else key_of(api_key_env, "--api-key-env"),
        key_from="no key" if api_key_env is None else f"the key of {api_key_env}",
        timeout_s=timeout_s,
        max_retries=2,
        max_concurrency=concurrency,
    )
