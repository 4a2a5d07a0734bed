// sample.js - the tab that makes pictures, shows how they came about, and branches.
import { fileUrl, follow, getJob, hasEnded, postJob } from '/api.js';
import { find, offer, solverChoices, upsamplerChoices } from '/models.js';
import { ended, figure, fill, make, meter, pictures, told, tools, values } from '/parts.js';
import { strip } from '/strip.js';

const form = document.getElementById('sample-form');
const result = document.getElementById('sample-result');
const branches = document.getElementById('branch-result');
const view = {}; // what the two places show: stop watching

function optionsOf(f) {
  const o = values(f);
  if (o.upsampler) o['keep-stages'] = true;
  return o;
}

// A job in `place`, as it runs and when it has ended
export function show(place, id, title, onBranch) {
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
      make('div', { class: 'pair' }, ...names.map(name => figure(fileUrl(id, name), name))),
      whole.error ? make('p', {}, whole.error) : '', tools(whole, names[0]));
    place.dataset.state = job.state;
  });
  getJob(id).then(job => {
    film = strip(id, find(job.options.model || 'fashion32'), onBranch && (frame => onBranch(job, frame)));
    place.append(film.element);
    view[place.id] = follow(id, line, state);
  });
}

// ---- branches ----

// Guidance as a whole, or on one side of the frame's noise level only
function interval(frame, how) {
  if (how === 'before') return `${frame.sigma},1e9`;
  if (how === 'after') return `0,${frame.sigma}`;
  return '';
}

function branchForm(job, frame) {
  const classes = make('select', { name: 'class' });
  const sampler = make('select', { name: 'sampler' });
  const model = find(job.options.model || 'fashion32');
  const f = make('form', { class: 'form', id: 'branch-form' },
    make('label', {}, 'Class', classes),
    make('label', {}, 'Scale', make('input', { name: 'scale', type: 'number', min: 0, max: 1000, step: 'any', value: job.options.scale ?? model.scale })),
    make('label', {}, 'Solver', sampler),
    make('label', {}, 'Guided', make('select', { name: 'guided' }, make('option', { value: '' }, 'at every call'),
      make('option', { value: 'before' }, `up to call ${frame.call}`), make('option', { value: 'after' }, `from call ${frame.call} on`))),
    make('button', { type: 'submit' }, 'Make the branch'),
    make('button', { type: 'button', id: 'replay', onclick: told(() => replay(job)) }, 'Replay unchanged'));
  fill(classes, [...form.elements.class.options].map(o => [o.value, o.text]), job.options.class);
  fill(sampler, solverChoices(), job.options.sampler || '');
  f.addEventListener('submit', told(async e => {
    e.preventDefault();
    const { guided, ...changed } = values(f);
    const options = { ...job.options, ...changed, 'guidance-interval': interval(frame, guided) };
    const branch = await postJob('sample', options, `branch:${job.id}:${frame.call}`);
    compare(job, branch, frame);
  }));
  return f;
}

function compare(job, branch, frame) {
  const place = make('div', { id: `branch-${branch.id}`, class: 'branch-view' });
  branches.append(place);
  show(place, branch.id, `Branch of job ${job.id} at call ${frame.call}`, null);
}

// The same job again: its bytes are those of the first
async function replay(job) {
  const status = make('p', { id: 'replay-status', role: 'status' }, 'replaying ...');
  document.getElementById('replay-status')?.remove();
  branches.append(status);
  const again = await postJob('sample', job.options, `replay:${job.id}`);
  const end = await ended(again.id);
  if (end.state !== 'done') throw new Error(end.error || end.state);
  const name = (await pictures(job.id))[0];
  const [a, b] = await Promise.all([job.id, again.id].map(async id => new Uint8Array(await (await fetch(fileUrl(id, name))).arrayBuffer())));
  const equal = a.length === b.length && a.every((x, i) => x === b[i]);
  status.textContent = equal ? `replayed: equal, ${a.length} bytes` : 'replayed: the bytes differ';
}

function branchFrom(job, frame) {
  branches.replaceChildren(make('h2', {}, `Branch at call ${frame.call}`), branchForm(job, frame));
  branches.querySelector('select').focus();
}

export function open(id) {
  branches.replaceChildren();
  show(result, id, `Job ${id}`, branchFrom);
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
