"""A shop behind a real HTTP server in this process, and a headless Chromium that visits its page."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn

from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.generator import Generator

from ..conftest import PRODUCTS, build_shop, placed_gateway

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
TIMEOUT_MS = 30_000
ODD_ID, ODD_TEXT = "a;b &like=c", "<script>document.title = 'run'</script><b>red linen cap</b>"
"""An item whose id looks like two, and whose text looks like HTML."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """The address of the page, and the gateway that answers."""

    url: str
    gateway: Any


def product(key: str, text: str, price: int) -> dict[str, Any]:
    colour, _, kind = text.split()
    return {"item_id": key, "text": text, "attributes": {"colour": colour, "kind": kind, "price": price}}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The gateway of the products with attributes, and with sets of three that follow each other."""
    from r4t_ray.serve.gateway import api

    items = [product(key, text, price) for price, (key, text) in enumerate(PRODUCTS.items())]
    items.append({"item_id": ODD_ID, "text": ODD_TEXT, "attributes": {"colour": "red", "items": ["cap"]}})
    ids = [*PRODUCTS]
    sets = [
        {"set_id": f"s{at}", "title": f"{PRODUCTS[ids[at]]} and more", "item_ids": ids[at : at + 3]} for at in range(14)
    ]
    args = AppArgs(workspace=str(build_shop(tmp_path_factory.mktemp("page"), items, sets).root))
    generator = Generator.func_or_class(args)
    with (
        pytest.MonkeyPatch.context() as patch,
        socket.create_server(("127.0.0.1", 0)) as listening,
        placed_gateway(generator, args, patch) as gateway,
    ):
        server = uvicorn.Server(uvicorn.Config(api, lifespan="off", log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield Site(url=f"http://127.0.0.1:{listening.getsockname()[1]}/", gateway=gateway)
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium. It ends with the module: as long as playwright runs, asyncio.run fails in this thread."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium: `apt-get install chromium`")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Any, site: Site) -> Iterator[Callable[..., Any]]:
    """Opens the page with a query string.

    After the test nothing was asked of another server, and the console has no error except those with the text
    ``allowed``.
    """
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        faults: list[str] = []
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith(site.url) else faults.append(request.url))

        def load(address: str = "", allowed: str | None = None) -> Any:
            page.allowed, page.faults = allowed, faults
            page.goto(site.url + address)
            page.locator("#results:not([aria-busy]) > :not(.loading)").first.wait_for()
            return page

        yield load
        assert [fault for fault in faults if page.allowed is None or page.allowed not in fault] == []
