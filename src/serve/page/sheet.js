// SPDX-License-Identifier: MIT
// sheet.js - one seed with several scales and numbers of steps, filled while one watches.
import { fileUrl, hasEnded, onJob, postJob } from '/api.js';
import { offer } from '/models.js';
import { make, pictures, told, values } from '/parts.js';

const form = document.getElementById('sheet-form');
const place = document.getElementById('sheet-result');
const list = text => text.split(',').map(x => x.trim()).filter(x => x);
let stop = null;

async function fillCell(cell, id) {
  const name = (await pictures(id))[0];
  if (name) cell.replaceChildren(make('img', { src: fileUrl(id, name), alt: cell.title }));
}

export function start() {
  offer(form);
  form.addEventListener('submit', told(async e => {
    e.preventDefault();
    const { scales, steps, ...same } = values(form);
    const table = make('table', {}, make('caption', {}, 'scale downwards, steps to the right'),
      make('tr', {}, make('th', {}), ...list(steps).map(s => make('th', { scope: 'col' }, s))));
    const cells = new Map(), wanted = [];
    for (const scale of list(scales)) {
      const row = make('tr', {}, make('th', { scope: 'row' }, scale));
      for (const step of list(steps)) {
        const cell = make('td', { class: 'cell', title: `scale ${scale}, ${step}` }, '...');
        row.append(cell);
        wanted.push([cell, { ...same, scale, steps: step, num: 1 }]);
      }
      table.append(row);
    }
    place.replaceChildren(table);
    if (stop) stop();
    const early = new Map(); // states that came before the answer with the number
    const look = job => {
      early.set(job.id, job);
      const cell = cells.get(job.id);
      if (!cell) return;
      if (job.state === 'running' && job.total) cell.textContent ||= '...';
      if (!hasEnded(job.state)) return;
      cells.delete(job.id);
      if (job.state === 'done') fillCell(cell, job.id);
      else cell.textContent = job.state;
    };
    stop = onJob(look);
    for (const [cell, options] of wanted) {
      const { id } = await postJob('sample', options, 'sheet');
      cells.set(id, cell);
      if (early.has(id)) look(early.get(id));
    }
  }));
}
