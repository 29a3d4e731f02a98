'use strict';
const byId = (id) => document.getElementById(id);
let maxUpload = Infinity;
let last; // the request whose answer counts
let stream; // the camera's

function say(words) {
  byId('error').textContent = words;
  byId('error').hidden = !words;
}

function bar({ class: label, probability }) {
  const row = document.createElement('div');
  const [name, share, length] = ['span', 'b', 'i'].map((tag) => row.appendChild(document.createElement(tag)));
  row.className = 'bar';
  name.textContent = label;
  share.textContent = `${(100 * probability).toFixed(1)} %`;
  length.style.width = `${100 * probability}%`;
  return row;
}

function number({ name: label, value }) {
  const row = document.createElement('div');
  const [name, amount] = ['span', 'b'].map((tag) => row.appendChild(document.createElement(tag)));
  row.className = 'bar';
  name.textContent = label;
  amount.textContent = value.toPrecision(4);
  return row;
}

function show(seen) {
  byId('bars').replaceChildren(...seen.predictions.map(bar), ...seen.numbers.map(number));
  byId('shows').textContent = seen.is_known === false ? 'Probably none of these' : 'What it shows';
  byId('unlike').hidden = seen.is_known !== false;
  byId('input').src = seen.input;
  byId('heat').src = seen.heat;
  const words = seen.is_warm
    ? `What speaks for “${seen.of}”: red the most, blue little, a line around what has half of the most.`
    : `Nothing in the picture speaks for “${seen.of}”.`;
  byId('heat').alt = byId('caption').textContent = words;
  byId('result').hidden = false;
}

async function look(picture) {
  last?.abort();
  const mine = (last = new AbortController());
  say('');
  if (picture.size > maxUpload) {
    document.body.classList.remove('busy');
    say(`the picture is larger than ${Math.floor(maxUpload / 2 ** 20)} MB, the most that is taken here: make it smaller`);
    return;
  }
  document.body.classList.add('busy');
  let ok = false;
  let seen = { error: 'the model does not answer: is taper demo still running?' };
  try {
    const response = await fetch('look', { method: 'POST', body: picture, signal: mine.signal });
    seen = await response.json();
    ok = response.ok;
  } catch {
    // what is said by default
  }
  if (mine.signal.aborted) return;
  if (ok) show(seen);
  else say(seen.error);
  if (mine === last) document.body.classList.remove('busy');
}

function lookAtFirst(items) {
  const file = [...items].find((item) => item instanceof File);
  if (file) look(file);
}

byId('file').addEventListener('change', (event) => {
  lookAtFirst(event.target.files);
  event.target.value = ''; // so that the same file can be chosen again
});
const drop = byId('drop');
for (const kind of ['dragenter', 'dragover', 'dragleave', 'drop']) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle('over', kind === 'dragenter' || kind === 'dragover');
    if (kind === 'drop') lookAtFirst(event.dataTransfer.files);
  });
}
document.addEventListener('paste', (event) => lookAtFirst(event.clipboardData.files));

function showCamera(on) {
  for (const id of ['video', 'shoot', 'close']) byId(id).hidden = !on;
  byId('camera').hidden = on;
}

function closeCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = undefined;
  showCamera(false);
}

byId('camera').addEventListener('click', async () => {
  say('');
  byId('camera').disabled = true; // until the question is answered
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
    byId('video').srcObject = stream;
    showCamera(true);
  } catch (error) {
    say(`the camera cannot be used: ${error.message}`);
  }
  byId('camera').disabled = false;
});
byId('close').addEventListener('click', closeCamera);
byId('shoot').addEventListener('click', () => {
  const video = byId('video');
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext('2d').drawImage(video, 0, 0);
  canvas.toBlob((picture) => {
    closeCamera();
    if (picture) look(picture);
    else say('the camera has not shown anything yet');
  }, 'image/jpeg', 0.95);
});
byId('camera').hidden = !navigator.mediaDevices?.getUserMedia;

(async () => {
  try {
    const model = await (await fetch('model')).json();
    maxUpload = model.max_upload;
    const [h, w] = model.size;
    const name = model.name.split(/[\\/]/).pop();
    const knows = model.task === 'regression' ? 'numbers' : model.task === 'classification' ? 'classes' : 'labels';
    document.title = `Try ${name}`;
    byId('name').textContent = `Try ${name}`;
    byId('about').textContent = `It knows ${model.classes} ${knows} and sees ${w} × ${h} pixels. Pictures stay on this machine.`;
  } catch (error) {
    say('the model does not answer: is taper demo still running?');
  }
})();
