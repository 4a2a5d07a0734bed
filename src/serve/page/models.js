// SPDX-License-Identifier: MIT
// models.js - models, classes and solvers as lists to choose from.
import { ask } from '/api.js';
import { fill, make } from '/parts.js';

export let models = [];
let solvers = [];

export async function load() {
  [models, solvers] = await Promise.all([ask('/api/models'), ask('/api/solvers')]);
}

export const find = name => models.find(m => m.name === name);

export function className(model, label) {
  const names = model && model.class_names;
  return names && names[label] !== undefined ? names[label] : `class ${label}`;
}

export function solverChoices() {
  return [['', 'by the steps: ddim or ddpm'], ...solvers.map(s => [s.name, `${s.name}: ${s.about}`])];
}

const MAX_LISTED = 50; // more classes are typed, with suggestions
let lists = 0; // of suggestions so far: each has an id of its own

// ['value', 'text'] of every class: the value is what --class takes
function classChoices(model) {
  const choices = [];
  for (let i = 0; i < (model ? model.classes : 0); i++) choices.push([`#${i}`, className(model, i)]);
  return choices;
}

// Names to type; a name that two classes have stands for neither, their numbers do
function suggestions(model, id) {
  const choices = classChoices(model), times = new Map();
  for (const [, name] of choices) times.set(name, (times.get(name) || 0) + 1);
  return make('datalist', { id }, ...choices.map(([value, name]) =>
    (times.get(name) === 1 && !name.includes(',') ? make('option', { value: name }, `${name}, ${value}`) : make('option', { value }, `${name}, ${value}`))));
}

// A field `class` for the classes of a model; one: exactly one class is wanted
export function classField(model, chosen = 0, one = false) {
  if (!model || model.classes <= MAX_LISTED) {
    const select = make('select', { name: 'class' });
    const choices = classChoices(model);
    const first = choices.length === 0 ? [['', 'this model has none']] : one ? [] : [['balanced', 'each in turn']];
    fill(select, [...first, ...choices], `#${chosen}`);
    return select;
  }
  const id = `classes-${++lists}`;
  return make('span', { class: 'class-field' },
    make('input', { name: 'class', list: id, value: one ? `#${chosen}` : '', placeholder: one ? 'a name or number' : 'each in turn; or name, 0-9', autocomplete: 'off' }),
    suggestions(model, id));
}

// The model and class lists of a form
export function offer(form, { kinds = ['diffusion'], one = false } = {}) {
  const model = form.elements.model, classes = form.querySelector('.classes');
  const fitting = models.filter(m => kinds.includes(m.kind));
  const show = () => classes.replaceChildren('Class ', classField(find(model.value), 0, one));
  fill(model, fitting.map(m => [m.name, m.built_in ? `${m.name}: ${m.about}` : m.about]));
  model.addEventListener('change', show);
  show();
}

export function upsamplerChoices() {
  return [['', 'none'],
    ...models.filter(m => m.stack || m.kind === 'upsampler').map(m => [m.name, m.built_in ? m.name : m.about])];
}
