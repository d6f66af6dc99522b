"""A class's term on a whole machine, as its teacher goes through it in Chromium, without a shell.

One machine serves the whole file: later tests find what earlier ones did. Where a test looks at the
machine itself, it only looks.
"""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pypdfium2
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.integration.browser import Visitor, chromium, screenshots
from tests.integration.images import Debian
from tests.integration.installed import installed_image
from tests.integration.lab import SLOW_MS, Lab
from tests.integration.pages import Person
from tests.integration.preloaded import Preloaded, open_native

pytestmark = [pytest.mark.machine, pytest.mark.browser]

STUDENTS = 41
"""Forty come as programs, and one in a browser."""
BASE = "http://127.0.0.1"
TITLE = "Physics 7a"
PAPER_POINTS = {"letter": (612, 792), "a4": (595, 842)}
BOTS_PASSWORD = "seven copper kettles"
FIRST_NAMES = ("Ada", "Änne", "Björn", "Chloé", "Émile", "Françoise", "Grzegorz", "Iñigo")
LAST_NAMES = ("Müller", "Ørsted", "O'Neill", "García Márquez", "Großmann", "Åström")


@dataclass
class Term:
    """The machine, who sits before a browser, and what is on the log-in cards."""

    room: Preloaded
    admin: Visitor
    teacher: Visitor
    student: Visitor
    cards: dict[str, str] = field(default_factory=dict)
    by_hand: str = ""

    def person(self, visitor: Visitor, name: str) -> Person:
        return Person(visitor.page, BASE, name, lambda _, shot: visitor.screenshot(shot))

    def class_page(self, below: str = "") -> Page:
        self.teacher.page.goto(f"/hub/classes/physics-7a{below}")
        return self.teacher.page

    def row(self, name: str) -> Locator:
        return self.teacher.page.locator(f'tr[data-user="{name}"]')


@pytest.fixture(scope="module")
def term() -> Iterator[Term]:
    with ExitStack() as stack:
        room = stack.enter_context(open_native(Debian.BOOKWORM))
        browser = stack.enter_context(chromium(BASE, network=room.machine.network))
        admin, teacher, student = (
            stack.enter_context(browser.visit(name)) for name in ("admin", "teacher", "student")
        )
        yield Term(room, admin, teacher, student)


def first_log_in(visitor: Visitor, name: str, password: str, new: str) -> None:
    """Come in with the password of a card, and choose another."""
    page = visitor.page
    page.goto(f"/hub/login?username={name}")
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Log in", exact=True).click()
    page.wait_for_url(re.compile("/hub/password"))
    visitor.screenshot("choose-a-password")
    page.get_by_label("New password", exact=True).fill(new)
    page.get_by_role("button", name="Use this password").click()
    page.wait_for_url(lambda url: "/hub/password" not in url, timeout=SLOW_MS)


def read_cards(page: Page) -> dict[str, str]:
    """The passwords by user name, from the file that the page of cards offers."""
    with page.expect_download() as download:
        page.get_by_role("link", name="As a CSV file").click()
    rows = list(csv.reader(io.StringIO(download.value.path().read_text("utf-8-sig"))))
    user, password = (
        next(at for at, title in enumerate(rows[0]) if title.lower() == wanted)
        for wanted in ("user name", "password")
    )
    return {row[user]: row[password] for row in rows[1:] if row}


def test_admin_makes_a_class_and_its_teacher(term: Term) -> None:
    page = term.admin.page
    page.goto(installed_image(Debian.BOOKWORM).setup_link(BASE))
    page.get_by_label("New password", exact=True).fill("engine of 1843 analytical")
    page.get_by_role("button", name="Save the password and log in").click()
    page.get_by_role("link", name="Classes").first.click()
    term.admin.screenshot("no-classes-yet")
    page.get_by_role("link", name="New class").first.click()
    page.get_by_label("Title").fill(TITLE)
    page.get_by_label(re.compile("Teacher.s user name")).fill("curie")
    page.get_by_role("button", name="Make the class").click()
    page.get_by_role("link", name="As a CSV file").wait_for()
    term.admin.screenshot("the-teachers-card")
    term.cards |= read_cards(page)
    first_log_in(term.teacher, "curie", term.cards["curie"], "radium and polonium 1898")
    term.teacher.page.goto("/hub/classes")
    expect(term.teacher.page.get_by_role("link", name=TITLE).first).to_be_visible()


