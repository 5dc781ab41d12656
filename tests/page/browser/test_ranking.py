"""Sliders, filters, confusions, and the address that keeps them."""

import json
from urllib.parse import quote

from horosphere.page import Page
from horosphere.page.safety import LOOPBACK

from .conftest import answered, hits, neighbours, placed


def test_weights_rank_anew_and_go_back(visit, server, collection):
    page = visit(f"{server}/#like={collection.index.ids[5]}")
    trained, sphere, ball = (hits(page, column) for column in range(3))
    slider = page.get_by_label("hyperbolic", exact=True)
    answer = answered(page, lambda: slider.press("Home"))
    assert answer["geometries"][0]["weights"][1] == 0
    assert hits(page, 0) == sphere and hits(page, 2) == ball
    page.wait_for_function("() => location.hash.includes('weights=')")
    answered(page, lambda: page.locator("#reset").click())
    assert hits(page, 0) == trained
    page.wait_for_function("() => !location.hash.includes('weights=')")
    slider.press("Home")
    page.get_by_label("sphere", exact=True).press("Home")
    assert "above zero" in page.get_by_role("alert").filter(has_text="weight").inner_text()


def test_a_slider_changes_its_own_weight_alone(visit, server, collection):
    page = visit(f"{server}/#like={collection.index.ids[5]}&weights=5,0.3337")
    hits(page, 0)
    slider = page.get_by_label("sphere", exact=True)
    assert slider.input_value() == "5" and page.locator("output[for=weight-1]").inner_text() == "0.334"
    sphere, ball = answered(page, lambda: slider.press("ArrowLeft"))["geometries"][0]["weights"]
    assert sphere < 5 and ball == 0.3337


def test_k_shows_as_many(visit, server, collection):
    page = visit(f"{server}/#like={collection.index.ids[5]}")
    hits(page, 0)
    answered(page, lambda: page.locator("#k").press("ArrowRight"))
    assert [len(hits(page, column)) for column in range(3)] == [11, 11, 11]


def test_an_answer_that_comes_late_is_dropped(visit, server, collection):
    page = visit(f"{server}/#like={collection.index.ids[5]}")
    hits(page, 0)
    held = []
    page.route("**/api/search", lambda route: held.append(route) if not held else route.continue_())
    with page.expect_request("**/api/search"):
        page.locator("#k").fill("3")
    answered(page, lambda: page.locator("#k").fill("4"))
    assert len(hits(page, 0)) == 4
    held[0].continue_()
    page.wait_for_timeout(300)
    assert len(hits(page, 0)) == 4


def test_filters_by_value_and_their_way_out(visit, server, collection):
    page = visit(f"{server}/#like={collection.index.ids[0]}")
    hits(page, 0)
    page.locator("#filters summary", has_text="class").click()
    answered(page, lambda: page.locator("#filters").get_by_role("checkbox", name="7", exact=False).first.check())
    kinds = {row["class"] for column in range(3) for row in collection.index.metadata(hits(page, column))}
    assert kinds == {"7"}
    answered(page, lambda: page.get_by_label("All but these").check())
    kinds = {row["class"] for column in range(3) for row in collection.index.metadata(hits(page, column))}
    assert kinds and "7" not in kinds
    answered(page, lambda: page.get_by_role("button", name="Remove all filters").click())
    assert "where" not in page.url


def test_no_item_passes_the_filters(visit, server, collection):
    where = quote(json.dumps({"class": "none"}))
    page = visit(f"{server}/#like={collection.index.ids[0]}&where={where}")
    page.wait_for_selector("#nothing:not([hidden])")
    assert "No item passes" in page.locator("#live").inner_text()
    page.locator("#nothing button").click()
    assert len(hits(page, 0)) == 10


def test_confusions_are_of_other_classes_and_say_their_weight(visit, server, collection):
    id = collection.index.ids[0]
    own = collection.index.metadata([id])[0]["class"]
    page = visit(f"{server}/#like={id}")
    hits(page, 0)
    answer = answered(page, lambda: page.get_by_role("button", name="Confusions").click(), "/api/confusions")
    assert answer["class"] == own
    for column, ids in enumerate(neighbours(answer)):
        assert hits(page, column) == ids
        assert own not in {row["class"] for row in collection.index.metadata(ids)}
        told = page.locator(f".column:nth-of-type({column + 1}) .distance").all_inner_texts()
        assert "could mistake" in page.locator("#summary").inner_text()
        assert len(told) == len(ids) and all(text.startswith("p = ") and text.endswith("%") for text in told)
    assert page.locator("#lens-class option").first.text_content() == f"its own class ({own})"
    other = "8" if own != "8" else "9"
    answer = answered(page, lambda: page.locator("#lens-class").select_option(other), "/api/confusions")
    assert answer["class"] == other and f"lens={other}" in page.url


