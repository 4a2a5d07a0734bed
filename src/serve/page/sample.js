// SPDX-License-Identifier: MIT
// sample.js - the tab that makes pictures, shows how they came about, and branches.
import { fileUrl, follow, getJob, hasEnded, postJob } from '/api.js';
import { classField, find, offer, solverChoices, upsamplerChoices } from '/models.js';
import { again, bytesOf, figure, fill, make, meter, pictures, same, told, tools, values } from '/parts.js';
import { strip } from '/strip.js';

const form = document.getElementById('sample-form');
const result = document.getElementById('sample-result');
const branches = document.getElementById('branch-result');
const view = {}; // by place: stops watching what it shows
const films = new Map(); // by place: the strip that it shows

function optionsOf(f) {
  const o = values(f);
  if (o.upsampler) o['keep-stages'] = true;
  return o;
}

// A job in `place`, as it runs and when it has ended; beside: a figure to compare its pictures with
function show(place, id, title, { onBranch, onDone = () => {}, beside = '' } = {}) {
  const progress = meter(id);
  const outcome = make('div');
  let film = null, whole = null;

  if (view[place.id]) view[place.id]();
  place.replaceChildren(make('h2', {}, title), progress.element, outcome);
  place.dataset.job = id;
  place.dataset.state = 'queued';

  const line = event => {
    if (event.type === 'begin' && film) film.clear();
    if (event.type === 'frame') film.add(event);
    if (event.type === 'notice') outcome.append(make('p', { class: 'small' }, event.text));
  };
  const state = told(async job => {
    progress.update(job);
    if (!hasEnded(job.state) || place.dataset.job !== String(id)) return;
    whole = await getJob(id);
    const names = await pictures(id);
    outcome.replaceChildren(
      make('div', { class: 'pair' }, beside, ...names.map(name => figure(fileUrl(id, name), name))),
      whole.error ? make('p', {}, whole.error) : '', tools(whole, names[0]));
    place.dataset.state = job.state;
    if (job.state === 'done') await onDone(film);
  });
  getJob(id).then(job => {
    film = strip(id, find(job.options.model || 'fashion32'), onBranch && (frame => onBranch(job, frame)));
    films.set(place.id, film);
    place.append(film.element);
    view[place.id] = follow(id, line, state);
  });
}

// ---- branches ----

// Options of the branch: from the frame's call on, or of the whole run
function branchOptions(job, frame, { from, ...changed }) {
  const options = { ...job.options };
  for (const name of ['branch-call', 'branch-class', 'branch-scale', 'branch-sampler']) delete options[name];
  if (from === 'start') return { ...options, ...changed, sampler: changed.sampler || options.sampler };
  return { ...options, 'branch-call': frame.call, 'branch-class': changed.class, 'branch-scale': changed.scale, 'branch-sampler': changed.sampler };
}

function branchForm(job, frame) {
  const sampler = make('select', { name: 'sampler' });
  const model = find(job.options.model || 'fashion32');
  const from = make('select', { name: 'from' }, frame.stage ? '' : make('option', { value: 'call' }, `call ${frame.call} on`),
    make('option', { value: 'start' }, 'the beginning'));
  const f = make('form', { class: 'form', id: 'branch-form' },
    make('label', {}, 'Class', classField(model, frame.label ?? 0, true)),
    make('label', {}, 'Guidance scale', make('input', { name: 'scale', type: 'number', min: 0, max: 1000, step: 'any', value: job.options.scale ?? (model.guided ? model.scale : ''), disabled: !model.guided })),
    make('label', {}, 'Solver', sampler),
    make('label', {}, 'From', from),
    make('button', { type: 'submit' }, 'Make the branch'),
    make('button', { type: 'button', id: 'replay', onclick: told(() => replay(job)) }, 'Replay unchanged'));
  fill(sampler, [['', 'as before'], ...solverChoices().slice(1)], '');
  f.addEventListener('submit', told(async e => {
    e.preventDefault();
    const branch = await postJob('sample', branchOptions(job, frame, values(f)), `branch:${job.id}:${frame.call}`);
    await compare(job, branch, frame);
  }));
  return f;
}

// How many predictions from the first on are the same picture
async function shared(job, other, first, second) {
  let n = 0;
  for (; n < Math.min(first.length, second.length); n++) {
    const [a, b] = await Promise.all([bytesOf(`/api/jobs/${job}/${first[n].picture}`), bytesOf(`/api/jobs/${other}/${second[n].picture}`)]);
    if (!same(a, b)) break;
  }
  return n;
}

async function compare(job, branch, frame) {
  const place = make('div', { id: `branch-${branch.id}`, class: 'branch-view' });
  const status = make('p', { class: 'small shared', role: 'status' });
  branches.append(place, status);
  const name = (await pictures(job.id))[0];
  const beside = name ? figure(fileUrl(job.id, name), `job ${job.id}, before the branch`) : '';
  const onDone = async film => {
    const of = f => f.stage === frame.stage && f.image === frame.image;
    const n = await shared(job.id, branch.id, films.get(result.id).frames().filter(of), film.frames().filter(of));
    status.textContent = `the first ${n} predictions are the same pictures`;
  };
  show(place, branch.id, `Branch of job ${job.id} at call ${frame.call}`, { onDone, beside });
}

async function replay(job) {
  const status = make('p', { id: 'replay-status', role: 'status' }, 'replaying ...');
  document.getElementById('replay-status')?.remove();
  branches.append(status);
  status.textContent = await again(await getJob(job.id));
}

function branchFrom(job, frame) {
  branches.replaceChildren(make('h2', {}, `Branch at call ${frame.call}`), branchForm(job, frame));
  branches.querySelector('select, input').focus();
}

export function open(id) {
  branches.replaceChildren();
  show(result, id, `Job ${id}`, { onBranch: branchFrom });
  history.replaceState(null, '', `#sample/${id}`);
}

export function start() {
  offer(form);
  fill(form.elements.sampler, solverChoices());
  fill(form.elements.upsampler, upsamplerChoices());
  form.addEventListener('submit', told(async e => {
    e.preventDefault();
    open((await postJob('sample', optionsOf(form))).id);
  }));
}
