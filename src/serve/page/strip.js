// SPDX-License-Identifier: MIT
// strip.js - the predicted image at every network call of a job, as a film strip.
import { className } from '/models.js';
import { make } from '/parts.js';

// element, add(frame), clear(); onBranch(frame) is called with the frame that is looked at
export function strip(id, model, onBranch) {
  const row = make('div', { class: 'strip', role: 'group', 'aria-label': 'predictions, one for each network call' });
  const which = make('select', { 'aria-label': 'image', hidden: true });
  const detail = make('div', { class: 'frame' });
  let frames = [], shown = null, follow = true;
  const key = f => `${f.stage}.${f.image}`;
  const url = name => `/api/jobs/${id}/${name}`;

  function show(frame) {
    shown = frame;
    for (const b of row.children) b.setAttribute('aria-current', b.frame === frame);
    const sigma = frame.sigma === undefined ? '' : `, noise ${frame.sigma.toPrecision(3)}`;
    detail.replaceChildren(make('figure', {}, make('img', { src: url(frame.picture), alt: 'the predicted image' }),
      make('figcaption', {}, `call ${frame.call} of ${frame.calls}${sigma}`)));
    if (frame.gradient)
      detail.append(make('figure', {}, make('img', { src: url(frame.gradient), alt: 'heat map: where the classifier pushes' }),
        make('figcaption', {}, "the classifier's gradient")));
    if (frame.top)
      detail.append(make('ol', { class: 'top', 'aria-label': 'most likely classes' }, ...frame.top.map(([label, p]) =>
        make('li', {}, make('span', {}, className(model, label)), make('meter', { value: p, 'aria-hidden': 'true' }),
          make('span', {}, `${(100 * p).toFixed(1)} %`)))));
    if (onBranch)
      detail.append(make('button', { type: 'button', class: 'branch', onclick: () => onBranch(frame) }, 'Branch here'));
  }

  function button(frame) {
    const b = make('button', {
      type: 'button',
      'aria-label': `call ${frame.call} of ${frame.calls}${frame.stage ? `, stage ${frame.stage}` : ''}`,
      onclick: () => { follow = false; show(frame); },
    }, make('img', { src: url(frame.picture), alt: '', loading: 'lazy' }));
    b.frame = frame;
    return b;
  }

  function redraw() {
    row.replaceChildren(...frames.filter(f => key(f) === which.value).map(button));
  }

  function add(frame) {
    if (!frame.picture) return;
    frames.push(frame);
    if (![...which.options].some(o => o.value === key(frame))) {
      which.append(make('option', { value: key(frame) }, `image ${frame.image}${frame.stage ? `, stage ${frame.stage}` : ''}`));
      which.hidden = which.options.length < 2;
    }
    if (key(frame) !== which.value) return;
    row.append(button(frame));
    if (follow) {
      show(frame);
      row.scrollLeft = row.scrollWidth;
    }
  }

  row.addEventListener('keydown', e => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
    const next = step && document.activeElement[step < 0 ? 'previousElementSibling' : 'nextElementSibling'];
    if (!next || !row.contains(next)) return;
    e.preventDefault();
    next.focus();
    next.click();
  });
  which.addEventListener('change', () => { redraw(); if (row.lastChild) show(row.lastChild.frame); });
  return {
    element: make('div', {}, which, row, detail),
    add,
    clear() {
      frames = [];
      which.replaceChildren();
      row.replaceChildren();
      detail.replaceChildren();
    },
    frames: () => frames,
    shown: () => shown,
  };
}
