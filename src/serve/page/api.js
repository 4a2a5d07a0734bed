// SPDX-License-Identifier: MIT
// api.js - requests to the server, and its one stream of events.

export async function ask(path, options = {}) {
  const response = await fetch(path, options);
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error || `${path}: ${response.status}`);
  return body;
}

export function postJob(kind, options, tag = '', words = []) {
  const given = Object.fromEntries(Object.entries(options).filter(([, v]) => v !== '' && v !== undefined && v !== null));
  return ask('/api/jobs', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ kind, options: given, words, tag }),
  });
}

export const getJob = id => ask(`/api/jobs/${id}`);
export const getFiles = id => ask(`/api/jobs/${id}/files`);
export const deleteJob = id => ask(`/api/jobs/${id}`, { method: 'DELETE' });
export const fileUrl = (id, name) => `/api/jobs/${id}/files/${name.split('/').map(encodeURIComponent).join('/')}`;
export const hasEnded = state => !['queued', 'running'].includes(state);

// Gives the name by which a job can use the file.
export async function upload(name, blob) {
  const safe = name.replace(/[^A-Za-z0-9._ -]/g, '_').replace(/^[.-]+/, '').slice(-100) || 'file';
  return (await ask(`/api/uploads?name=${encodeURIComponent(safe)}`, { method: 'POST', body: blob })).file;
}

// One EventSource for all jobs, and none in a tab that nobody sees: browsers allow six connections to a server, and tabs share
// them.  A new stream begins with the state of every job.
const listeners = new Set();
let source = null;

export function onJob(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function connect(onLink) {
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) source.close();
    else listen(onLink);
  });
  listen(onLink);
}

function listen(onLink) {
  if (source) source.close();
  source = new EventSource('/api/events');
  source.addEventListener('job', e => {
    const job = JSON.parse(e.data);
    for (const listener of [...listeners]) listener(job);
  });
  source.onopen = () => onLink(true);
  source.onerror = () => onLink(false);
}

// Every line of a job's events, until it has ended; returns a function that stops it.
export function follow(id, onLine, onJobState) {
  const own = new EventSource(`/api/jobs/${id}/events`);
  own.addEventListener('line', e => onLine(JSON.parse(e.data)));
  own.addEventListener('job', e => {
    const job = JSON.parse(e.data);
    onJobState(job);
    if (hasEnded(job.state)) own.close();
  });
  return () => own.close();
}
