'use strict';
// The page is complete without this script, which adds what moves. It draws only with text nodes and attributes, never with HTML
// that is put together, because names come from files that others wrote.

const data = JSON.parse(document.getElementById('data').textContent);
const modules = data.modules;
const moduleCount = modules.name.length;

// Whether each module is chosen now. The slider changes it.
const chosen = modules.chosen.slice();

const byId = id => document.getElementById(id);

// Characters that cannot be seen or that change the direction of writing are shown as their numbers.
const DECEPTIVE = /[\p{Cc}\p{Default_Ignorable_Code_Point}\u2028\u2029\ufff0-\ufffb]/gu;
const visible = text => text.replace(DECEPTIVE, character => `\\u{${character.codePointAt(0).toString(16)}}`);

// A name's text and, after each dot, where its line may break.
const breakable = name => visible(name).split('.').flatMap((part, at) => (at > 0 ? ['.', element('wbr'), part] : [part]));

// An element with these attributes and children, which are elements or text.
function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function drawing(tag, attributes = {}, ...children) {
  return filled(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// A whole number with its digits in groups of three.
const grouped = number => String(number).replace(/\B(?=(\d{3})+$)/g, ',');

// A number with four digits, without an exponent where it is of a usual size.
function digits(number) {
  const isUsual = number === 0 || (Math.abs(number) >= 1e-4 && Math.abs(number) < 1e6);
  return isUsual ? String(Number(number.toPrecision(4))) : number.toExponential(3);
}

const signed = number => (number > 0 ? `+${number}` : number < 0 ? `−${-number}` : '0');
const kindOf = module => visible(data.types[modules.type[module]]);
const shareOf = module => modules.above[module] / (modules.above[module] + modules.below[module]);
const hasShare = module => modules.above[module] + modules.below[module] > 0;
const riseOf = module => modules.ranks && modules.ranks[module] && modules.ranks[module][0] - modules.ranks[module][1];

// The value as the table has it.
const valueText = module => modules.text[module] ?? 'not ranked';

// The ranked modules of each type, best first.
const ranked = data.types.map(() => []);
modules.rank.forEach((rank, module) => {
  if (rank > 0) ranked[modules.type[module]].push(module);
});
ranked.forEach(list => list.sort((a, b) => modules.rank[a] - modules.rank[b]));
