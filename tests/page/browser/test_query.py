"""Giving an image: chosen, dropped, pasted; an item; more and less of what was found."""

import base64

import pytest

from .conftest import answered, hits, neighbours

FILE = """([kind, target, bytes]) => {
    const data = new DataTransfer();
    data.items.add(new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], "digit.png", { type: "image/png" }));
    const event = kind === "paste"
        ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
        : new DragEvent("drop", { dataTransfer: data, bubbles: true });
    document.querySelector(target).dispatchEvent(event);
}"""


@pytest.mark.parametrize("way", ["choose", "drop", "paste"])
def test_an_image_finds_what_the_index_finds(visit, server, collection, digit, way):
    page = visit(server)
    if way == "choose":
        page.set_input_files("#file", {"name": "digit.png", "mimeType": "image/png", "buffer": digit})
    else:
        page.evaluate(FILE, [way, "#drop" if way == "drop" else "body", base64.b64encode(digit).decode()])
    point = collection.embed([digit])
    for column, weights in enumerate(collection.geometries.values()):
        assert hits(page, column) == collection.index.search(point, 10, weights=weights).ids[0].tolist()
    assert page.locator("#tray img").get_attribute("src").startswith("data:image/jpeg")
    assert "digit.png" in page.locator("#tray").inner_text()
    assert "like" not in page.url  # an image of the user's stays in the tab


def test_several_images_are_one_query(visit, server, digit):
    page = visit(server)
    file = {"name": "digit.png", "mimeType": "image/png", "buffer": digit}
    page.set_input_files("#file", [file, file | {"name": "again.png"}])
    found = hits(page, 0)
    assert page.locator("#tray .chip.more").count() == 2
    page.reload()
    assert hits(page, 0) == found and page.locator("#tray .chip.more").count() == 2
    answer = answered(page, lambda: page.get_by_role("button", name="Confusions").click(), "/api/confusions")
    hits(page, 0)
    assert page.locator("#lens-class option").first.text_content() == f"the nearest's class ({answer['class']})"


def test_an_image_read_late_replaces_no_newer_query(visit, server, digit):
    page, held = visit(server), []
    page.route("**/api/queries", lambda route: held.append(route) if len(held) < 2 else route.continue_())
    given_up = {"event": "requestfailed", "predicate": lambda request: "/api/queries" in request.url}

    def give(name):
        page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": digit})

    with page.expect_request("**/api/queries"):
        give("first.png")
    with page.expect_event(**given_up):
        page.locator(".offer button").first.click()
    found = hits(page, 0)
    assert "busy" not in page.locator("#drop").get_attribute("class")
    with page.expect_request("**/api/queries"):
        give("second.png")
    with page.expect_event(**given_up):
        give("third.png")
    page.wait_for_selector(".asked-name:text('third.png')")
    page.go_back()
    page.wait_for_function("id => document.querySelector('.column .hit')?.dataset.id === id", arg=found[0])


def test_an_item_is_a_query_and_never_finds_itself(visit, server, collection):
    page = visit(server)
    page.locator(".offer img").first.click()
    first = hits(page, 0)
    asked = page.evaluate("new URLSearchParams(location.hash.slice(1)).get('like')")
    assert asked in collection.index and asked not in first
    page.locator(".column:nth-of-type(2) .hit-open").nth(3).click()
    page.wait_for_function("asked => !location.hash.includes(asked)", arg=asked)
    page.wait_for_function("id => document.querySelector('.column .hit').dataset.id !== id", arg=first[0])
    page.go_back()
    page.wait_for_function("id => document.querySelector('.column .hit')?.dataset.id === id", arg=first[0])
    assert hits(page, 0) == first


def test_what_the_geometries_agree_on_is_told_in_words(visit, server, collection):
    page = visit(f"{server}/#like={collection.index.ids[3]}")
    hits(page, 0)
    page.reload()
    columns = [hits(page, column) for column in range(3)]
    everywhere = set.intersection(*map(set, columns))
    assert f"{len(everywhere)} of 10" in page.locator("#summary").inner_text() or not everywhere
    assert f"{len(everywhere) / 10:.0%} agreement" in page.locator("#live").inner_text()
    names = list(collection.geometries)
    for own, ids in enumerate(columns):
        for place, id in enumerate(ids):
            told = page.locator(f".column:nth-of-type({own + 1}) .hit").nth(place).locator(".badge").text_content()
            elsewhere = [names[other] for other in range(3) if other != own and id in columns[other]]
            assert all(name in told for name in elsewhere)
            assert ("only here" in told) == (not elsewhere)


def test_more_and_less_are_collected_in_a_tray(visit, server, collection):
    start = collection.index.ids[0]
    page = visit(f"{server}/#like={start}")
    more = hits(page, 0)[1]
    answered(page, lambda: page.locator(f".column:first-of-type .hit[data-id='{more}'] .more").click())
    less = hits(page, 0)[4]
    answer = answered(page, lambda: page.locator(f"[data-id='{less}'] .less").first.click())
    assert hits(page, 0) == neighbours(answer)[0]
    assert not {start, more, less} & set(hits(page, 0))
    assert page.locator(".chip.more").count() == 2 and page.locator(".chip.less").count() == 1
    assert f"unlike={less}" in page.url
    page.locator(".chip.less .chip-remove").click()
    page.wait_for_function("() => !location.hash.includes('unlike')")
    page.get_by_role("button", name="Clear").click()
    page.wait_for_selector("#welcome:not([hidden])")
    assert page.locator("#tray").is_hidden()


def test_an_item_can_be_found_by_its_id(visit, server, collection):
    page, id = visit(server), collection.index.ids[17]
    page.locator("#by-id").press_sequentially(id)
    page.get_by_role("option", name=id, exact=True).click()
    hits(page, 0)
    assert page.locator(".asked-name").inner_text() == id
    assert f"class: {collection.index.metadata([id])[0]['class']}" in page.locator(".asked-facts").inner_text()


def test_suggestions_are_those_of_the_text(visit, server):
    page, held = visit(server, expected=["422"]), []
    box, options = page.locator("#by-id"), page.locator("#by-id-list [role=option]")
    box.press_sequentially("1")
    options.first.wait_for()
    page.route("**/api/items?like=1x*", lambda route: held.append(route))
    with page.expect_request("**/api/items?like=1x*"):
        box.press("x")
        box.press("Enter")
    assert not options.count() and "like" not in page.url
    with page.expect_event("requestfailed"):
        page.locator("#k").focus()
    assert page.locator("#by-id-list").is_hidden()
    page.route("**/api/items?like=*", lambda route: route.fulfill(status=422, json={"error": "no such text"}))
    box.press("y")
    page.wait_for_selector("#by-id-words:text('no such text')")


def test_the_same_request_for_a_program(visit, server, collection):
    page = visit(f"{server}/#like={collection.index.ids[0]}&k=3")
    hits(page, 0)
    page.get_by_role("button", name="Copy as curl").click()
    curl = page.locator("#copy-curl").inner_text()
    assert curl.startswith(f"curl -s '{server}/api/search'") and '"k":3' in curl
