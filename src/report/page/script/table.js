// The table of all modules: search, filters, order. So many rows are written at once; a button writes more.

const ROWS = 100;

// So many at most are printed.
const PRINTED = 3000;

const view = { sort: 'type', down: false, rows: ROWS };

// What a column is sorted by. Modules without a number come last in either order.
const KEYS = {
  rank: module => modules.rank[module] || null,
  name: module => modules.name[module],
  // Within a type by rank, those without one last.
  type: module => modules.type[module] * 1e7 + (modules.rank[module] || 9e6),
  layer: module => modules.layer[module],
  shape: module => modules.shape[module] && modules.shape[module][0] * modules.shape[module][1],
  value: module => (modules.rank[module] === 0 ? null : modules.value[module] ?? Infinity),
  share: module => (hasShare(module) ? shareOf(module) : null),
  rise: module => riseOf(module) ?? null,
  chosen: module => -chosen[module],
};

function compare(a, b) {
  const [x, y] = [KEYS[view.sort](a), KEYS[view.sort](b)];
  if (x === null || y === null) return (x === null) - (y === null) || a - b;
  const order = typeof x === 'string' ? x.localeCompare(y, 'en', { numeric: true }) : x < y ? -1 : x > y ? 1 : 0;
  return (view.down ? -order : order) || a - b;
}

function matching() {
  const words = byId('search').value.toLowerCase().split(/\s+/).filter(Boolean);
  const type = byId('of-type').value;
  const bound = id => (byId(id).value === '' ? null : Number(byId(id).value));
  const [from, to] = [bound('from'), bound('to')];
  const isIn = layer => (from === null && to === null) || (layer !== null && layer >= (from ?? 0) && layer <= (to ?? Infinity));
  const found = [];
  for (let module = 0; module < moduleCount; module++) {
    const name = modules.name[module].toLowerCase();
    const isOfType = type === '' || modules.type[module] === Number(type);
    if (isOfType && isIn(modules.layer[module]) && words.every(word => name.includes(word))) found.push(module);
  }
  return found.sort(compare);
}

function updateTable() {
  const found = matching();
  byId('table').tBodies[0].replaceChildren(...found.slice(0, view.rows).map(tableRow));
  byId('found').textContent = found.length === 1 ? '1 module' : `${grouped(found.length)} modules`;
  const left = found.length - view.rows;
  byId('more').hidden = left <= 0;
  byId('more').textContent = `Show ${grouped(Math.min(left, ROWS))} more of ${grouped(left)}`;
}

// A row as the static table has it.
function tableRow(module) {
  const cell = text => element('td', {}, text ?? '–');
  const name = element('th', { scope: 'row' }, element('button', { type: 'button' }, ...breakable(modules.name[module])));
  const rank = modules.rank[module] > 0 ? String(modules.rank[module]) : null;
  const layer = modules.layer[module] === null ? null : String(modules.layer[module]);
  const share = hasShare(module) ? `${Math.round(100 * shareOf(module))} %` : null;
  const cells = [cell(rank), name, cell(kindOf(module)), cell(layer), cell(modules.shape[module]?.join(' × ')), cell(valueText(module)), cell(share)];
  if (modules.ranks) cells.push(cell(KEYS.rise(module) === null ? null : signed(riseOf(module))));
  const classes = [chosen[module] ? 'chosen' : '', shown === module ? 'shown' : ''].join(' ').trim();
  return element('tr', { 'data-module': module, class: classes }, ...cells, cell(chosen[module] ? 'chosen' : ''));
}

// The heads become buttons that sort, and say so.
function prepareHeads() {
  document.querySelectorAll('#table [data-sort]').forEach(head => {
    const button = element('button', { type: 'button' }, head.textContent);
    head.replaceChildren(button);
    button.addEventListener('click', () => {
      const key = head.dataset.sort;
      // Numbers are of most interest where they are high, but ranks and layers where they are low.
      const isHighFirst = ['value', 'share', 'rise', 'shape'].includes(key);
      view.down = view.sort === key ? !view.down : isHighFirst;
      view.sort = key;
      document.querySelectorAll('#table [aria-sort]').forEach(other => other.removeAttribute('aria-sort'));
      head.setAttribute('aria-sort', view.down ? 'descending' : 'ascending');
      updateTable();
    });
  });
}

function prepareTable() {
  prepareHeads();
  const restart = () => {
    view.rows = ROWS;
    updateTable();
  };
  ['search', 'of-type', 'from', 'to'].forEach(id => byId(id).addEventListener('input', restart));
  byId('more').addEventListener('click', () => {
    view.rows += ROWS;
    updateTable();
  });
  byId('tools').hidden = false;
  const print = rows => () => {
    view.rows = rows;
    updateTable();
  };
  addEventListener('beforeprint', print(PRINTED));
  addEventListener('afterprint', print(ROWS));
  updateTable();
}