def test_a_link_is_searched_once(visit, server, collection):
    count = """window.asked = 0;
        const ask = fetch;
        window.fetch = (path, ...rest) => { window.asked += path === "/api/search"; return ask(path, ...rest); };"""
    page, held = visit(server, script=count), []
    page.wait_for_selector(".disk-legend:not([hidden])")
    page.route("**/api/disk/points", lambda route: held.append(route))
    with page.expect_request("**/api/disk/points"):
        page.goto(f"{server}/?again#like={collection.index.ids[0]}")
    hits(page, 0)
    held[0].continue_()
    page.wait_for_selector(".disk-legend:not([hidden])")
    page.get_by_label("Show images").click()  # which lie where the query and its lines are
    page.wait_for_timeout(300)
    drawn = "document.querySelector('.disk-top').getContext('2d').getImageData(0, 0, 999, 999).data.some(Boolean)"
    assert page.evaluate(drawn) and page.evaluate("asked") == 1


def test_the_disk_and_the_neighbours_point_at_each_other(visit, serve, collection):
    id = collection.index.ids[0]
    # The first answer may come before the disk is laid out, and knows no place in it.
    page = visit(serve(Page(collection, hosts=LOOPBACK)))
    with page.expect_response(placed):
        page.evaluate("hash => { location.hash = hash }", f"like={id}")
    page.wait_for_selector(".disk-legend:not([hidden])")
    found = hits(page, 1)[2]
    page.locator(f".column:nth-of-type(2) [data-id='{found}']").hover()
    page.wait_for_selector(".disk-tip:not([hidden])")
    assert found in page.locator(".disk-tip").inner_text()
    assert set(page.locator(".hit.same").evaluate_all("all => all.map(hit => hit.dataset.id)")) == {found}
    page.locator("#k").hover()
    page.wait_for_selector(".disk-tip", state="hidden")
    page.locator("#by-id").press_sequentially("7")
    page.wait_for_selector("#by-id-words:has-text('lit in the disk')")
    classes = [row["class"] for row in collection.index.metadata(collection.index.ids)]
    lit = sum("7" in id or "7" in kind for id, kind in zip(collection.index.ids, classes, strict=True))
    assert f"{lit} items lit in the disk" in page.locator("#by-id-words").inner_text()


def test_a_link_brings_back_the_state(visit, server, collection):
    first, second = collection.index.ids[:2]
    where = quote(json.dumps({"class": ["5", "6"]}))
    page = visit(f"{server}/#like={first}&unlike={second}&k=4&weights=0,2&where={where}")
    mixture, ball = hits(page, 0), hits(page, 2)
    assert len(mixture) == 4 and mixture == ball
    assert {row["class"] for row in collection.index.metadata(mixture)} <= {"5", "6"}
    assert page.locator(".chip.more").count() == page.locator(".chip.less").count() == 1
    assert page.get_by_label("sphere", exact=True).input_value() == "0"
    page.reload()
    assert hits(page, 0) == mixture


def test_a_mistyped_link_shows_what_it_can(visit, server, collection):
    page = visit(f"{server}/#like={collection.index.ids[0]}&k=many&weights=1,x&where=%7Bclass&lens2=1")
    assert len(hits(page, 0)) == 10


def test_back_and_forward_walk_the_steps(visit, server, collection):
    one, two = collection.index.ids[:2]
    page = visit(f"{server}/#like={one}")
    first = hits(page, 0)
    page.locator("#by-id").press_sequentially(two)
    second = answered(page, lambda: page.get_by_role("option", name=two, exact=True).click())
    assert hits(page, 0) == neighbours(second)[0]
    assert answered(page, page.go_back) and hits(page, 0) == first
    assert answered(page, page.go_forward) and hits(page, 0) == neighbours(second)[0]
