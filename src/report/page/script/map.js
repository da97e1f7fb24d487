// Tiles, rows and dots open the panel; arrows move between the tiles of a map, of which one is in the order of the tab key.

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function openClicked(event) {
  const node = event.target.closest('[data-module]');
  if (node) show(Number(node.dataset.module));
}

// Makes one tile of a map reachable by the tab key, and the others from it by arrows.
function prepareMap(table) {
  const rows = Array.from(table.tBodies[0].rows, row => Array.from(row.cells).slice(1));
  // Modules outside of layers are in one cell, one after the other.
  const isStrip = table.querySelector('.strip') !== null;
  const grid = rows.map(cells => (isStrip ? [...cells[0].querySelectorAll('.tile')] : cells.map(cell => cell.firstElementChild)));
  const tiles = grid.flat().filter(Boolean);
  tiles.forEach((tile, place) => (tile.tabIndex = place === 0 ? 0 : -1));
  table.addEventListener('keydown', event => {
    if (!(event.key in ARROWS) || !event.target.classList.contains('tile')) return;
    event.preventDefault();
    const next = neighbour(grid, event.target, ARROWS[event.key]);
    if (!next) return;
    tiles.forEach(tile => (tile.tabIndex = -1));
    next.tabIndex = 0;
    next.focus();
    if (shown !== null) show(Number(next.dataset.module));
  });
}

// The next tile in a direction; cells without a tile are passed over.
function neighbour(grid, tile, [right, down]) {
  let y = grid.findIndex(row => row.includes(tile));
  let x = grid[y].indexOf(tile);
  do {
    x += right;
    y += down;
  } while (grid[y] && x >= 0 && x < grid[y].length && !grid[y][x]);
  return grid[y] && grid[y][x];
}

// Says under the map of a type's experts which cell is meant, and opens it.
function prepareExperts(svg) {
  const [type, size] = [Number(svg.dataset.type), Number(svg.dataset.size)];
  const grid = expertGrid(type);
  const cells = svg.querySelector('g');
  const cursor = drawing('rect', { class: 'cursor', width: 1, height: 1, visibility: 'hidden' });
  const told = element('p', { class: 'told', 'aria-live': 'polite' }, ' ');
  cells.append(cursor);
  svg.closest('figure').append(told);
  svg.tabIndex = 0;
  // Arrows move the cursor, and are not a screen reader's own.
  svg.setAttribute('role', 'application');
  let at = [0, 0];
  const move = (x, y) => {
    const module = grid[y] && grid[y][x];
    if (module === undefined) return null;
    at = [x, y];
    filled(cursor, { x, y, visibility: 'visible' }, []);
    told.textContent = `${visible(modules.name[module])}: ${data.value} ${valueText(module)}, rank ${modules.rank[module]}`;
    return module;
  };
  const pointed = event => {
    const origin = cells.getScreenCTM();
    return move(Math.floor((event.clientX - origin.e) / size), Math.floor((event.clientY - origin.f) / size));
  };
  const open = module => module !== null && show(module);
  svg.addEventListener('pointermove', pointed);
  svg.addEventListener('click', event => open(pointed(event)));
  svg.addEventListener('focus', () => move(...at));
  svg.addEventListener('keydown', event => {
    if (event.key === 'Enter' || event.key === ' ') open(move(...at));
    else if (event.key in ARROWS) {
      const module = move(at[0] + ARROWS[event.key][0], at[1] + ARROWS[event.key][1]);
      if (module !== null && shown !== null) show(module);
    } else return;
    event.preventDefault();
  });
}

// The modules of a type, by their layer's place and their column.
function expertGrid(type) {
  const layers = layersOf(type);
  const grid = layers.map(() => []);
  modules.type.forEach((kind, module) => {
    if (kind === type) grid[layers.indexOf(modules.layer[module])][modules.column[module]] = module;
  });
  return grid;
}

function layersOf(type) {
  const layers = new Set(modules.layer.filter((_, module) => modules.type[module] === type));
  return [...layers].sort((a, b) => a - b);
}

// The hint that something can be scrolled is left where it can.
function updateHints() {
  document.querySelectorAll('.hint').forEach(hint => {
    const box = hint.nextElementSibling;
    hint.hidden = box.scrollWidth <= box.clientWidth + 1;
  });
}
