// The panel at the bottom that shows one module.

const panel = byId('panel');
let shown = null;

function show(module) {
  shown = module;
  document.querySelectorAll('.shown').forEach(node => node.classList.remove('shown'));
  document.querySelectorAll(`[data-module='${module}']`).forEach(node => node.classList.add('shown'));
  panel.replaceChildren(panelContent(module));
  panel.hidden = false;
  document.body.classList.add('has-panel');
}

function hidePanel() {
  shown = null;
  panel.hidden = true;
  document.body.classList.remove('has-panel');
  document.querySelectorAll('.shown').forEach(node => node.classList.remove('shown'));
}

function panelContent(module) {
  const close = element('button', { type: 'button', class: 'close', 'aria-label': 'close' }, '×');
  close.addEventListener('click', hidePanel);
  const facts = element('dl', { class: 'facts' });
  for (const [what, text] of factsOf(module)) {
    facts.append(element('div', {}, element('dt', {}, what), element('dd', {}, text)));
  }
  const spectrum = spectrumOf(module);
  const missing = modules.spectrum && modules.rank[module] > 0
    ? 'These experts are ranked together, and each has a spectrum of its own.'
    : 'The singular values of this module are not on this page.';
  return element('div', { class: 'inside' },
    element('h2', { id: 'shown-name' }, visible(modules.name[module])),
    spectrum ? element('div', {}, spectrum, spectrumKey(module)) : element('p', { class: 'sub' }, missing),
    facts,
    close);
}

// What is known of a module, each with what it is called.
function factsOf(module) {
  const all = ranked[modules.type[module]].length;
  const facts = [['Type', kindOf(module)]];
  if (modules.layer[module] !== null) facts.push(['Layer', String(modules.layer[module])]);
  if (modules.shape[module]) facts.push(['Shape', modules.shape[module].join(' × ')]);
  facts.push([data.value, valueText(module)]);
  if (modules.rank[module] > 0) facts.push(['Rank', `${modules.rank[module]} of ${all}${chosen[module] ? ', chosen' : ''}`]);
  if (hasShare(module)) {
    const values = modules.above[module] + modules.below[module];
    const share = Math.round(100 * shareOf(module));
    facts.push(['Above', `${grouped(modules.above[module])} of ${grouped(values)} singular values, ${share} %`]);
  }
  if (modules.threshold[module] !== null) facts.push(['Threshold', digits(modules.threshold[module])]);
  if (modules.largest[module] !== null) facts.push(['Largest', digits(modules.largest[module])]);
  const edge = modules.mp[module];
  if (Array.isArray(edge)) facts.push(['Edge of noise', `${digits(edge[0])}, ${grouped(edge[2])} above`]);
  if (typeof edge === 'string') facts.push(['Edge of noise', visible(edge)]);
  if (riseOf(module) !== undefined && riseOf(module) !== null) {
    facts.push(['In the other scan', `rank ${modules.ranks[module][1]}, ${signed(riseOf(module))}`]);
  }
  const names = namesInMemory(module);
  if (names.length !== 1 || names[0] !== modules.name[module]) {
    facts.push(['In memory', names.length ? names.map(visible).join(', ') : 'not known']);
  }
  return facts;
}

function spectrumKey(module) {
  const item = (name, text) => element('li', {}, element('span', { class: `key ${name}` }), ` ${text}`);
  const items = [item('bar', 'singular values'), item('threshold', "laser-QLoRA's threshold")];
  if (Array.isArray(modules.mp[module])) {
    items.push(item('edge', 'edge of the noise'), item('noise', 'noise of the level that fits the median, by Marchenko and Pastur'));
  }
  return element('ul', { class: 'legend' }, ...items);
}
