// evaluate.js - two sets of images, compared.
import { postJob, upload } from '/api.js';
import { models } from '/models.js';
import { fill, make, told, values, watch } from '/parts.js';

const form = document.getElementById('eval-form');
const place = document.getElementById('eval-result');

// {"fid": 1, "is": {"mean": 2}} as rows of names and numbers
function rows(value, name = '') {
  if (value === null || typeof value !== 'object') return [[name, typeof value === 'number' ? Number(value.toPrecision(6)) : value]];
  return Object.entries(value).flatMap(([key, inner]) => rows(inner, name ? `${name}, ${key}` : key));
}

function table(result) {
  return make('div', { class: 'wide' }, make('table', {}, make('caption', {}, 'Result'),
    ...rows(result).map(([name, value]) => make('tr', {}, make('th', { scope: 'row' }, name), make('td', {}, String(value))))));
}

async function submit(e) {
  e.preventDefault();
  const { samples, ref, features, bootstrap } = values(form);
  const options = { features };
  if (Number(bootstrap) > 0) options.bootstrap = bootstrap;
  options.samples = await upload(samples.name, samples);
  options.ref = await upload(ref.name, ref);
  const { id } = await postJob('eval', options);
  watch(place, id, job => (job.result ? [table(job.result)] : job.error ? [] : [make('p', {}, job.state)]));
}

export function start() {
  fill(form.elements.features, [...models.filter(m => m.guided || m.kind === 'classifier').map(m => [m.name, m.built_in ? `the classifier of ${m.name}` : m.about]),
    ['', 'the Inception network, where it is installed']]);
  form.addEventListener('submit', told(submit));
}
