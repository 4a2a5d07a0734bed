// SPDX-License-Identifier: MIT
// evaluate.js - two sets of images, compared.
import { postJob, upload } from '/api.js';
import { models } from '/models.js';
import { curve, fill, make, told, values, watch } from '/parts.js';

const form = document.getElementById('eval-form');
const place = document.getElementById('eval-result');

// {"fid": 1, "is": {"mean": 2}} as rows of names and numbers
function rows(value, name = '') {
  if (value === null || typeof value !== 'object') return [[name, typeof value === 'number' ? Number(value.toPrecision(6)) : value]];
  return Object.entries(value).flatMap(([key, inner]) => rows(inner, name ? `${name}, ${key}` : key));
}

const HOW = /^(guided|network|features|width|dialect|reference|samples|sample_|bootstrap|seed|seconds|isa|protocol|note|distances|inception_score_split)/;

function table(title, list) {
  return make('div', { class: 'wide' }, make('table', {}, make('caption', {}, title),
    ...list.map(([name, value]) => make('tr', {}, make('th', { scope: 'row' }, name), make('td', {}, String(value))))));
}

// The scores, and below them how they were measured
function tables(result) {
  const all = rows(result);
  return [table('Scores', all.filter(([name]) => !HOW.test(name))),
    make('details', {}, make('summary', {}, 'How it was measured'), table('Sets and network', all.filter(([name]) => HOW.test(name))))];
}

// FID of the first samples as they come, with a bar of one standard deviation to each side
function drawing(parts) {
  const last = parts[parts.length - 1], low = p => p.value - (p.deviation || 0), high = p => p.value + (p.deviation || 0);
  const top = Math.max(...parts.map(high)), bottom = Math.min(0, ...parts.map(low));
  const x = p => 4 + 92 * p.samples / p.total, y = v => 95 - 90 * (v - bottom) / (top - bottom || 1);
  const line = parts.map((p, i) => `${i ? 'L' : 'M'}${x(p)} ${y(p.value)}`).join('');
  const bars = parts.filter(p => p.deviation).map(p => `M${x(p)} ${y(low(p))}V${y(high(p))}M${x(p) - 1} ${y(low(p))}h2M${x(p) - 1} ${y(high(p))}h2`).join('');
  const about = p => `${Number(p.value.toPrecision(4))}${p.deviation ? ` ± ${Number(p.deviation.toPrecision(2))}` : ''} at ${p.samples}`;
  return make('figure', {}, curve(`FID by the number of samples: ${parts.map(about).join(', ')}`, line, bars),
    make('figcaption', {}, `FID of the first samples, from 0 to ${last.total}: ${parts.map(about).join(', ')}`));
}

async function submit(e) {
  e.preventDefault();
  const { samples, ref, features, bootstrap } = values(form);
  const options = { features };
  if (Number(bootstrap) > 0) options.bootstrap = bootstrap;
  options.samples = await upload(samples.name, samples);
  options.ref = await upload(ref.name, ref);
  open((await postJob('eval', options)).id);
}

export function open(id) {
  const plot = make('div'), parts = [];
  const onLine = event => {
    if (event.type === 'begin') parts.length = 0;
    if (event.type === 'partial') parts.push(event);
    plot.replaceChildren(...(parts.length ? [drawing(parts)] : []));
  };
  watch(place, id, job => {
    const { fid, fid_deviation: deviation, sample_images: n } = job.result || {};
    if (fid !== undefined && parts.length) plot.replaceChildren(drawing([...parts, { samples: n, total: n, value: fid, deviation }]));
    return job.result ? tables(job.result) : job.error ? [] : [make('p', {}, job.state)];
  }, { meanwhile: [plot], onLine });
  history.replaceState(null, '', `#eval/${id}`);
}

export function start() {
  fill(form.elements.features, [...models.filter(m => m.guided || m.kind === 'classifier').map(m => [m.name, m.built_in ? `the classifier of ${m.name}` : m.about]),
    ['', 'the Inception network, where it is installed']]);
  form.addEventListener('submit', told(submit));
}