def test_teacher_imports_forty_students_and_prints_their_cards(term: Term) -> None:
    lines = ["Nachname;Vorname"]
    for number in range(STUDENTS):
        first = FIRST_NAMES[number % len(FIRST_NAMES)]
        lines.append(f"{LAST_NAMES[number // len(FIRST_NAMES) % len(LAST_NAMES)]};{first}")
    page = term.class_page("/roster")
    term.teacher.screenshot("empty-class")
    # As Excel saves it in Germany.
    file = "\r\n".join([*lines, ""]).encode("cp1252")
    page.locator('input[type="file"]').set_input_files(
        {"name": "7a.csv", "mimeType": "text/csv", "buffer": file}
    )
    page.get_by_role("button", name="Look at the list").click()
    make = page.get_by_role("button", name=f"Add {STUDENTS} people")
    make.wait_for()
    term.teacher.screenshot("list-looked-at")
    make.click()
    page.get_by_role("link", name="As a CSV file").wait_for(timeout=SLOW_MS)
    term.teacher.screenshot("cards")
    students = read_cards(page)
    assert len(students) == STUDENTS
    term.cards |= students
    sheet = page.url.partition("?")[0]
    for paper, size in PAPER_POINTS.items():
        # The first is what is there when the page comes, with its note.
        if paper != page.locator("#paper").input_value():
            page.goto(f"{sheet}?paper={paper}")
        path = screenshots() / f"cards-{paper}.pdf"
        page.pdf(path=path, prefer_css_page_size=True)
        with pypdfium2.PdfDocument(path) as document:
            assert len(document) == -(-STUDENTS // 10)
            assert document.get_page_size(0) == pytest.approx(size, abs=1)
    term.by_hand = min(students)


def test_forty_log_in_at_once_and_one_by_hand(term: Term) -> None:
    bots = [
        {"name": name, "password": password}
        for name, password in term.cards.items()
        if name not in {"curie", term.by_hand}
    ]
    said = term.room.machine.execute(
        f"/opt/appliance/user/bin/python /opt/inside/class_bots.py {BASE} '{BOTS_PASSWORD}'",
        stdin=json.dumps(bots), timeout=400,
    )  # fmt: skip
    assert json.loads(said) == {bot["name"]: "42" for bot in bots}

    first_log_in(term.student, term.by_hand, term.cards[term.by_hand], "nine amber lanterns")
    student = term.person(term.student, term.by_hand)
    lab = student.open_lab()
    assert lab.wait_for_output(lab.run("6 * 7"), "42").strip() == "42"
    term.student.screenshot("lab-with-a-result")


def test_live_page_shows_the_class(term: Term) -> None:
    page = term.class_page()
    summary = page.locator("[data-summary]")
    expect(summary).to_contain_text(f"{STUDENTS} running", timeout=SLOW_MS)
    row = term.row(term.by_hand)
    expect(row.locator("[data-presence]")).to_have_text("Online")
    expect(row.locator("[data-cpu]")).to_contain_text("cores")
    term.teacher.screenshot("live")
    page.set_viewport_size({"width": 390, "height": 844})
    term.teacher.screenshot("live-phone")
    page.set_viewport_size({"width": 1280, "height": 720})


def test_teacher_says_something_and_the_student_reads_it_in_jupyterlab(term: Term) -> None:
    page = term.class_page()
    page.get_by_label("Message", exact=True).fill("Please open exercise 3 <now>.")
    page.get_by_role("button", name="Send").click()
    expect(term.student.page.get_by_text("Please open exercise 3 <now>.")).to_be_visible(
        timeout=SLOW_MS
    )
    term.student.screenshot("message-in-lab")


def test_teacher_opens_a_server_when_its_owner_agrees(term: Term) -> None:
    page = term.class_page()
    term.row(term.by_hand).locator('[data-do="ask"]').click()
    allow = term.student.page.get_by_role("button", name="Allow for 30 minutes")
    allow.click(timeout=SLOW_MS)
    open_it = term.row(term.by_hand).locator('a[data-do="open"]')
    expect(open_it).to_be_visible(timeout=SLOW_MS)
    term.teacher.screenshot("may-open")
    page.goto(f"/user/{term.by_hand}/lab")
    page.get_by_role("button", name="Allow", exact=True).click()
    page.locator("#jp-main-dock-panel, #main").first.wait_for(timeout=SLOW_MS)
    assert page.url.startswith(f"{BASE}/user/{term.by_hand}/")
    said = term.room.machine.execute("appliance audit --json")
    assert "server.open" in said


def test_teacher_hands_out_a_folder(term: Term) -> None:
    page = term.class_page("/materials")
    page.get_by_label("Into the folder").fill("week1")
    page.locator("#upload-files").set_input_files(
        {"name": "task.txt", "mimeType": "text/plain", "buffer": b"What is the speed of light?\n"}
    )
    page.get_by_role("button", name="Upload").click()
    page.get_by_role("button", name="Hand out", exact=True).click()
    expect(page.locator("#handouts")).to_contain_text(
        f"{STUDENTS} of {STUDENTS} students have it", timeout=SLOW_MS
    )
    term.teacher.screenshot("handed-out")
    found = term.room.machine.execute("ls /home/nb-*/physics-7a/week1/task.txt | wc -l")
    assert int(found) >= STUDENTS
    lab = Lab(term.student.page)
    number = lab.run("print(open('/home/' + __import__('getpass').getuser()"
                     " + '/physics-7a/week1/task.txt').read())")  # fmt: skip
    lab.wait_for_output(number, "speed of light")
    number = lab.run("open(__import__('os').path.expanduser('~/physics-7a/week1/answer.txt'), 'w')"
                     ".write('299792458 m/s'); print('written')")  # fmt: skip
    lab.wait_for_output(number, "written")


def test_teacher_collects_it(term: Term) -> None:
    page = term.class_page("/materials")
    page.locator("#collect-folder").fill("week1")
    page.get_by_role("button", name="Collect").click()
    expect(page.get_by_text(f"From {STUDENTS} of {STUDENTS} students.")).to_be_visible(
        timeout=SLOW_MS
    )
    term.teacher.screenshot("collected")
    answer = term.room.machine.execute(
        f"cat /srv/appliance/classes/physics-7a/collected/*/{term.by_hand}/answer.txt"
        f" || find /srv/appliance/classes/physics-7a/collected"
    )
    assert answer.strip() == "299792458 m/s"


def test_teacher_resets_a_password(term: Term) -> None:
    someone = max(term.cards)
    page = term.class_page("/roster")
    page.locator(f'input[name="user"][value="{someone}"]').check()
    page.get_by_role("button", name="New passwords and cards").click()
    page.get_by_role("button", name="Make the password and its card").click()
    page.get_by_role("link", name="As a CSV file").wait_for(timeout=SLOW_MS)
    new = read_cards(page)
    assert set(new) == {someone}
    assert new[someone] != term.cards[someone]
    term.teacher.screenshot("one-card")


def test_teacher_stops_a_server(term: Term) -> None:
    term.class_page()
    row = term.row(term.by_hand)
    row.locator('[data-do="stop"]').click()
    expect(row.locator("[data-state]")).to_have_text("Stopped", timeout=SLOW_MS)
    expect(row.locator('[data-do="start"]')).to_be_visible()


def test_teacher_of_one_class_sees_nothing_of_another(term: Term) -> None:
    page = term.admin.page
    page.goto("/hub/new-class")
    page.get_by_label("Title").fill("Chemistry")
    page.get_by_role("button", name="Make the class").click()
    expect(page.get_by_role("link", name="Chemistry").first).to_be_visible()
    teacher = term.teacher.page
    for below in ("", "/roster", "/joining", "/materials", "/settings"):
        answer = teacher.goto(f"/hub/classes/chemistry{below}")
        assert answer is not None
        assert answer.status == 404
    teacher.goto("/hub/classes")
    expect(teacher.get_by_text("Chemistry")).to_have_count(0)


def test_teacher_archives_the_class(term: Term) -> None:
    page = term.class_page("/settings")
    page.get_by_role("link", name="Archive…", exact=True).click()
    term.teacher.screenshot("what-archiving-does")
    page.locator('button[name="do"][value="archive"]').click()
    page.wait_for_url(re.compile("/hub/classes"))
    deadline = time.monotonic() + SLOW_MS / 1000
    while (answer := page.goto("/hub/classes/physics-7a")) and answer.status == 200:
        assert time.monotonic() < deadline, "the class is still there"
        page.wait_for_timeout(1000)
    term.admin.page.goto("/hub/archives")
    expect(term.admin.page.get_by_role("link", name=TITLE).first).to_be_visible()
    term.admin.screenshot("archives")
    users = json.loads(term.room.machine.execute("appliance user list --json"))
    assert {user["name"] for user in users} == {"ada", "curie"}
