"""For everyone: by keyboard alone, to a screen reader, at every width, in both themes."""

import pytest

from .conftest import answered, hits, neighbours

# Every element that shows text of its own, with its contrast to the ground behind it (WCAG 2.2, 1.4.3): those below 4.5.
CONTRAST = """() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const colour = (text) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = text;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = ([r, g, b]) => {
        const [x, y, z] = [r, g, b].map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const ground = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const own = colour(getComputedStyle(at).backgroundColor);
            if (own[3] === 255) return own;
        }
        return colour("white");
    };
    const low = [];
    for (const element of document.querySelectorAll("body *")) {
        const text = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join("");
        const off = element.matches(":disabled, :disabled *, .unseen, .unseen *, option") || element.closest("#disk");
        if (!text || off || !element.checkVisibility({ visibilityProperty: true })) continue;
        const [one, two] = [light(colour(getComputedStyle(element).color)), light(ground(element))].sort((a, b) => b - a);
        const contrast = (one + 0.05) / (two + 0.05);
        if (contrast < 4.5) low.push(`${element.className || element.tagName}: ${text.slice(0, 30)} ${contrast.toFixed(2)}`);
    }
    return low;
}"""

# What a screen reader could not name, and what the structure lacks.
STRUCTURE = """() => {
    const wrong = [];
    const named = (element) => element.ariaLabel || element.labels?.length || element.title
        || (element.getAttribute("aria-labelledby") && document.getElementById(element.getAttribute("aria-labelledby")))
        || element.textContent.trim() || element.querySelector?.("img[alt]:not([alt=''])");
    for (const element of document.querySelectorAll("button, input, select, a, dialog, section, [role=listbox], progress"))
        if (!named(element)) wrong.push(`without a name: ${element.outerHTML.slice(0, 90)}`);
    // The disk's tip says in words what its picture shows.
    for (const image of document.images)
        if (!image.hasAttribute("alt") || (!image.alt && !image.closest("#disk"))) wrong.push(`without alt: ${image.src}`);
    const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
    for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) wrong.push(`twice: ${id}`);
    for (const name of ["aria-controls", "aria-labelledby", "for"])
        for (const element of document.querySelectorAll(`[${name}]`)) {
            const named = document.getElementById(element.getAttribute(name));
            if (!named) wrong.push(`${name} to nothing: ${element.outerHTML.slice(0, 90)}`);
        }
    if (document.querySelectorAll("h1").length !== 1 || !document.querySelector("main") || !document.querySelector("header"))
        wrong.push("landmarks");
    const headings = [...document.querySelectorAll("h1, h2, h3, h4")].filter((heading) => heading.checkVisibility());
    const levels = headings.map((heading) => Number(heading.tagName[1]));
    levels.forEach((level, i) => i && level > levels[i - 1] + 1 && wrong.push(`heading ${i} skips a level`));
    return wrong;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_and_everything_has_a_name(visit, server, collection, scheme):
    one, two, three = collection.index.ids[:3]
    page = visit(server, color_scheme=scheme, reduced_motion="reduce")
    page.wait_for_selector(".offer img")
    assert not page.evaluate(CONTRAST) and not page.evaluate(STRUCTURE)
    page.evaluate("hash => { location.hash = hash; }", f"like={one}&like={two}&unlike={three}")
    hits(page, 0)
    page.locator("#filters summary").first.click()
    page.locator(".column:first-of-type .hit").first.hover()
    assert not page.evaluate(CONTRAST) and not page.evaluate(STRUCTURE)
    page.keyboard.press("?")
    page.wait_for_selector("#help[open]")
    assert not page.evaluate(CONTRAST) and not page.evaluate(STRUCTURE)
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == scheme


def test_a_chosen_theme_stays(visit, server):
    page = visit(server, color_scheme="light")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Dark").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark != paper
    assert not page.evaluate(CONTRAST)


def test_all_is_done_with_the_keyboard(visit, server, collection):
    page, id = visit(server), collection.index.ids[4]
    press = page.keyboard.press
    focused = "document.activeElement"
    press("Tab")
    assert page.evaluate(f"{focused}.id") == "skip"
    press("/")
    page.keyboard.type(id)
    page.wait_for_selector("#by-id-list [role=option]")
    press("ArrowDown")
    assert page.locator("#by-id").get_attribute("aria-activedescendant") == "by-id-0"
    answered(page, lambda: press("Enter"))
    first = hits(page, 0)
    assert "10 neighbours under mixture" in page.locator("#live").inner_text()
    page.locator("#skip").focus()
    press("Enter")
    assert page.evaluate(f"{focused}.id") == "results"
    for _ in range(12):
        press("Tab")
        outline = page.evaluate(f"getComputedStyle({focused}).outlineStyle")
        assert outline != "none", page.evaluate(f"{focused}.outerHTML")
        if page.evaluate(f"{focused}.classList.contains('hit-open')"):
            break
    press("ArrowDown")
    press("ArrowRight")
    assert page.evaluate(f"{focused}.closest('.hit').dataset.id") == hits(page, 1)[1]
    place = f"[...{focused}.closest('ol').children].indexOf({focused}.closest('.hit'))"

    def kept(button):
        hits(page, 0)
        assert page.evaluate(place) == 1 and page.evaluate(f"{focused}.classList[0]") == button

    answered(page, lambda: press("m"))
    assert page.locator(".chip.more").count() == 2
    kept("hit-open")
    page.locator(".column:nth-of-type(2) .hit .less").nth(1).focus()
    answered(page, lambda: press("Enter"))
    kept("less")
    for side, then in [("more", "chip-remove"), ("less", "quiet")]:
        page.locator(f".chip.{side} .chip-remove").first.focus()
        answered(page, lambda: press("Enter"))
        assert page.evaluate(f"{focused}.classList[0]") == then
    answered(page, lambda: page.evaluate("history.go(-4)"))
    assert hits(page, 0) == first
    page.locator(".column:nth-of-type(2) .hit-open").nth(1).focus()
    answered(page, lambda: press("Enter"))
    kept("hit-open")
    page.evaluate(
        "document.getElementById('columns').addEventListener('keydown', (event) => event.preventDefault(), { once: true })"
    )
    press("Escape")
    assert page.locator("#tray").is_visible()  # What has the focus took the key.
    answered(page, lambda: press("]"))
    page.wait_for_function("() => document.querySelectorAll('.column:first-of-type .hit').length === 11")
    answered(page, page.go_back)
    assert hits(page, 0) == first
    page.locator(".column:nth-of-type(2) .hit-open").nth(1).focus()
    press("Escape")
    page.wait_for_selector("#welcome:not([hidden])")
    assert page.evaluate(f"{focused}.id") == "results"
    press("?")
    assert page.locator("#help").is_visible()
    press("Escape")
    assert page.locator("#help").is_hidden()


def test_neighbours_that_move_arrive_in_their_order(visit, server, collection):
    page = visit(f"{server}/#like={collection.index.ids[0]}", reduced_motion="no-preference")
    hits(page, 0)
    answer = answered(page, lambda: page.locator(".column:first-of-type .more").nth(1).click())
    hits(page, 0)
    page.wait_for_function("() => document.getElementById('columns').getAnimations({ subtree: true }).length === 0")
    for column, ids in enumerate(neighbours(answer)):
        assert hits(page, column) == ids
        tops = "all => all.map(hit => hit.getBoundingClientRect().top)"
        tops = page.locator(f".column:nth-of-type({column + 1}) .hit").evaluate_all(tops)
        assert tops == sorted(tops) and len(set(tops)) == len(ids)


@pytest.mark.parametrize("width", [360, 1024, 1920])
def test_nothing_is_cut_off_and_nothing_jumps(visit, server, collection, width):
    watch = """window.shift = 0;
        new PerformanceObserver((list) => { for (const one of list.getEntries()) window.shift += one.value; })
            .observe({ type: "layout-shift", buffered: true });"""
    page = visit(f"{server}/#like={collection.index.ids[0]}", script=watch, viewport={"width": width, "height": 800})
    hits(page, 2)
    page.wait_for_timeout(400)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("window.shift") < 0.1
    columns = page.locator(".column").evaluate_all("all => all.map(one => one.getBoundingClientRect().top)")
    assert len(set(columns)) == 1
