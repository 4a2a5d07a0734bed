// SPDX-License-Identifier: MIT
// restore.js - a picture with missing parts, blurred or reduced, and what it may have been.
import { fileUrl, postJob, upload } from '/api.js';
import { offer } from '/models.js';
import { figure, make, pictures, told, values, watch } from '/parts.js';

const form = document.getElementById('restore-form');
const place = document.getElementById('restore-result');
const paint = document.getElementById('paint');
const canvas = document.getElementById('canvas');
const brush = document.getElementById('brush');
let picture = null, mask = null, at = { x: 0, y: 0 };

// White is known, black is missing.
function clearMask() {
  mask = new OffscreenCanvas(picture.width, picture.height);
  const to = mask.getContext('2d');
  to.fillStyle = 'white';
  to.fillRect(0, 0, mask.width, mask.height);
  draw();
}

function draw() {
  const to = canvas.getContext('2d');
  const known = mask.getContext('2d').getImageData(0, 0, mask.width, mask.height).data;
  to.drawImage(picture, 0, 0);
  const pixels = to.getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < known.length; i += 4)
    if (known[i] < 128) pixels.data.set([200, 30, 60, 255], i);
  to.putImageData(pixels, 0, 0);
  to.strokeStyle = '#3af';
  to.lineWidth = canvas.width / 100;
  to.strokeRect(at.x - brush.value / 2 + 0.5, at.y - brush.value / 2 + 0.5, brush.value - 1, brush.value - 1);
}

function dab() {
  const side = Number(brush.value), to = mask.getContext('2d');
  to.fillStyle = 'black';
  to.fillRect(Math.round(at.x - side / 2), Math.round(at.y - side / 2), side, side);
  draw();
}

function fromPointer(e) {
  const box = canvas.getBoundingClientRect();
  at = { x: (e.clientX - box.left) * canvas.width / box.width, y: (e.clientY - box.top) * canvas.height / box.height };
  if (e.buttons & 1) dab();
  else draw();
}

function fromKey(e) {
  const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key];
  if (!move && e.key !== ' ' && e.key !== 'Delete') return;
  e.preventDefault();
  if (move) at = { x: at.x + move[0], y: at.y + move[1] };
  if (e.key === ' ') dab();
  else if (e.key === 'Delete') clearMask();
  else draw();
}

async function takePicture() {
  const file = form.elements.picture.files[0];
  if (!file) return;
  picture = await createImageBitmap(file);
  canvas.width = picture.width;
  canvas.height = picture.height;
  at = { x: picture.width / 2, y: picture.height / 2 };
  clearMask();
  showPaint();
}

function showPaint() {
  paint.hidden = !picture || form.elements.operator.value !== 'inpaint';
}

// What a picture of the results is
function about(name) {
  return { 'mean.png': 'mean of the samples', 'std.png': 'where they differ (white: most)', 'measurement.png': 'what was measured' }[name] ||
    (/^[0-9]+\.png$/.test(name) ? `sample ${Number(name.slice(0, -4)) + 1}` : name);
}

async function submit(e) {
  e.preventDefault();
  const { picture: file, operator, ...options } = values(form);
  options.measurement = await upload(file.name, file);
  options.operator = operator;
  if (operator === 'inpaint')
    options.operator = `inpaint:${await upload('mask.png', await mask.convertToBlob({ type: 'image/png' }))}`;
  open((await postJob('restore', options)).id);
}

export function open(id) {
  watch(place, id, async () => [
    make('div', { class: 'pair' }, ...(await pictures(id)).map(name => figure(fileUrl(id, name), about(name))))]);
  history.replaceState(null, '', `#restore/${id}`);
}

export function start() {
  offer(form, { one: true });
  form.elements.picture.addEventListener('change', told(takePicture));
  form.elements.operator.addEventListener('change', showPaint);
  document.getElementById('clear-mask').addEventListener('click', clearMask);
  canvas.addEventListener('pointermove', fromPointer);
  canvas.addEventListener('pointerdown', e => { canvas.setPointerCapture(e.pointerId); fromPointer(e); });
  canvas.addEventListener('keydown', fromKey);
  form.addEventListener('submit', told(submit));
  const drop = document.getElementById('restore');
  drop.addEventListener('dragover', e => e.preventDefault());
  drop.addEventListener('drop', told(async e => {
    e.preventDefault();
    form.elements.picture.files = e.dataTransfer.files;
    await takePicture();
  }));
}
