// models.js - models, classes and solvers as lists to choose from.
import { ask } from '/api.js';
import { fill } from '/parts.js';

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
  return [['', 'by the steps'], ...solvers.map(s => [s.name, `${s.name}: ${s.about}`])];
}

export function classChoices(model) {
  const choices = [];
  for (let i = 0; i < (model ? model.classes : 0); i++) choices.push([`#${i}`, className(model, i)]);
  return choices.length ? [['balanced', 'each in turn'], ...choices] : [['', 'this model has none']];
}

// The model and class lists of a form
export function offer(form, kinds = ['diffusion']) {
  const model = form.elements.model, classes = form.elements.class;
  const fitting = models.filter(m => kinds.includes(m.kind));
  const show = () => fill(classes, classChoices(find(model.value)), '#0');
  fill(model, fitting.map(m => [m.name, m.built_in ? `${m.name}: ${m.about}` : m.about]));
  model.addEventListener('change', show);
  show();
}

export function upsamplerChoices() {
  return [['', 'nothing'],
    ...models.filter(m => m.stack || m.kind === 'upsampler').map(m => [m.name, m.built_in ? m.name : m.about])];
}
