#!/usr/bin/env python3
"""Uses a page of laser-scan as a person does, and checks what it shows. The page is that of examples/tiny-mistral with two of each
type chosen, compared with itself.

    check.py PAGE.html

Ends with status 77, and says so, where there is no Chromium."""

import json
import signal
import sys

sys.dont_write_bytecode = True

from chromium import Chromium, program

# A browser that does not answer is given up after so many seconds.
PATIENCE = 120

failures = []


def expect(what, found, wanted):
    if found != wanted:
        failures.append(f"{what}: {found!r} instead of {wanted!r}")


def text(page, selector):
    return page.run(f"document.querySelector({json.dumps(selector)}).textContent")


def is_shown(page, selector):
    return page.run(f"document.querySelector({json.dumps(selector)}).checkVisibility()")


def count(page, selector):
    return page.run(f"document.querySelectorAll({json.dumps(selector)}).length")


def set_value(page, selector, value):
    page.run(f"""(() => {{
        const node = document.querySelector({json.dumps(selector)});
        node.value = {json.dumps(value)};
        node.dispatchEvent(new Event('input', {{ bubbles: true }}));
    }})()""")


def without_script(page, path):
    page.open(path, scripting=False)
    expect("rows without a script", count(page, "#table tbody tr"), 28)
    expect("tiles without a script", count(page, ".map .tile"), 28)
    expect("charts without a script", count(page, ".chart svg"), 14)
    for part in ["#panel", "#choice", "#tools"]:
        expect(f"{part} without a script", is_shown(page, part), False)
    expect("ranks without a script", is_shown(page, ".map .tile i"), True)
    page.run("document.getElementById('by-share').checked = true")
    expect("shares without a script", is_shown(page, ".map .tile b"), True)


def panel(page):
    expect("the panel before a click", is_shown(page, "#panel"), False)
    page.click(".tile[data-module='1']")
    expect("the module that was clicked", text(page, "#shown-name"), "model.layers.0.self_attn.k_proj")
    expect("a histogram", count(page, "#panel svg .bar"), 1)
    expect("threshold and edge", count(page, "#panel svg path.threshold, #panel svg path.edge"), 2)
    expect("the curve of noise", count(page, "#panel svg .noise"), 1)
    page.key("ArrowRight")
    expect("the tile to the right", text(page, "#shown-name"), "model.layers.1.self_attn.k_proj")
    page.key("ArrowUp")
    expect("the tile above", text(page, "#shown-name"), "model.layers.1.self_attn.q_proj")
    page.key("Escape")
    expect("the panel after Escape", is_shown(page, "#panel"), False)
    page.key("Enter", "\r")
    expect("the panel after Enter", is_shown(page, "#panel"), True)
    page.click("#panel .close")
    page.click("#table tr[data-module='5'] button")
    expect("the row that was clicked", text(page, "#shown-name"), "model.layers.0.mlp.up_proj")
    page.key("Escape")


def choice(page):
    expect("the choice of the command line", text(page, "#count"), "14 of 28")
    set_value(page, "#n", "3")
    expect("modules of three of each type", text(page, "#count"), "21 of 28")
    expect("rings", count(page, ".map .tile.chosen"), 21)
    expect("dots", count(page, ".dot.chosen"), 21)
    expect("rows", count(page, "#table tr.chosen"), 21)
    expect("the number beside the slider", page.run("document.getElementById('n-exact').value"), "3")
    set_value(page, "#n-exact", "4")
    # Inputs and outputs of a layer: q and o 128 + 128, k and v 128 + 32, gate, up and down 128 + 352.
    sides = 4 * (2 * 256 + 2 * 160 + 3 * 480)
    expect("parameters", text(page, "#trainable"), f"{32 * sides:,} parameters at rank 32, 100 % of plain LoRA's")
    set_value(page, "#n-exact", "2")
    expect("the matching rank", text(page, "#matching").split(",")[0], "69")
    page.click("#export summary")
    page.click("[name=form][value=peft]")
    config = json.loads(page.run("document.getElementById('export-text').value"))
    expect("names for PEFT", len(config["target_modules"]), 14)
    expect("the rank for PEFT", config["r"], 32)
    page.click("[name=form][value=axolotl]")
    lines = page.run("document.getElementById('export-text').value").splitlines()
    expect("the key of Axolotl", "lora_target_modules:" in lines, True)
    expect("names for Axolotl", sum(line.startswith('  - "model.layers.') for line in lines), 14)
    # What cannot be seen is escaped, and quotes cannot end a name.
    expect("a hostile name", page.run("quoted('a\"\\u202e\\u2028\\n')"), '"a\\"\\u202e\\u2028\\n"')


def table(page):
    page.click("#search")
    page.type("mlp down")
    expect("what the search finds", count(page, "#table tbody tr"), 4)
    expect("what it says", text(page, "#found"), "4 modules")
    page.click("#table [data-sort=value] button")
    ratios = page.run("[...document.querySelectorAll('#table tbody td:nth-child(6)')].map(cell => Number(cell.textContent))")
    expect("the highest first", ratios, sorted(ratios, reverse=True))
    set_value(page, "#search", "")
    set_value(page, "#from", "1")
    set_value(page, "#to", "2")
    expect("two layers", count(page, "#table tbody tr"), 14)
    set_value(page, "#of-type", "0")
    expect("two layers of a type", count(page, "#table tbody tr"), 2)


def modes(page):
    page.click("#by-share")
    expect("shares", [is_shown(page, ".map .tile b"), is_shown(page, ".map .tile i")], [True, False])
    page.click("#by-move")
    expect("moves", [is_shown(page, ".map .tile u"), is_shown(page, ".map .tile b")], [True, False])
    for width in [1280, 400]:
        page.window(width)
        expect(f"a page of {width} pixels", page.run("document.documentElement.scrollWidth"), width)


def main(path):
    if program() is None:
        print("there is no Chromium to open the page with")
        return 77
    signal.alarm(PATIENCE)
    with Chromium() as page:
        page.window(1280)
        without_script(page, path)
        page.open(path)
        for part in [panel, choice, table, modes]:
            part(page)
        expect("complaints of the page", page.complaints(), [])
    print("\n".join(failures) or "the page does what it should")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
