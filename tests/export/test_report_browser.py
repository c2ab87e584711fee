"""The report page in a real browser: its table sorts and filters, on a phone, and in light and dark."""

from __future__ import annotations

import html as markup
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqship.export.report import render_report
from tests.export.report_documents import failing, int8, int8_failing, sample
from tests.export.report_page import Page

pytestmark = pytest.mark.browser

FRAME = """<!DOCTYPE html><html style="color-scheme: {scheme}"><body style="margin: 0">
<iframe style="border: 0; color-scheme: {scheme}" width="{width}" height="{height}" srcdoc="{page}"></iframe>
<script>
addEventListener('load', () => {{
  const view = document.querySelector('iframe').contentWindow, page = view.document;
  const found = {{}};
  const say = (key, value) => {{ found[key] = value; }};
  {script}
  document.body.dataset.found = JSON.stringify(found);
}});
</script></body></html>"""
"""The page as it is, under its own policy; a frame has a width that a window cannot have, and a colour scheme."""


def browse(page: str, script: str, folder: Path, *, width: int = 360, scheme: str = "light") -> dict[str, Any]:
    """Runs a script beside a page, which says what it finds in `page`."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on the PATH")
    path = folder / "frame.html"
    height = 740 if width < 500 else 900
    text = FRAME.format(scheme=scheme, width=width, height=height, page=markup.escape(page), script=script)
    path.write_text(text, encoding="utf-8")
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-quic",
               "--no-first-run",
               "--disable-background-networking", "--disable-component-update", "--disable-sync",
               f"--user-data-dir={folder / 'profile'}", "--window-size=1300,1000", "--dump-dom",
               path.as_uri()]  # fmt: skip
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    body = next(attrs for tag, attrs in Page(made).tags if tag == "body" and "data-found" in attrs)
    return json.loads(body["data-found"] or "")


CLICKS = """
const table = page.getElementById('case-table'), form = page.getElementById('case-filter');
const shown = page.getElementById('case-shown');
const visible = () => [...table.tBodies[0].rows].filter(row => view.getComputedStyle(row).display !== 'none');
const set = (name, value) => { form.elements[name].value = value;
  form.dispatchEvent(new view.Event('input', {bubbles: true})); };
const heads = [...table.tHead.rows[0].cells];
const column = name => heads.findIndex(cell => cell.textContent.includes(name));
const click = name => heads[column(name)].querySelector('button').click();
const values = name => visible().map(row => row.cells[column(name)].textContent);
const count = (name, value) => { set(name, value); const rows = visible().length; set(name, ''); return rows; };
say('controls', view.getComputedStyle(form).display);
say('all', shown.textContent);
say('worst first', values('Verdict').slice(0, 5).map(text => text.slice(0, 4)));
click('absolute'); say('largest', values('absolute').slice(0, 3));
say('arrow', heads[column('absolute')].getAttribute('aria-sort'));
click('absolute'); say('smallest', values('absolute')[0]);
click('Time'); say('longest', values('Time')[0]); click('Time'); say('shortest', values('Time')[0]);
say('arrows', heads.filter(head => head.getAttribute('aria-sort')).length);
click('Runner'); say('by runner', values('Runner')[0]);
say('failed', count('passed', 'false')); say('passed', count('passed', 'true'));
say('left', count('mask', 'left')); say('searched', count('mask', 'searched'));
say('adversary', count('values', 'adversary')); say('emoji', count('values', 'emoji'));
say('text runner', count('runner', 'saved_model:serving_text'));
say('keras', count('relation', 'keras')); say('alone', count('relation', 'row-alone'));
say('name', count('text', 'TIME=187  batch=3')); say('note', count('text', 'has shape'));
say('runner words', count('text', 'serving_text')); say('nothing', count('text', 'no such case'));
set('mask', 'left'); set('runner', 'onnx'); set('text', 'time=187 batch=3');
say('one', visible().map(row => row.dataset.case)); say('count', shown.textContent);
"""


def test_the_table_sorts_and_filters(tmp_path: Path) -> None:
    assert browse(render_report(failing()), CLICKS, tmp_path) == {
        "controls": "grid",
        "all": "126 of 126 shown",
        "worst first": ["fail", "fail", "fail", "fail", "pass"],
        "largest": ["–", "NaN", "0.0213"],
        "arrow": "descending",
        "smallest": "0",
        "longest": "187",
        "shortest": "1",
        "arrows": 1,
        "by runner": "ONNX",
        "failed": 4,
        "passed": 122,
        "left": 24,
        "searched": 1,
        "adversary": 1,
        "emoji": 1,
        "text runner": 1,
        "keras": 122,
        "alone": 2,
        "name": 10,
        "note": 1,
        "runner words": 1,
        "nothing": 0,
        "one": ["batch=3 time=187 mask=left"],
        "count": "1 of 126 shown",
    }


RESET = """
const form = page.getElementById('case-filter');
form.elements.mask.value = 'left';
form.dispatchEvent(new view.Event('input', {bubbles: true}));
const before = page.getElementById('case-shown').textContent;
form.querySelector('[type=reset]').click();
say('shown', [before, page.getElementById('case-shown').textContent]);
"""


def test_all_rows_are_shown_again(tmp_path: Path) -> None:
    found = browse(render_report(failing()), RESET, tmp_path)
    assert found["shown"] == ["24 of 126 shown", "126 of 126 shown"]


LOOKS = """
const paper = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const rgba = (...layers) => {
  paper.clearRect(0, 0, 1, 1);
  for (const colour of layers) { paper.fillStyle = colour; paper.fillRect(0, 0, 1, 1); }
  return [...paper.getImageData(0, 0, 1, 1).data];
};
const under = element => {
  const layers = [];
  for (let one = element; one; one = one.parentElement) layers.unshift(view.getComputedStyle(one).backgroundColor);
  return layers;
};
const light = ([...channels]) => channels.slice(0, 3).map(value => value / 255)
  .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
  .reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0);
