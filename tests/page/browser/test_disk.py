"""The disk in a browser, on its own page with generated points."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from horosphere.insight.disk import unit_disk
from horosphere.page.assets import answer, read_assets

from ..conftest import serving
from .conftest import visiting

_CSP = {"Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:"}
_PAGE = """<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,"><link rel="stylesheet" href="/static/disk/view.css"><link rel="stylesheet" href="/own.css">
<div id="disk"></div><script type="module" src="/own.js"></script>"""
_STYLE = ":root { color-scheme: light dark } body { margin: 20px } #disk { width: 600px }"
_SCRIPT = """
import { Disk } from "/static/disk/view.js";
import * as mobius from "/static/disk/mobius.js";
const items = await (await fetch("/items")).json(), places = new Float32Array(await (await fetch("/points")).arrayBuffer());
const events = [], told = (name) => (id) => events.push([name, id]);
const thumbnailUrl = (id) => `/thumbnails?id=${encodeURIComponent(id)}`;
const disk = new Disk(document.getElementById("disk"), { thumbnailUrl, onPick: told("pick"), onHover: told("hover") });
disk.load(places, items);
addEventListener("keydown", (event) => events.push(["page's key", event.key]));
Object.assign(window, { disk, mobius, events, places, items });
document.body.dataset.ready = "1";
"""


def application(z: np.ndarray, fields: dict) -> Starlette:
    """A page of a disk of places z (n,) complex, items "0", "1", …, whose thumbnails are plain colours."""
    assets = read_assets()
    places = np.stack([z.real, z.imag], 1).astype("<f4").tobytes()
    items = json.dumps({"ids": [f"item {i}" for i in range(len(z))], "fields": fields})

    def thumbnail(request):
        number = int(request.query_params["id"].split()[1])
        if number % 10 == 9:
            return Response(status_code=404)
        buffer = io.BytesIO()
        Image.new("RGB", (32, 32), (255 * (number % 2), 90, 160)).save(buffer, "PNG")
        return Response(buffer.getvalue(), media_type="image/png")

    def static(request):
        return answer(assets.get(request.path_params["name"]), request)

    routes = [
        Route("/", lambda request: HTMLResponse(_PAGE, headers=_CSP)),
        Route("/own.js", lambda request: Response(_SCRIPT, media_type="text/javascript")),
        Route("/own.css", lambda request: Response(_STYLE, media_type="text/css")),
        Route("/items", lambda request: Response(items, media_type="application/json")),
        Route("/points", lambda request: Response(places, media_type="application/octet-stream")),
        Route("/thumbnails", thumbnail),
        Route("/static/{name:path}", static),
    ]
    return Starlette(routes=routes)


def spread(count: int, seed: int = 0) -> np.ndarray:
    """Places in eight groups, out to where float32 has few digits left."""
    rng = np.random.default_rng(seed)
    centres = unit_disk.of_tangents(rng.uniform(0.5, 6, 8) * np.exp(2j * np.pi * rng.uniform(size=8)))
    noise = 0.5 * (rng.normal(size=count) + 1j * rng.normal(size=count))
    return unit_disk.step(centres[np.arange(count) % 8], noise)


def fields_of(count: int) -> dict:
    kinds = {"values": [f"kind_{i}" for i in range(8)], "codes": [i % 8 for i in range(count)]}
    years = {"values": [1980 + i for i in range(40)], "codes": [i % 41 - 1 for i in range(count)]}
    letters = {"values": list("abcdefghijkl"), "codes": [i % 12 for i in range(count)]}
    return {"class": kinds, "year": years, "letter": letters}


@pytest.fixture(scope="module")
def small():
    with serving(application(spread(600), fields_of(600))) as address:
        yield address


@pytest.fixture(scope="module")
def opened(chromium, small):
    with visiting(chromium) as visit:
        yield visit(small, ready="body[data-ready]", expected=["404"])


@pytest.fixture
def page(opened):
    """The disk of 600 points as it is at the start."""
    opened.mouse.move(1, 1)
    opened.evaluate("""() => {
        if (disk.plain) document.querySelector("[aria-label^='Show images']").click();
        document.activeElement.blur();
        delete document.documentElement.dataset.theme;
        disk.load(places, items);
        events.length = 0;
    }""")
    settled(opened)
    return opened


def settled(page) -> None:
    """Wait until nothing moves and all is drawn."""
    page.evaluate("""async () => {
        while (disk.moving || !disk.camera.still || disk.scheduled) await new Promise((done) => setTimeout(done, 20));
    }""")


def corner(page) -> tuple[float, float]:
    box = page.query_selector(".disk-stage").bounding_box()
    return box["x"], box["y"]


def at(page, index: int) -> tuple[float, float]:
    """The pixel of a point in the window."""
    (x, y), (left, top) = page.evaluate("(index) => disk.onScreen(disk.items.place(index))", index), corner(page)
    return left + x, top + y


def middle_index(page, low: float = 0.2, high: float = 0.6) -> int:
    """A point that is seen neither in the middle nor at the rim, with no other beside it, and that has an image."""
    return page.evaluate(
        """([low, high]) => {
            const { isometry } = disk.camera;
            const seen = disk.items.ids.map((_, index) => mobius.apply(isometry, disk.items.place(index)));
            return seen.findIndex(([x, y], index) => {
                const length = Math.hypot(x, y), others = seen.filter(([u, v]) => Math.hypot(u - x, v - y) < 0.04);
                return length > low && length < high && others.length === 1 && !disk.items.ids[index].endsWith("9");
            });
        }""",
        [low, high],
    )


def pixels(page) -> np.ndarray:
    """What WebGL has just drawn: (h, w, 4) uint8."""
    side, text = page.evaluate("""() => {
        const { gl, canvas } = disk.picture.points, out = new Uint8Array(4 * canvas.width * canvas.height);
        disk.picture.draw(disk);
        gl.readPixels(0, 0, canvas.width, canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, out);
        let text = "";
        for (let i = 0; i < out.length; i += 30000) text += String.fromCharCode(...out.subarray(i, i + 30000));
        return [canvas.height, btoa(text)];
    }""")
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(side, -1, 4)[::-1]


def test_isometries_are_those_of_python(page):
    rng = np.random.default_rng(0)
    z = unit_disk.of_tangents(rng.normal(size=(20, 3)) * 2 + 1j * rng.normal(size=(20, 3)) * 2)
    places = [[[w.real, w.imag] for w in row] for row in z]
    found = page.evaluate(
        """(rows) => rows.map(([a, b, c]) => {
            const to = mobius.toCentre(a), carry = mobius.carry(a, b), both = mobius.compose(carry, to);
            const { a: centre, r, room } = mobius.parts(carry);
            const bend = mobius.geodesic(a, b), ring = mobius.circle(a, 0.7);
            return {
                to: mobius.apply(to, c), carried: mobius.apply(carry, a), both: mobius.apply(both, c),
                steps: mobius.apply(carry, mobius.apply(to, c)),
                back: mobius.apply(mobius.invert(both), mobius.apply(both, c)),
                ends: [0, 1].map((share) => mobius.apply(mobius.between(to, carry, share), c)),
                way: [0.25, 0.5, 1].map((share) => mobius.distance([0, 0],
                    mobius.apply(mobius.between(mobius.identity, to, share), [0, 0]))),
                kept: mobius.distance(mobius.apply(both, b), mobius.apply(both, c)), length: mobius.distance(b, c),
                parts: [centre, r, room], bend: [bend.centre, bend.radius], ring: [ring.centre, ring.radius],
            };
        })""",
        places,
    )

    def number(pair):
        return complex(*pair)

    for (a, b, c), own in zip(z, found, strict=True):
        assert number(own["to"]) == pytest.approx(unit_disk.recentre(c, a), abs=1e-9)
        assert number(own["carried"]) == pytest.approx(b, abs=1e-9)
        assert number(own["both"]) == pytest.approx(number(own["steps"]), abs=1e-7)
        assert number(own["back"]) == pytest.approx(c, abs=1e-7)
        assert number(own["ends"][0]) == pytest.approx(number(own["to"]), abs=1e-7)
        assert number(own["ends"][1]) == pytest.approx(unit_disk.recentre(unit_disk.recentre(c, a), -b), abs=1e-7)
        assert own["way"] == pytest.approx([own["way"][2] * share for share in (0.25, 0.5, 1)])
        assert own["length"] == pytest.approx(unit_disk.distance(b, c), rel=1e-7)
        assert own["kept"] == pytest.approx(own["length"], rel=1e-5)
        centre, turn, room = number(own["parts"][0]), number(own["parts"][1]), own["parts"][2]
        assert abs(turn) == pytest.approx(1) and room == pytest.approx(1 - abs(centre) ** 2, rel=1e-6)
        # A geodesic's circle meets the unit circle at right angles, and goes through all its points.
        bend, radius = number(own["bend"][0]), own["bend"][1]
        assert abs(bend) ** 2 == pytest.approx(1 + radius**2, rel=1e-6)
        assert np.abs(unit_disk.arc(np.array([a]), np.array([b]))[0] - bend) == pytest.approx(radius, rel=1e-4)
        around = unit_disk.step(np.full(8, a), 0.7 * np.exp(2j * np.pi * np.arange(8) / 8))
        assert np.abs(around - number(own["ring"][0])) == pytest.approx(own["ring"][1], rel=1e-6)


def test_the_grabbed_point_follows_the_pointer_and_distances_are_kept(page):
    pairs = "[[1, 2], [5, 90], [200, 33]]"
    measure = f"""() => {pairs}.map(([i, j]) => mobius.distance(
        mobius.apply(disk.camera.isometry, disk.items.place(i)), mobius.apply(disk.camera.isometry, disk.items.place(j))))"""
    before, index = page.evaluate(measure), middle_index(page)
    x, y = at(page, index)
    page.mouse.move(x, y)
    page.mouse.down()
    for dx, dy in [(20, -10), (60, 40), (-90, 70), (-140, -60)]:
        page.mouse.move(x + dx, y + dy)
        assert at(page, index) == pytest.approx((x + dx, y + dy), abs=0.01)
    # Beyond the rim the point waits at it.
    page.mouse.move(x + 2000, y)
    assert page.evaluate("(i) => Math.hypot(...mobius.apply(disk.camera.isometry, disk.items.place(i)))", index) < 0.99
    page.mouse.move(x - 50, y)
    assert at(page, index) == pytest.approx((x - 50, y), abs=0.01)
    page.mouse.up()
    settled(page)
    assert page.evaluate(measure) == pytest.approx(before, rel=1e-4)
    assert page.evaluate("events.filter(([name]) => name === 'pick')") == []
    page.focus(".disk-stage")
    page.keyboard.press("r")
    settled(page)
    assert at(page, index) == pytest.approx((x, y), abs=0.01)


def test_no_move_loses_the_view(page):
    look = """() => {
        const { px, py, qx, qy } = disk.camera.isometry;
        return [px * px + py * py - qx * qx - qy * qy, 2 * Math.asinh(Math.hypot(qx, qy)), disk.camera.reach];
    }"""
    farthest = page.evaluate("() => Math.max(...disk.items.ids.map((_, i) => mobius.distance([0, 0], disk.items.place(i))))")
    page.focus(".disk-stage")
    for _ in range(60):
        page.keyboard.press("Shift+ArrowRight")
    size, away, reach = page.evaluate(look)
    assert size == pytest.approx(1, abs=1e-6) and away == pytest.approx(reach) and farthest < reach < farthest + 4
    page.evaluate("""() => {
        const { camera } = disk;
        for (let i = 0; i < 40; i += 1) camera.set(camera.carried(camera.isometry, [-0.9, 0.05], [0.9, -0.02]));
    }""")
    size, away, _ = page.evaluate(look)
    assert size == pytest.approx(1, abs=1e-6) and away == pytest.approx(reach)
    page.keyboard.press("r")
    assert page.evaluate(look)[1] == 0


def test_the_time_of_a_frame_is_not_the_pace_of_the_hand(page):
    count = "() => disk.frames.intervals.length"
    left, top = corner(page)
    page.mouse.move(left + 300, top + 300)
    before = page.evaluate(count)
    for _ in range(5):
        page.mouse.wheel(0, -20)
        page.wait_for_timeout(60)
    assert page.evaluate("() => disk.camera.scale") > 1 and page.evaluate(count) == before
    page.mouse.down()
    for i in range(3):
        page.mouse.move(left + 320 + i, top + 300)
    page.wait_for_function(f"before => ({count})() > before", arg=before)
    page.mouse.up()
    assert "ms a frame" in page.locator(".disk-readout").inner_text()


def test_keys_of_the_disk_are_not_the_pages(page):
    page.evaluate("() => disk.focus('item 3')")
    page.focus(".disk-stage")
    for key in ("Escape", "+", "Tab", "c", "Escape"):
        page.keyboard.press(key)
    assert page.evaluate("() => document.activeElement.className") == "disk-stage"
    assert page.evaluate('events.filter(([name]) => name === "page\'s key").map(([, key]) => key)') == ["Tab"]
    page.evaluate("() => disk.look(null)")
    page.keyboard.press("Escape")  # nothing here to leave
    assert page.evaluate("events.at(-1)") == ["page's key", "Escape"]


def test_the_list_can_be_clicked_and_scrolled(page):
    page.focus(".disk-list")
    third = page.get_by_role("option").nth(2)
    name, view = third.inner_text().split(",")[0], page.evaluate("() => [disk.camera.isometry, disk.camera.scale]")
    third.hover()
    page.mouse.wheel(0, 40)
    page.wait_for_function("() => document.querySelector('.disk-list').scrollTop > 0")
    third.click()
    assert page.evaluate("events.filter(([name]) => name === 'pick')") == [["pick", name]]
    assert page.evaluate("() => [disk.camera.isometry, disk.camera.scale]") == view


def test_images_of_what_is_not_found_are_pale(page):
    page.evaluate("() => disk.showQuery([0, 0], ['item 5', 'item 13', 'item 21'])")
    settled(page)
    page.evaluate("""async () => {
        while (disk.images.flying || disk.images.wanted.length) await new Promise((done) => setTimeout(done, 20));
    }""")
    alpha = """() => {
        const { index, side } = disk.thumbnails.at(-1), [x, y] = disk.onScreen(disk.items.place(index));
        return disk.picture.top.getImageData(x + side / 4, y + side / 4, 1, 1).data[3];
    }"""
    shown = []
    for text in ("", "kind 3", "kind 5"):
        page.evaluate("(text) => disk.find(text)", text)
        settled(page)
        shown.append(page.evaluate(alpha))
    assert shown[0] == shown[2] == 255 and shown[1] < 128


def test_a_finger_that_scrolls_passes_over_the_disk(visit, small):
    phone = {"viewport": {"width": 390, "height": 500}, "has_touch": True, "is_mobile": True}
    page = visit(small, ready="body[data-ready]", expected=["404"], **phone)
    assert page.locator(".disk-hint").is_visible()
    page.evaluate("() => { disk.container.style.width = '350px'; document.body.style.paddingBottom = '900px'; }")
    page.wait_for_function("() => disk.box.width === 350")
    settled(page)
    send, view = page.context.new_cdp_session(page).send, "() => disk.camera.isometry"
    start = page.evaluate(view)

    def touch(kind, *places):
        send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]},
        )

    touch("touchStart", (200, 300))
    for y in range(290, 100, -20):
        touch("touchMove", (200, y))
    touch("touchEnd")
    page.wait_for_function("() => scrollY > 50")
    assert page.evaluate(view) == start
    # The page scrolls on for a while; what follows starts where it has come to rest, at the top.
    page.evaluate("""async () => {
        for (let since = performance.now(); performance.now() - since < 300; await new Promise(requestAnimationFrame)) {
            if (scrollY) since = performance.now();
            scrollTo(0, 0);
        }
    }""")
    # Two fingers are the disk's, and so is one that starts sideways.
    touch("touchStart", (150, 200), (250, 200))
    for y in range(190, 120, -10):
        touch("touchMove", (150, y), (250, y))
    touch("touchEnd")
    settled(page)
    second = page.evaluate(view)
    assert second != start
    touch("touchStart", (150, 200))
    for x in range(160, 260, 10):
        touch("touchMove", (x, 200))
    touch("touchEnd")
    settled(page)
    assert page.evaluate(view) != second
    assert page.evaluate("() => scrollY") == 0


def test_every_point_is_drawn_where_it_is_and_in_its_colour(page):
    page.evaluate("() => disk.colourBy('class')")
    settled(page)
    for place in ([0, 0], page.evaluate("disk.items.place(17)")):
        page.evaluate("(place) => disk.camera.set(disk.camera.centred(place), place[0] ? 2 : 1)", place)
        settled(page)
        image, seen = (
            pixels(page),
            page.evaluate("""() => [...disk.items.ids.keys()].map((index) => {
            const [x, y] = disk.onScreen(disk.items.place(index)), { ratio } = disk.picture;
            return [index, x * ratio, y * ratio, disk.scheme.colour(disk.items.fields.class.codes[index])];
        })"""),
        )
        inside = [one for one in seen if 2 < one[1] < image.shape[1] - 2 and 2 < one[2] < image.shape[0] - 2]
        assert len(inside) > 20
        # Where no other point is near, the pixel has the point's own colour.
        alone = [one for one in inside if all(abs(one[1] - o[1]) + abs(one[2] - o[2]) > 40 for o in seen if o is not one)]
        for _, x, y, colour in alone[:20]:
            red, green, blue, alpha = image[int(y), int(x)].astype(float)
            assert alpha > 180 and np.abs(np.array([red, green, blue]) / alpha * 255 - colour).max() < 12
        assert all(image[int(y), int(x), 3] > 60 for _, x, y, _ in inside)
    assert alone


def test_zooming_holds_what_is_under_the_pointer_and_shows_images(page):
    (left, top), index = corner(page), middle_index(page)
    x, y = map(round, at(page, index))
    page.mouse.move(x, y)
    own = [x - left, y - top]
    under = page.evaluate("(at) => mobius.apply(mobius.invert(disk.camera.isometry), disk.seen(at))", own)
    for _ in range(12):
        page.mouse.wheel(0, -120)
        assert page.evaluate("(place) => disk.onScreen(place)", under) == pytest.approx(own, abs=0.01)
    settled(page)
    assert page.evaluate("disk.camera.scale") > 3
    shown = page.evaluate("""async () => {
        while (disk.images.flying || disk.images.wanted.length) await new Promise((done) => setTimeout(done, 20));
        return disk.thumbnails.map(({ index, side }) => [disk.items.ids[index],
            ...disk.onScreen(disk.items.place(index)), side, disk.images.get(disk.items.ids[index]) === null]);
    }""")
    assert len(shown) > 3 and all(missing == (int(id.split()[1]) % 10 == 9) for id, *_, missing in shown)
    for i, (_, ax, ay, a, _) in enumerate(shown):
        for _, bx, by, b, _ in shown[:i]:
            assert max(abs(ax - bx), abs(ay - by)) >= (a + b) / 2
    page.get_by_label("Show images").click()
    assert page.evaluate("disk.thumbnails.length") == 0
    # Out again, and no further than the whole disk; then the wheel is the page's.
    page.mouse.move(x, y)
    for _ in range(30):
        page.mouse.wheel(0, 240)
    settled(page)
    assert page.evaluate("disk.camera.scale") == 1


def test_a_point_is_named_picked_and_brought_to_the_centre(page):
    index = middle_index(page)
    page.get_by_label("Show images").click()
    x, y = at(page, index)
    page.mouse.move(x + 2, y - 1)
    name = page.evaluate("(i) => disk.items.ids[i]", index)
    tip = page.locator(".disk-tip")
    tip.wait_for(state="visible")
    assert name in tip.inner_text() and "class kind" in tip.inner_text()
    page.locator(".disk-tip img").wait_for()
    assert page.evaluate("events.at(-1)") == ["hover", name]
    page.mouse.click(x, y)
    page.wait_for_function("() => events.some(([name]) => name === 'pick')")
    assert page.evaluate("events.filter(([name]) => name === 'pick')") == [["pick", name]]
    page.mouse.dblclick(x, y)
    settled(page)
    assert page.evaluate("(i) => Math.hypot(...mobius.apply(disk.camera.isometry, disk.items.place(i)))", index) < 1e-6
    page.wait_for_timeout(400)
    assert len(page.evaluate("events.filter(([name]) => name === 'pick')")) == 1  # no second one
    page.mouse.move(1, 1)
    settled(page)
    assert tip.is_hidden() and page.evaluate("events.at(-1)") == ["hover", None]


def test_the_nearest_is_found_as_by_brute_force(page):
    wrong = page.evaluate("""async () => {
        const { nearestTo, aroundCentre } = await import("/static/disk/nearest.js");
        let wrong = 0;
        for (let i = 0; i < 60; i += 1) {
            const isometry = mobius.carry(disk.items.place(i), [0.3 * Math.sin(i), 0.5 * Math.cos(3 * i)]);
            const seen = [...disk.items.ids.keys()].map((index) => mobius.apply(isometry, disk.items.place(index)));
            const at = [0.9 * Math.sin(7 * i), 0.9 * Math.cos(5 * i) * Math.cos(7 * i)], reach = 0.02 * (1 + i % 9);
            const far = seen.map(([x, y]) => Math.hypot(x - at[0], y - at[1]));
            const nearest = far.indexOf(Math.min(...far));
            if (nearestTo(disk.items.places, isometry, at, reach) !== (far[nearest] < reach ? nearest : -1)) wrong += 1;
            const width = 0.1 + 0.01 * i, inside = seen.map(([x, y], index) => ({ index, length: Math.hypot(x, y), x, y }))
                .filter(({ x, y }) => Math.abs(x) <= width && Math.abs(y) <= 0.4).sort((a, b) => a.length - b.length);
            const { found, count } = aroundCentre(disk.items.places, isometry, width, 0.4, 20);
            if (count !== inside.length || found.length < Math.min(20, count)) wrong += 1;
            const off = inside.slice(0, 20).map(({ length }, k) => length - Math.hypot(found[k].x, found[k].y));
            if (off.some((value) => Math.abs(value) > 1e-6)) wrong += 1;
        }
        return wrong;
    }""")
    assert wrong == 0


def test_colours_words_and_numbers(page):
    assert page.locator(".disk-legend").is_hidden()
    page.evaluate("() => disk.colourBy('class')")
    keys = page.locator(".disk-key")
    assert keys.count() == 8 and keys.first.inner_text().split() == ["●", "kind", "0"]
    assert len({keys.nth(i).locator(".disk-mark").evaluate("(mark) => mark.style.color") for i in range(8)}) == 8
    keys.nth(3).click()
    page.mouse.move(1, 1)
    settled(page)
    assert keys.nth(3).get_attribute("aria-pressed") == "true"
    stand = page.evaluate("() => [...disk.picture.points.palette].filter((_, i) => i % 4 === 3).slice(0, 8)")
    assert [value >= 4 for value in stand] == [i != 3 for i in range(8)]
    page.evaluate("() => disk.colourBy('year')")
    assert keys.count() == 0 and page.locator(".disk-scale").inner_text().split() == ["1980", "2019"]
    light = page.evaluate("() => disk.colours.ink")
    page.evaluate("() => { document.documentElement.dataset.theme = 'dark'; }")
    page.wait_for_function("light => disk.colours.dark && disk.colours.ink !== light", arg=light)


def test_what_is_found_stands_out(page):
    assert page.evaluate("() => disk.find('KIND 3')") == 75
    assert page.evaluate("() => disk.picture.points.found.reduce((a, b) => a + b)") == 75
    settled(page)
    colours = pixels(page)
    assert page.evaluate("() => disk.find('item 599')") == 1
    settled(page)
    seen = page.evaluate(
        "() => Math.hypot(...mobius.apply(disk.camera.isometry, disk.items.place(disk.items.row.get('item 599'))))"
    )
    assert seen < 1e-6
    assert page.evaluate("() => disk.find('nothing like it')") == 0 and page.evaluate("() => disk.find('')") == 0
    page.keyboard.press("Tab")
    assert (pixels(page)[..., 3] > 150).sum() != (colours[..., 3] > 150).sum()


def test_the_query_is_shown_with_its_neighbours(page):
    ids = ["item 5", "item 13", "gone", "item 21"]
    page.evaluate("(ids) => disk.showQuery([0.99, 0.02], ids)", ids)
    settled(page)
    # It came from the rim to the centre, with lines to those that are there.
    assert page.evaluate("() => Math.hypot(...mobius.apply(disk.camera.isometry, disk.query))") < 1e-6
    assert page.evaluate("() => disk.neighbours.map((i) => disk.items.ids[i])") == ["item 5", "item 13", "item 21"]
    drawn = """() => {
        const { top } = disk.picture;
        return top.getImageData(0, 0, top.canvas.width, top.canvas.height).data.some((value) => value);
    }"""
    page.get_by_label("Show images").click()
    settled(page)
    assert page.evaluate(drawn)
    state = "() => [disk.looked, disk.hovered, disk.query, disk.thumbnails.length, disk.moving, disk.scheduled]"
    page.evaluate("() => disk.showQuery(null, [])")
    settled(page)
    assert not page.evaluate(drawn), page.evaluate(state)
    page.evaluate("() => disk.focus('item 5')")
    settled(page)
    assert page.evaluate(drawn)
    page.evaluate("() => disk.focus(null)")
    settled(page)
    assert not page.evaluate(drawn), page.evaluate(state)


def test_everything_works_by_keys(page):
    page.focus(".disk-stage")
    start = page.evaluate("() => disk.camera.isometry")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("+")
    settled(page)
    assert page.evaluate("() => disk.camera.isometry") != start and page.evaluate("() => disk.camera.scale") == 1.5
    x, y = page.evaluate("() => mobius.apply(disk.camera.isometry, [0, 0])")
    assert x > 0.1 and y == pytest.approx(0)
    page.keyboard.press("Enter")
    settled(page)
    nearest = page.evaluate("() => disk.looked")
    assert page.evaluate("(i) => Math.hypot(...mobius.apply(disk.camera.isometry, disk.items.place(i)))", nearest) < 1e-6
    page.keyboard.press("Tab")
    options = page.get_by_role("option")
    assert page.evaluate("() => document.activeElement.getAttribute('role')") == "listbox"
    assert options.count() == 20 and page.evaluate("(i) => disk.items.ids[i]", nearest) in options.first.inner_text()
    page.keyboard.press("ArrowDown")
    assert options.nth(1).get_attribute("aria-selected") == "true"
    second = options.nth(1).inner_text()
    page.keyboard.press("Enter")
    kind, id = page.evaluate("() => events.at(-1)")
    assert kind == "pick" and second.startswith(id + ",")
    page.keyboard.press("c")
    settled(page)
    assert options.first.inner_text() == second
    assert "600 items" in page.locator(".disk-stage").get_attribute("aria-label")


def test_motion_is_smooth_unless_it_is_not_wanted(visit, small):
    moving = visit(small, ready="body[data-ready]", expected=["404"], reduced_motion="no-preference")
    assert moving.evaluate("() => { disk.centre(3); return disk.camera.still; }") is False
    settled(moving)
    still = visit(small, ready="body[data-ready]", expected=["404"], reduced_motion="reduce")
    assert still.evaluate("() => { disk.centre(3); return disk.camera.still; }") is True
    for page in (moving, still):
        assert page.evaluate("() => Math.hypot(...mobius.apply(disk.camera.isometry, disk.items.place(3)))") < 1e-6


def test_size_pixel_ratio_and_a_lost_context(visit, small):
    page = visit(small, ready="body[data-ready]", expected=["404", "CONTEXT_LOST"], device_scale_factor=2)
    page.evaluate("() => disk.colourBy('class')")
    settled(page)
    assert page.evaluate("() => disk.picture.layers.map(({ width, height }) => [width, height])") == [[1200, 1200]] * 3
    page.evaluate("() => { document.getElementById('disk').style.width = '300px'; }")
    page.wait_for_function("() => disk.picture.layers.every(({ width }) => width === 600)")
    settled(page)
    before = pixels(page)
    page.evaluate("""async () => {
        const { gl, canvas } = disk.picture.points, loss = gl.getExtension("WEBGL_lose_context");
        const told = (name) => new Promise((done) => canvas.addEventListener(name, done, { once: true }));
        const lost = told("webglcontextlost"), restored = told("webglcontextrestored");
        loss.loseContext();
        await lost;
        disk.camera.set(disk.camera.isometry);
        await new Promise((done) => setTimeout(done, 60));
        loss.restoreContext();
        await restored;
    }""")
    settled(page)
    assert (pixels(page) == before).mean() > 0.999 and before[..., 3].any()


def test_without_webgl_there_is_a_list(visit, small):
    script = """HTMLCanvasElement.prototype.getContext = new Proxy(HTMLCanvasElement.prototype.getContext, {
        apply: (real, canvas, [kind, ...rest]) => (kind === "webgl2" ? null : Reflect.apply(real, canvas, [kind, ...rest])),
    });"""
    page = visit(small, ready="body[data-ready]", script=script)
    assert "WebGL2" in page.locator(".disk-message").inner_text()
    options, stage = page.get_by_role("option"), page.locator(".disk-stage")
    options.first.click()
    assert page.evaluate("() => events.at(-1)[0]") == "pick"
    assert stage.get_attribute("role") is stage.get_attribute("tabindex") is stage.get_attribute("aria-label") is None
    page.evaluate("() => { disk.colourBy('class'); disk.focus('item 3'); }")
    assert page.locator(".disk-legend, .disk-tools, .disk-hint").locator("visible=true").count() == 0
    # A query's neighbours, wherever it lies; then those around one of them.
    page.evaluate("() => disk.showQuery([0.98, 0], ['item 3', 'item 100'])")
    assert [text.split(",")[0] for text in options.all_inner_texts()] == ["item 3", "item 100"]
    assert "query's neighbours" in page.locator(".disk-message").inner_text()
    page.focus(".disk-list")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("c")
    page.wait_for_function("() => document.querySelectorAll('[role=option]').length === 20")
    assert options.first.inner_text().startswith("item 100,")
    assert page.evaluate("() => disk.find('item 599')") == 1
    page.wait_for_function("() => document.querySelector('[role=option]').textContent.startsWith('item 599,')")


@pytest.mark.parametrize("z", [[], [0j], [0.5j, 0.5j], [1 - 2**-20 + 0j, -1 + 2**-20 + 0j, 0j]], ids=len)
def test_few_points_and_points_at_the_rim(visit, serve, z):
    z = np.array(z, complex)
    page = visit(serve(application(z, {})), ready="body[data-ready]")
    page.evaluate("() => { if (disk.items.ids.length) disk.centre(0); disk.colourBy('class'); }")
    page.focus(".disk-stage")
    for key in ("Enter", "+", "ArrowUp", "r"):
        page.keyboard.press(key)
    settled(page)
    assert page.evaluate("() => disk.count") == len(z)


def test_a_hundred_thousand_points(visit, serve):
    count = 100_000
    page = visit(serve(application(spread(count), fields_of(count))), ready="body[data-ready]")
    page.evaluate("() => disk.colourBy('class')")
    settled(page)
    left, top = corner(page)
    page.mouse.move(left + 300, top + 300)
    page.mouse.down()
    for i in range(10):
        page.mouse.move(left + 300 + 12 * i, top + 300 - 6 * i)
        page.wait_for_timeout(16)
    page.wait_for_function("() => disk.frames.summary().frames > 1")
    page.mouse.up()
    settled(page)
    times = page.evaluate("() => disk.frames.summary()")
    print(f"100,000 points, drawn in software: {times}")
    assert page.evaluate("() => disk.count") == count
    assert page.evaluate("() => disk.frames.drawn(disk.items.ids.length)") >= 20_000
    # So small, points have no shapes, and the legend says so.
    page.evaluate("() => disk.colourBy('letter')")
    alike = page.locator(".disk-alike")
    assert "8 colours" in alike.inner_text()
    page.evaluate("() => disk.camera.set(disk.camera.isometry, 30)")
    alike.wait_for(state="hidden")
