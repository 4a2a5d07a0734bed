// SPDX-License-Identifier: MIT
// app.js - the tabs, the list of jobs, and the beginning.
import { ask, connect, deleteJob, hasEnded, onJob } from '/api.js';
import { load } from '/models.js';
import { make, told } from '/parts.js';
import * as evaluate from '/evaluate.js';
import * as restore from '/restore.js';
import * as sample from '/sample.js';
import * as sheet from '/sheet.js';
import * as train from '/train.js';

const tabs = [...document.querySelectorAll('[role=tab]')];

function choose(tab, focus) {
  for (const t of tabs) {
    t.setAttribute('aria-selected', t === tab);
    t.tabIndex = t === tab ? 0 : -1;
    document.getElementById(t.getAttribute('aria-controls')).hidden = t !== tab;
  }
  if (focus) tab.focus();
}

for (const tab of tabs) {
  tab.addEventListener('click', () => {
    choose(tab, false);
    history.replaceState(null, '', `#${tab.getAttribute('aria-controls')}`);
  });
  tab.addEventListener('keydown', e => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
    if (step) {
      const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
      next.click();
      choose(next, true);
    }
  });
}

// ---- the list of jobs ----

const views = { sample, restore, eval: evaluate, train };
const tabOf = job => (views[job.kind] ? job.kind : job.kind === 'train-classifier' ? 'train' : 'sample');

// In the tab of its kind
function openJob(job) {
  choose(document.getElementById(`tab-${tabOf(job)}`), false);
  views[tabOf(job)].open(job.id);
}

const rows = document.getElementById('job-rows');
const known = new Map();

function row(job) {
  let element = known.get(job.id);
  if (!element) {
    element = make('tr');
    known.set(job.id, element);
    rows.prepend(element);
  }
  element.replaceChildren(
    make('td', {}, make('a', { href: `#${tabOf(job)}/${job.id}`, onclick: e => { e.preventDefault(); openJob(job); } }, `${job.id}`)),
    make('td', {}, job.kind), make('td', {}, job.state), make('td', {}, job.total ? `${job.done} of ${job.total} ${job.unit}` : ''),
    make('td', {}, make('button', {
      type: 'button',
      onclick: told(async () => {
        await deleteJob(job.id);
        if (hasEnded(job.state)) {
          element.remove();
          known.delete(job.id);
        }
      }),
    }, hasEnded(job.state) ? 'Remove' : 'Stop')));
}

async function list() {
  for (const job of (await ask('/api/jobs?limit=50')).reverse()) row(job);
  onJob(row);
}

// ---- the beginning ----

function openFromAddress() {
  const [name, id] = location.hash.slice(1).split('/');
  const tab = tabs.find(t => t.getAttribute('aria-controls') === name);
  if (tab) choose(tab, false);
  if (views[name] && /^[0-9]+$/.test(id || '')) views[name].open(Number(id));
}

told(async () => {
  const server = await ask('/api/server');
  document.getElementById('server').textContent = `guided ${server.version}`;
  await load();
  for (const part of [sample, sheet, restore, evaluate, train]) part.start();
  await list();
  connect(up => { document.getElementById('link').textContent = up ? '' : 'the server does not answer; trying again'; });
  openFromAddress();
  document.body.dataset.ready = 'true';
})();