const contrast = (colour, element) => {
  const layers = under(element), [one, two] = [light(rgba(...layers, colour)), light(rgba(...layers))];
  return (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
};
const told = element => `${element.tagName}.${element.className.baseVal ?? element.className}: `
  + element.textContent.trim().slice(0, 40);
for (const one of page.querySelectorAll('details')) one.open = true;
const all = [...page.body.querySelectorAll('*')].filter(one => !one.closest('script'));
const worded = all.filter(one => one.checkVisibility()
  && [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
say('dark', light(rgba(...under(page.body))) < 0.1);
say('wide', page.documentElement.scrollWidth - view.innerWidth);
say('outside', all.filter(one => !one.closest('.scroll, svg')
  && one.getBoundingClientRect().right > view.innerWidth + 1).map(told));
say('faint', worded.filter(one => {
  const style = view.getComputedStyle(one);
  const colour = one.closest('svg') ? style.fill : style.color;
  return contrast(colour, one) < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5);
}).map(told));
say('words', worded.length > 300);
const curves = [...page.querySelectorAll('#drift .curve')];
say('lines', curves.length);
say('faint lines', curves.filter(one => {
  const style = view.getComputedStyle(one), [red, green, blue] = rgba(style.stroke);
  return contrast(`rgb(${red} ${green} ${blue} / ${style.opacity})`, one) < 2.5;
}).length);
const boxes = [...page.querySelectorAll('form label')].map(one => one.getBoundingClientRect());
say('overlapping', boxes.filter((a, at) => boxes.slice(at + 1).some(b =>
  a.right > b.left + 1 && b.right > a.left + 1 && a.bottom > b.top + 1 && b.bottom > a.top + 1)).length);
say('spilling', [...page.querySelectorAll('form input, form select')].filter(one =>
  one.getBoundingClientRect().right > one.parentElement.getBoundingClientRect().right + 1).length);
"""


LOOKED_AT: dict[str, Callable[[], dict[str, Any]]] = {
    "equivalent": lambda: sample() | {"int8": int8_failing()},
    "failing": lambda: failing() | {"int8": int8()},
}


@pytest.mark.parametrize("verdict", LOOKED_AT)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_fits_and_is_readable(width: int, scheme: str, verdict: str, tmp_path: Path) -> None:
    page = render_report(LOOKED_AT[verdict]())
    assert browse(page, LOOKS, tmp_path, width=width, scheme=scheme) == {
        "dark": scheme == "dark",
        "wide": 0,
        "outside": [],
        "faint": [],
        "words": True,
        "lines": 6,  # Of the plot and of its legend.
        "faint lines": 0,
        "overlapping": 0,
        "spilling": 0,
    }


def test_a_failed_int8_file_is_told_on_the_first_screen_of_a_phone(tmp_path: Path) -> None:
    script = "const box = page.querySelector('.verdict .beside').getBoundingClientRect();"
    script += "say('below', box.bottom > view.innerHeight); say('height', box.height > 40);"
    page = render_report(sample() | {"int8": int8_failing()})
    assert browse(page, script, tmp_path) == {"below": False, "height": True}


def test_the_page_is_whole_without_its_script(tmp_path: Path) -> None:
    page = re.sub(r"<script>.*?</script>", "", render_report(failing()), flags=re.DOTALL)
    script = "say('rows', page.querySelectorAll('#case-table tbody tr').length);"
    script += "say('form', view.getComputedStyle(page.getElementById('case-filter')).display);"
    assert browse(page, script, tmp_path) == {"rows": 126, "form": "none"}
