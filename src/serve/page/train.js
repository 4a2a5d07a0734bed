// SPDX-License-Identifier: MIT
// train.js - training a model, its curve and the pictures that it makes meanwhile.
import { ask, fileUrl, getFiles, postJob, upload } from '/api.js';
import { curve, figure, fill, make, told, values, watch } from '/parts.js';

const form = document.getElementById('train-form');
const place = document.getElementById('train-result');
const runs = document.getElementById('train-runs');
let stop = null, timer = null;

// [[step, loss], ...] of progress.csv
function curveOf(csv) {
  const [head, ...lines] = csv.trim().split('\n').map(line => line.split(','));
  const step = head.indexOf('step'), loss = head.indexOf('loss');
  return step < 0 || loss < 0 ? [] : lines.map(l => [Number(l[step]), Number(l[loss])]).filter(p => p[1] > 0);
}

function drawing(points) {
  const x = points.map(p => p[0]), y = points.map(p => Math.log(p[1]));
  const scale = (v, all) => (v - Math.min(...all)) / (Math.max(...all) - Math.min(...all) || 1);
  const last = points[points.length - 1];
  const line = points.map((p, i) => `${i ? 'L' : 'M'}${100 * scale(p[0], x)} ${95 - 90 * scale(y[i], y)}`).join('');
  return make('figure', {}, curve(`loss by update, ${last[1]} at ${last[0]}`, line), make('figcaption', {}, `loss (logarithmic) by update; ${last[1]} at ${last[0]}`));
}

async function look(id, to) {
  const names = (await getFiles(id)).map(f => f.name);
  const csv = names.find(n => n.endsWith('progress.csv'));
  const points = csv ? curveOf(await (await fetch(fileUrl(id, csv))).text()) : [];
  to.replaceChildren(points.length ? drawing(points) : make('p', { class: 'small' }, 'no update is logged yet'),
    make('div', { class: 'pair' }, ...names.filter(n => n.endsWith('.png')).slice(-4).map(n => figure(fileUrl(id, n), n))));
}

export function open(id) {
  const now = make('div');
  if (stop) stop();
  clearInterval(timer);
  timer = setInterval(() => look(id, now).catch(() => {}), 3000);
  stop = watch(place, id, async () => {
    clearInterval(timer);
    await look(id, now);
    await offerRuns();
    return [];
  }, { meanwhile: [now] });
  history.replaceState(null, '', `#train/${id}`);
}

async function offerRuns() {
  const trainings = (await ask('/api/jobs?limit=1000')).filter(job => job.tag === 'train');
  fill(runs, [['', trainings.length ? 'choose' : 'there is none yet'], ...trainings.map(job => [String(job.id), `job ${job.id}, ${job.state}`])]);
}

export function start() {
  runs.addEventListener('change', () => runs.value && open(Number(runs.value)));
  document.getElementById('tab-train').addEventListener('click', told(offerRuns));
  form.addEventListener('submit', told(async e => {
    e.preventDefault();
    const { data, ...options } = values(form);
    options.data = await upload(data.name, data);
    options.out = 'run';
    open((await postJob('train', options, 'train')).id);
    await offerRuns();
  }));
}
