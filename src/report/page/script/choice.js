// The slider: the best N of each type, what training them takes, and the text to copy.

// Chooses the best `count` of each type among those that the command line allowed.
function choose(count) {
  chosen.fill(0);
  for (const list of ranked) {
    list.filter(module => modules.eligible[module]).slice(0, count).forEach(module => (chosen[module] = 1));
  }
  showChosen();
}

// Everything on the page that says what is chosen.
function showChosen() {
  const perType = data.types.map(() => 0);
  const perColumn = new Map();
  const column = module => `${modules.type[module]},${modules.layer[module]}`;
  chosen.forEach((isChosen, module) => {
    if (!isChosen) return;
    perType[modules.type[module]] += 1;
    perColumn.set(column(module), (perColumn.get(column(module)) ?? 0) + 1);
  });
  document.querySelectorAll('[data-chosen]').forEach(node => {
    const type = node.dataset.chosen;
    node.textContent = type === 'all' ? perType.reduce((sum, count) => sum + count, 0) : perType[type];
  });
  document.querySelectorAll('[data-module]').forEach(node => {
    const module = Number(node.dataset.module);
    const stands = node.classList.contains('tile') && modules.column[module] !== null;
    markChosen(node, stands ? perColumn.get(column(module)) ?? 0 : chosen[module]);
  });
  document.querySelectorAll('svg.experts').forEach(svg => {
    const path = pickedPath(Number(svg.dataset.type));
    svg.querySelectorAll('.picked').forEach(dots => dots.setAttribute('d', path));
  });
  showCost();
  if (shown !== null) show(shown);
}

// Marks a tile, row or dot. A tile can stand for several modules, of which `count` are chosen.
function markChosen(node, count) {
  node.classList.toggle('chosen', count > 0);
  if (node.tagName === 'TR') node.lastElementChild.textContent = count > 0 ? 'chosen' : '';
  const label = node.getAttribute('aria-label');
  if (!label) return;
  const isOne = !/, \d+ chosen$/.test(label);
  const text = isOne ? label.replace(/, chosen$/, '') + (count > 0 ? ', chosen' : '') : label.replace(/\d+ chosen$/, `${count} chosen`);
  node.setAttribute('aria-label', text);
  node.title = text;
}

function pickedPath(type) {
  const layers = new Map(layersOf(type).map((layer, place) => [layer, place]));
  const dots = ranked[type].filter(module => chosen[module])
    .map(module => `M${modules.column[module]}.5 ${layers.get(modules.layer[module])}.5h0`);
  return dots.join('');
}

const loraRank = () => Math.max(1, Math.round(Number(byId('rank').value)) || 1);

// The number of modules, their parameters under LoRA, and the rank with which they have as many as all modules.
function showCost() {
  const { targets, cut } = chosenTargets();
  const sides = isHead => targets
    .filter(({ target }) => Boolean(data.targets.head[target]) === isHead)
    .reduce((sum, { target }) => sum + (data.targets.sides[target] ?? NaN), 0);
  const linear = targets.map(({ target }) => target).filter(target => !data.targets.head[target]);
  const [some, head, rank, plain] = [sides(false), sides(true), loraRank(), data.targets.plain];
  const total = chosen.reduce((sum, isChosen) => sum + isChosen, 0);
  const all = modules.rank.filter(place => place > 0).length;
  byId('count').textContent = `${grouped(total)} of ${grouped(all)}`;
  const known = Number.isFinite(some + head);
  const part = known && plain && plain.sides > 0 ? `, ${digits(Number(((100 * some) / plain.sides).toPrecision(3)))} % of plain LoRA's` : '';
  byId('trainable').textContent = known ? `${grouped(rank * (some + head))} parameters at rank ${rank}${part}` : 'not known, because a shape is missing';
  byId('matching').textContent = known && plain && some > 0
    ? `${grouped(matchingRank(rank * plain.sides, linear))}, to train as many as plain LoRA of rank ${rank} in all ${grouped(plain.count)} linear modules`
    : 'not known';
  byId('export-note').textContent = exportNote(cut);
  showExport();
}

// The rank at which the adapters of these targets have as many parameters as the budget, as --match-rank computes it for PEFT:
// no adapter has a rank above the shorter side of its weight.
function matchingRank(budget, targets) {
  const most = Math.max(1, ...targets.map(target => data.targets.limit[target]));
  const used = rank => targets.reduce((sum, target) => sum + Math.min(rank, data.targets.limit[target]) * data.targets.sides[target], 0);
  const missed = rank => Math.abs(used(rank) / budget - 1);
  const nearest = (...ranks) => {
    const [low, high] = ranks.map(rank => Math.min(most, Math.max(1, rank)));
    return missed(high) < missed(low) ? high : low;
  };
  let [low, high] = [1, most];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (used(middle) <= budget) low = middle;
    else high = middle - 1;
  }
  const exact = nearest(low, low + 1);
  const step = Math.floor(exact / data.step) * data.step;
  const round = nearest(step, step + data.step);
  return round % data.step === 0 && missed(round) <= data.tolerance ? round : exact;
}

function exportNote(cut) {
  const file = /^[\w.@%+/-]+$/.test(data.file) ? data.file : `'${data.file.replaceAll("'", "'\\''")}'`;
  const left = cut > 0
    ? `${grouped(cut)} names in memory are left out, because each also holds modules that are not chosen; --pool-experts ranks them together. `
    : '';
  return `${left}These are names as they are. laser-scan export peft ${visible(file)} --top-n ${byId('n').value}, with the options ` +
    'of this page besides, also makes sure that the trainer finds exactly them.';
}

// The text is written only while it can be seen, because it may be long.
function showExport() {
  if (!byId('export').open) return;
  byId('export-text').value = exportText(document.querySelector('[name=form]:checked').value, loraRank());
  byId('copied').textContent = '';
}

async function copyExport() {
  const area = byId('export-text');
  const told = byId('copied');
  try {
    await navigator.clipboard.writeText(area.value);
    told.textContent = 'Copied.';
  } catch {
    // Some browsers give the clipboard only to pages of a server.
    area.select();
    told.textContent = document.execCommand('copy') ? 'Copied.' : 'Press Ctrl+C to copy what is selected.';
  }
}

function prepareChoice() {
  const section = byId('choice');
  if (!section) return;
  const [slider, exact] = [byId('n'), byId('n-exact')];
  const perType = data.types.map(() => 0);
  chosen.forEach((isChosen, module) => (perType[modules.type[module]] += isChosen));
  slider.value = exact.value = Math.max(1, ...perType);
  const follow = (from, to) => from.addEventListener('input', () => {
    const count = Math.min(Number(slider.max), Math.max(1, Math.round(Number(from.value)) || 1));
    to.value = count;
    choose(count);
  });
  follow(slider, exact);
  follow(exact, slider);
  byId('rank').addEventListener('input', showCost);
  byId('export').addEventListener('toggle', showExport);
  document.querySelectorAll('[name=form]').forEach(input => input.addEventListener('change', showExport));
  byId('copy').addEventListener('click', copyExport);
  section.hidden = false;
  showCost();
}
