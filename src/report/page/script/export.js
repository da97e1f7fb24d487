// What is chosen, as trainers take it.

// The names in memory that belong to a module.
function namesInMemory(module) {
  return modules.targets[module].map(target => data.targets.name[target] ?? modules.name[module]);
}

// What is chosen in memory. A target that also holds a module that is not chosen cannot be trained by itself.
function chosenTargets() {
  const held = new Map();
  chosen.forEach((isChosen, module) => {
    if (!isChosen) return;
    modules.targets[module].forEach((target, place) => {
      const known = held.get(target) ?? { count: 0, name: namesInMemory(module)[place] };
      held.set(target, { ...known, count: known.count + 1 });
    });
  });
  const whole = [...held].filter(([target, { count }]) => count === data.targets.held[target]);
  return { targets: whole.map(([target, { name }]) => ({ target, name })), cut: held.size - whole.length };
}

// Text in double quotes, which JSON and YAML read alike. Whatever cannot be seen is escaped.
function quoted(text) {
  const escape = character => Array.from({ length: character.length }, (_, at) =>
    `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`).join('');
  return JSON.stringify(text).replace(DECEPTIVE, escape);
}

function exportText(form, rank) {
  const { targets } = chosenTargets();
  const names = isParameter => targets
    .filter(({ target }) => Boolean(data.targets.parameter[target]) === isParameter)
    .map(({ name }) => name);
  const [linear, parameters] = [names(false), names(true)];
  if (form === 'peft') return peftText(linear, parameters, rank);
  if (form === 'axolotl') return axolotlText(linear, parameters, rank);
  return [...linear, ...parameters].map(name => `${name}\n`).join('');
}

function peftText(linear, parameters, rank) {
  const list = names => `[${names.map(name => `\n        ${quoted(name)}`).join(',')}${names.length ? '\n    ' : ''}]`;
  const fields = [`"r": ${rank}`, `"target_modules": ${list(linear)}`];
  // PEFT trains parameters only without dropout.
  if (parameters.length) fields.push('"lora_dropout": 0', `"target_parameters": ${list(parameters)}`);
  return `{\n    ${fields.join(',\n    ')}\n}\n`;
}

function axolotlText(linear, parameters, rank) {
  const list = (key, names) => (names.length ? `${key}:\n${names.map(name => `  - ${quoted(name)}\n`).join('')}` : `${key}: []\n`);
  const dropout = parameters.length ? 'lora_dropout: 0\n' : '';
  const more = parameters.length ? list('lora_target_parameters', parameters) : '';
  return `lora_r: ${rank}\n${dropout}lora_target_linear: false\n${list('lora_target_modules', linear)}${more}`;
}
