// SPDX-License-Identifier: MIT
// parts.js - pieces of the page that several tabs have.
import { deleteJob, fileUrl, follow, getFiles, getJob, hasEnded, onJob, postJob } from '/api.js';

// make('button', { type: 'button', onclick: f }, 'text', child): an element
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, '');
    else if (value !== false && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

export function say(text) {
  document.getElementById('notice').textContent = text;
}

// A handler whose failure is told
export function told(work) {
  return async (...args) => {
    say('');
    try {
      return await work(...args);
    } catch (error) {
      say(error.message);
    }
  };
}

export function fill(select, choices, chosen) {
  select.replaceChildren(...choices.map(([value, text]) => make('option', { value, selected: value === chosen }, text)));
}

export function values(form) {
  return Object.fromEntries(new FormData(form).entries());
}

export function seconds(n) {
  if (!Number.isFinite(n)) return '';
  return n < 90 ? `${n.toFixed(n < 10 ? 1 : 0)} s` : `${Math.round(n / 60)} min`;
}

// "143 GFLOP/s (80 % of this machine's peak)"
function rate(job) {
  if (!job.gflops) return '';
  const share = job.peak_gflops ? ` (${Math.round(100 * job.gflops / job.peak_gflops)} % of this machine's peak)` : '';
  return `${job.gflops.toPrecision(3)} GFLOP/s${share}`;
}

// How far a job is: calls, time left, and the button that stops it
export function meter(id) {
  const bar = make('progress', { max: 1, value: 0, 'aria-label': 'progress' });
  const text = make('span', { class: 'small', role: 'status' }, 'queued');
  const stop = make('button', { type: 'button', onclick: told(() => deleteJob(id)) }, 'Stop');
  const element = make('div', { class: 'bar' }, bar, text, stop);
  const update = job => {
    const share = job.total > 0 ? job.done / job.total : 0;
    const left = share > 0 ? job.seconds / share - job.seconds : NaN;
    if (job.total > 0) bar.value = share;
    else if (job.state === 'running') bar.removeAttribute('value');
    text.textContent = job.state === 'running' && job.total > 0
      ? [`${job.done} of ${job.total} ${job.unit}`, Number.isFinite(left) ? `${seconds(left)} left` : '', rate(job)].filter(x => x).join(', ')
      : `${job.state}${hasEnded(job.state) && job.seconds ? ` after ${seconds(job.seconds)}` : ''}`;
    if (hasEnded(job.state)) {
      stop.remove();
      bar.value = job.state === 'done' ? 1 : share;
    }
  };
  return { element, update };
}

// A job in `place` until it has ended, then what result(job) makes, an error, and tools; `meanwhile` stands between. Returns what
// stops the watching.
export function watch(place, id, result, { meanwhile = [], onLine = () => {} } = {}) {
  const progress = meter(id), outcome = make('div');
  place.replaceChildren(make('h2', {}, `Job ${id}`), progress.element, ...meanwhile, outcome);
  place.dataset.state = 'queued';
  return follow(id, onLine, told(async job => {
    progress.update(job);
    if (!hasEnded(job.state)) return;
    const whole = await getJob(id);
    outcome.replaceChildren(...await result(whole), whole.error ? make('p', {}, whole.error) : '', tools(whole));
    place.dataset.state = job.state;
  }));
}

// Copy the command, download the receipt, verify
export function tools(job, file) {
  const command = make('code', {}, job.command);
  const status = make('span', { class: 'small', role: 'status' });
  const copy = make('button', {
    type: 'button',
    onclick: told(async () => {
      await copyText(command);
      status.textContent = 'copied';
    }),
  }, 'Copy the command');
  const receipt = make('a', {
    href: URL.createObjectURL(new Blob([JSON.stringify(job, null, 1)], { type: 'application/json' })),
    download: `job-${job.id}.json`,
  }, 'Receipt');
  const bar = make('div', { class: 'bar' }, copy, receipt);
  if (file) bar.append(make('a', { href: fileUrl(job.id, file), download: file.split('/').pop() }, 'Download'));
  if (job.state === 'done')
    bar.append(make('button', {
      type: 'button',
      class: 'verify',
      onclick: told(async () => {
        status.textContent = 'made again and compared ...';
        status.textContent = await verify(job, file);
      }),
    }, 'Verify'));
  bar.append(status);
  return make('div', {}, make('p', { class: 'small' }, command), bar);
}

// Pages by plain http from another machine have no clipboard; there the text is selected and copied.
async function copyText(element) {
  if (navigator.clipboard) return navigator.clipboard.writeText(element.textContent);
  getSelection().selectAllChildren(element);
  if (!document.execCommand('copy')) throw new Error('the browser does not copy; the command is selected');
  return undefined;
}

// A picture is made again from the recipe that it carries; of other jobs everything is made again and compared.
async function verify(job, file) {
  if (job.kind !== 'sample' || !file) return again(job);
  const check = await postJob('verify', {}, '', [`jobs/${job.id}/files/${file}`]);
  const end = await ended(check.id);
  return end.state === 'done' ? `verified: ${end.result.equal} of ${end.result.compared} equal` : again(job);
}

export async function bytesOf(url) {
  return new Uint8Array(await (await fetch(url)).arrayBuffer());
}

export const same = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);

// A result without what is different each time
function lasting(result) {
  return JSON.stringify(result, (key, value) => (['seconds', 'output', 'images_per_second'].includes(key) ? undefined : value));
}

// The same job again: its files have the same bytes, but for logs with times, and it gives the same result.
export async function again(job) {
  const other = await postJob(job.kind, job.options, `replay:${job.id}`, job.words);
  const end = await ended(other.id);
  if (end.state !== 'done') return `job ${other.id}: ${end.error || end.state}`;
  const names = (await getFiles(job.id)).map(f => f.name).filter(name => !/tfevents|progress|\.log$|run\.json$|command/.test(name));
  const different = lasting(job.result) === lasting(end.result) ? [] : ['the result'];
  let bytes = 0;
  for (const name of names) {
    const [a, b] = await Promise.all([job.id, other.id].map(id => bytesOf(fileUrl(id, name))));
    bytes += a.length;
    if (!same(a, b)) different.push(name);
  }
  return different.length ? `made again as job ${other.id}: different are ${different.join(', ')}`
    : `made again as job ${other.id}: equal, ${names.length ? `${names.length} ${names.length === 1 ? 'file' : 'files'}, ${bytes} bytes` : 'the same result'}`;
}

// The job when it has ended
export async function ended(id) {
  let stop = () => {};
  await new Promise(done => {
    const look = job => { if (job.id === id && hasEnded(job.state)) done(); };
    stop = onJob(look);
    getJob(id).then(look);
  });
  stop();
  return getJob(id);
}

export async function pictures(id) {
  return (await getFiles(id)).map(f => f.name).filter(name => name.endsWith('.png'));
}

// A drawing of paths in a square of 100 by 100, described by `text`
export function curve(text, ...paths) {
  const name = 'http://www.w3.org/2000/svg', svg = document.createElementNS(name, 'svg');
  for (const [key, value] of Object.entries({ class: 'curve', viewBox: '0 0 100 100', preserveAspectRatio: 'none', role: 'img', 'aria-label': text }))
    svg.setAttribute(key, value);
  for (const d of paths) {
    const path = document.createElementNS(name, 'path');
    path.setAttribute('d', d);
    svg.append(path);
  }
  return svg;
}

export function figure(source, text) {
  return make('figure', {}, make('img', { class: 'picture', src: source, alt: text }), make('figcaption', {}, text));
}
