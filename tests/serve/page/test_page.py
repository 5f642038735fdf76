"""The page in headless Chromium, against the gateway in this process: no outside request, no error in its console."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.serve.exceptions import BackPressureError

from r4t_ray.serve.keys import Key

from ..conftest import PRODUCTS
from .conftest import ODD_ID, ODD_TEXT, Site

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: run `make install`")
expect = playwright.expect
Page = Any

QUERY = "red linen"
CHECKS = Path(__file__).with_name("checks.js").read_text(encoding="utf-8")
ANSWERED = "#results:not([aria-busy]) > .panel:not(.loading)"


def settled(page: Page, num_panels: int = 1) -> None:
    """Wait for the answers that are under way."""
    expect(page.locator(ANSWERED)).to_have_count(num_panels)


def sent(page: Page, act: Callable[[], Any], num: int = 1) -> list[dict[str, Any]]:
    """The bodies of the ``num`` requests that an action leads to."""
    bodies: list[dict[str, Any]] = []

    def note(request: Any) -> None:
        if request.url.endswith("/v1/retrieve"):
            bodies.append(json.loads(request.post_data))

    page.on("request", note)
    act()
    while len(bodies) < num:
        page.wait_for_event("request")
    page.remove_listener("request", note)
    return bodies


def items_of(page: Page, inside: str = ".directions") -> list[str]:
    return list(page.locator(f"{inside} .item .text").all_text_contents())


def test_the_keyboard_alone_asks_and_steers(visit: Callable[..., Page]) -> None:
    page = visit()
    assert page.evaluate("document.activeElement.id") == "query"
    page.keyboard.type(QUERY)
    page.keyboard.press("Enter")
    settled(page)
    assert page.locator(".directions h3").count() == 6  # the most that the model generates
    assert len(items_of(page)) == 6 * 5
    assert {*items_of(page, ".merged")} == {*items_of(page)}
    assert len(items_of(page, ".merged")) == len({*items_of(page)})
    assert page.locator(".metrics dt").all_inner_texts() == ["Diversity", "Groundedness", "Alignment"]
    assert page.title().startswith(QUERY)
    assert "in 6 directions" in page.locator("h2").inner_text()
    assert "6 directions" in page.locator("#status").inner_text()
    first = page.locator(".directions .item").first
    name = first.locator(".text").inner_text()
    first.locator("summary").focus()
    page.keyboard.press("Enter")  # opens it
    assert first.locator("dl").inner_text().count("price") > 0
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")  # the button "Avoid this"
    page.keyboard.press("Enter")
    expect(page.locator("#terms .avoid li")).to_have_text([f"{name}\u00d7"])
    settled(page)
    assert name not in items_of(page)
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == f"Remove {name} from Avoid"
    page.keyboard.press("Enter")
    expect(page.locator("#terms li")).to_have_count(0)


def test_two_methods_stand_side_by_side(visit: Callable[..., Page]) -> None:
    page = visit(f"?query={QUERY}&task=wscr&k=3&n=4&versus=mmr&temperature=1.5")
    settled(page, 2)
    assert [text.split()[0] for text in page.locator("h2").all_inner_texts()] == ["Diffusion", "MMR"]
    left, right = (page.locator(f".panel[data-method={method}]") for method in ("diffusion", "mmr"))
    assert left.bounding_box()["y"] == right.bounding_box()["y"]
    assert left.bounding_box()["x"] < right.bounding_box()["x"]
    for panel in (left, right):
        assert [float(text) <= 1 for text in panel.locator(".metrics dd").all_inner_texts()] == [True] * 3
        assert re.match(r"\d+ ms in the server \(.*encode .*generate ", panel.locator(".facts").first.inner_text())
    assert (left.locator(".directions h3").count(), right.locator("h3").count()) == (3, 0)
    both = {*items_of(page, "[data-method=diffusion]")} & {*items_of(page, "[data-method=mmr]")}
    assert f"{len(both)} in both" in page.locator("#status").inner_text()
    assert right.locator(".tag").count() == len(both)


def test_a_filter_and_a_cap_reduce_the_items(visit: Callable[..., Page]) -> None:
    page = visit(f"?query={QUERY}&task=wscr&k=2&n=3")
    page.get_by_role("button", name="Add a filter").click()
    page.get_by_label("Attribute").select_option("colour")
    page.get_by_label("Value").fill("red")
    page.get_by_role("button", name="Add a filter").click()
    page.get_by_label("Attribute").nth(1).select_option("price")
    page.get_by_label("Condition").nth(1).select_option("range")
    page.get_by_label("From").fill("1")
    (body,) = sent(page, lambda: page.get_by_label("From").press("Enter"))
    prices = [{"range": ["price", bounds]} for bounds in ({"gte": 1}, {"gte": "1", "lt": ":"})]
    assert body["filter"] == {"and": [{"eq": ["colour", "red"]}, {"or": prices}]}
    expect(page.locator("h2")).to_contain_text("3 items")
    red = {text for at, text in enumerate(PRODUCTS.values()) if text.startswith("red") and at >= 1}
    assert {*items_of(page)} == red
    assert page.locator("datalist option[value=blue]").count() == 1  # a value that the first answer showed
    page.get_by_label("with the same").select_option("colour")
    (body,) = sent(page, lambda: page.get_by_role("button", name="Search").click())
    assert body["max_per"] == {"attribute": "colour", "n": 2}
    expect(page.locator("h2")).to_contain_text("2 items")
    assert "5 set" in page.locator("#options > summary").inner_text()
    page.get_by_label("Value").fill("mauve")
    page.get_by_label("Value").press("Enter")
    expect(page.locator(".none h3")).to_have_text("Nothing passes")
    (body,) = sent(page, page.get_by_role("button", name="Remove the filters").click)
    assert "filter" not in body


def test_a_number_as_text_and_the_items_of_sets(visit: Callable[..., Page]) -> None:
    page = visit()
    page.get_by_label("What are you looking for?").fill(QUERY)
    page.get_by_role("button", name="Add a filter").click()
    page.get_by_label("Attribute").select_option("price")
    page.get_by_label("Value").fill("5")
    page.get_by_label("A set passes if").select_option("any")
    assert page.locator("#cap").is_hidden()  # a cap is for items
    (body,) = sent(page, lambda: page.get_by_label("Value").press("Enter"))
    assert body["filter"] == {"any": {"in": ["price", ["5", 5]]}}
    expect(page.locator("h2")).to_contain_text("3 items")  # the sets with p5
    page.locator(".item summary").first.click()
    assert "p5 (colour blue; kind dress; price 5)" in page.locator(".item dl").first.inner_text()


def test_the_address_restores_the_form_and_back_goes_back(visit: Callable[..., Page]) -> None:
    state = {
        "query": "blue; & warm?", "task": "wscr", "method": "none", "versus": "mmr", "k": "2", "n": "3", "seed": "7",
        "temperature": "1.5", "strength": "0.9", "mmr_lambda": "0.25", "guidance": "2", "cap_n": "4",
        "cap_attribute": "kind",
    }  # fmt: skip
    lists = {"like": ["a;b, c", "p3"], "avoid": [ODD_ID]}
    page = visit()
    where = [["kind", "in", "scarf, dress"]]
    address = page.evaluate("(s) => addressOf(stateWith(s))", {**state, **lists, "where": where})
    bodies = sent(page, lambda: page.goto(page.url.split("?")[0] + address), 2)
    settled(page, 2)
    shared = {"like": lists["like"], "avoid": [ODD_ID], "filter": {"in": ["kind", ["scarf", "dress"]]}, "guidance": 2}
    for body, method in zip(bodies, ("none", "mmr"), strict=True):
        assert body.items() >= {**shared, "method": method, "k": 2, "n": 3, "seed": 7, "temperature": 1.5}.items()
    assert bodies[1]["mmr_lambda"] == 0.25
    assert "mmr_lambda" not in bodies[0]
    assert page.evaluate("addressOf(readForm())") == page.evaluate("location.search") == address
    page.get_by_label("What are you looking for?").fill("black")
    page.keyboard.press("Enter")
    page.wait_for_url("**query=black**")
    settled(page, 2)
    page.go_back()
    expect(page.get_by_label("What are you looking for?")).to_have_value(state["query"])
    settled(page, 2)
    assert page.evaluate("addressOf(readForm())") == address
    (body,) = sent(page, lambda: page.goto(page.url.split("?")[0] + "?query=red&method=best&where=null&like="))
    assert (body["method"], body["like"], "filter" in body) == ("diffusion", [], False)


def test_texts_stay_texts_and_ids_whole(visit: Callable[..., Page]) -> None:
    page = visit(f"?query={QUERY}&task=wscr&k=2&n=1000&method=none")
    settled(page)
    odd = page.locator(".item", has_text="<script>")
    assert odd.locator(".text").inner_text() == ODD_TEXT
    assert page.locator("#results script, #results b").count() == 0
    odd.locator("summary").click()
    assert "items\ncap" in odd.locator("dl").inner_text()  # an attribute of that name is no item of a set
    (body,) = sent(page, odd.get_by_role("button", name="More like this").click)
    assert body["like"] == [ODD_ID]
    settled(page)
    assert page.title() != "run"
    assert page.locator("#terms li span").inner_text() == ODD_TEXT
    (body,) = sent(page, page.reload)
    assert body["like"] == [ODD_ID]


def test_errors_say_what_to_do(visit: Callable[..., Page], site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    page = visit(f"?query={QUERY}&k=99", allowed="Failed to load resource")
    alert = page.get_by_role("alert")
    assert [alert.locator(f"dd:nth-of-type({at})").inner_text() for at in (1, 2)] == ["k", "99"]
    assert "1 to 6" in alert.inner_text()
    assert "ask for fewer" in alert.inner_text()
    assert page.get_by_label("Directions (k)").get_attribute("aria-invalid") == "true"
    full = BackPressureError(num_queued_requests=3, max_queued_requests=2)

    async def busy(*_: Any) -> None:
        raise full

    page.get_by_label("Directions (k)").fill("2")
    with monkeypatch.context() as patch:
        patch.setattr(site.gateway._backend._generator, "generate", SimpleNamespace(remote=busy))
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="The server is busy")).to_be_visible()
        assert "Try again in 1 second." in page.get_by_role("alert").inner_text()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".directions h3")).to_have_count(2)
    page.get_by_label("What are you looking for?").fill(" ")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("Type what you are looking for")
    page.context.set_offline(True)
    page.get_by_label("What are you looking for?").fill("scarf")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="The server does not answer")).to_be_visible()


def test_a_key_is_asked_for_and_kept_out_of_the_address(
    visit: Callable[..., Page], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site.gateway, "keys", (Key("read", hashlib.sha256(b"secret").hexdigest()),))
    page = visit(f"?query={QUERY}", allowed="Failed to load resource")
    assert page.evaluate("document.activeElement.id") == "key-text"
    assert "ask whoever runs the server" in page.get_by_role("alert").inner_text()
    for key in ("wrong", "secret"):
        page.get_by_label("API key").fill(key)
        page.keyboard.press("Enter")
        if key == "wrong":
            expect(page.get_by_label("API key")).to_have_value("")
    expect(page.locator(".directions h3")).to_have_count(6)
    assert page.locator("#key").is_hidden()
    assert "secret" not in page.url
    assert page.evaluate("Object.values(sessionStorage)") == ["secret"]
    assert page.evaluate("localStorage.length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_people_can_read_and_operate_it(visit: Callable[..., Page], scheme: str) -> None:
    page = visit(f"?query={QUERY}&task=wscr&k=99&avoid=cap&versus=mmr", allowed="Failed to load resource")
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    assert page.evaluate(f"() => {{ {CHECKS}; return lowContrast() }}") == []  # of an error
    page.get_by_label("Directions (k)").fill("2")
    page.get_by_role("button", name="Add a filter").click()
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".directions h3")).to_have_count(2)
    page.locator(".item summary").first.click()
    page.locator("footer summary").click()
    for check in ("lowContrast", "unnamed", "repeatedIds"):
        assert page.evaluate(f"() => {{ {CHECKS}; return {check}() }}") == []
    assert page.locator("h1").count() == 1
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map((one) => Number(one.tagName[1]))")
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert page.locator("#status").get_attribute("role") == "status"
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("Tab")
    focus = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert float(focus.removesuffix("px")) >= 2


def test_the_policy_lets_nothing_else_run(visit: Callable[..., Page]) -> None:
    page = visit(allowed="Content Security Policy")
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: 'var bad = 1'}))")
    page.evaluate("document.body.setAttribute('onclick', 'window.bad = 1')")
    page.locator("h1").click()
    assert page.evaluate("typeof bad") == "undefined"
    assert page.evaluate("fetch('https://192.0.2.1/').then(() => 'sent', () => 'refused')") == "refused"
    assert any("connect-src" in fault for fault in page.faults)
