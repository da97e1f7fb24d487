#!/usr/bin/env python3
"""Makes the README's picture of a page of `laser-scan report`: the map, with the spectrum of the best module of a type open.

    laser-scan --model examples/tiny-mistral --top-n 2
    laser-scan report laser_scan_tiny-mistral.json --top-n 2
    picture.py laser_scan_tiny-mistral.html docs/report.png
"""

import sys

sys.dont_write_bytecode = True

from chromium import Chromium

WIDTH, HEIGHT = 960, 800
# The best module of the type mlp.gate_proj.
TILE = ".map [title^='model.layers.3.mlp.gate_proj,']"


def main(page_file, picture_file):
    with Chromium() as page:
        page.window(WIDTH, HEIGHT)
        page.open(page_file)
        page.click(TILE)
        page.run("document.querySelector('#map').scrollIntoView(); window.scrollBy(0, -16)")
        page.screenshot(picture_file, whole=False)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
