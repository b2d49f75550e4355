/* The page of pyrowire: one flame graph of a service and time range, and what is around it. Own code, no
 * framework; it talks to the query API of the same origin in Connect JSON. */
'use strict';

const ROW = 19;             /* px of one level */
const TABLE_ROWS = 200;     /* shown; more are counted */
const RANGES = { '15m': 900, '1h': 3600, '6h': 21600, '24h': 86400 };

const $ = (id) => document.getElementById(id);
const state = {
  service: '', type: '', labels: '', range: '1h', from: 0, until: 0, /* s; of a custom range */
  view: 'both', sort: 'self', descending: true, query: '', tenant: '',
  series: new Map(),        /* service -> [profile type] */
  flame: null, points: [], step: 15, shown: { from: 0, until: 0 },
  focus: null, hover: null, drag: null, request: 0,
};

/* --- Talking to the server --------------------------------------------------------------------- */

class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

async function call(method, body) {
  const headers = { 'Content-Type': 'application/json', 'Connect-Protocol-Version': '1' };
  if (state.tenant) headers['X-Scope-OrgID'] = state.tenant;
  let res;
  try {
    res = await fetch('/querier.v1.QuerierService/' + method, { method: 'POST', headers, body: JSON.stringify(body) });
  } catch (e) {
    throw new ApiError(0, 'unavailable', 'The server does not answer. Is pyrowire running?');
  }
  const text = await res.text();
  let data = {};
  try { data = text ? JSON.parse(text) : {}; } catch (e) { data = { message: text }; }
  if (!res.ok) throw new ApiError(res.status, data.code || String(res.status), data.message || res.statusText);
  return data;
}

function timeRange() {
  if (state.range === 'custom') return { from: state.from, until: state.until };
  const until = Math.floor(Date.now() / 1000);
  return { from: until - RANGES[state.range], until };
}

function selector() {
  const more = state.labels.trim().replace(/^\{|\}$/g, '').trim();
  return '{service_name=' + JSON.stringify(state.service) + (more ? ',' + more : '') + '}';
}

/* --- Numbers as people read them --------------------------------------------------------------- */

function unitOf(type) { return (type.split(':')[2] || ''); }

function scaled(v, steps) {
  for (const [size, name] of steps) {
    if (Math.abs(v) >= size) {
      const x = v / size;
      return (Math.abs(x) >= 100 ? x.toFixed(0) : Math.abs(x) >= 10 ? x.toFixed(1) : x.toFixed(2)) + ' ' + name;
    }
  }
  return String(v);
}

function format(v, unit) {
  if (v === 0) return '0';
  if (unit === 'nanoseconds') return scaled(v, [[3.6e12, 'h'], [6e10, 'min'], [1e9, 's'], [1e6, 'ms'], [1e3, 'µs'], [1, 'ns']]);
  if (unit === 'bytes') return scaled(v, [[2 ** 40, 'TiB'], [2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [2 ** 10, 'KiB'], [1, 'B']]);
  return v < 10000 ? String(Math.round(v)) : scaled(v, [[1e9, 'G'], [1e6, 'M'], [1e3, 'k']]);
}

function percent(v, total) {
  const p = total ? 100 * v / total : 0;
  return (p >= 10 || p === 0 ? p.toFixed(1) : p.toFixed(2)) + ' %';
}

/* --- The flame graph as arrays ----------------------------------------------------------------- */

/* levels: 4-tuples of offset (delta coded), total, self, name. */
function decode(fg) {
  const names = fg.names || ['total'];
  const levels = (fg.levels || []).map((l) => {
    const v = (l.values || []).map(Number), n = v.length / 4;
    const level = { start: new Float64Array(n), total: new Float64Array(n), self: new Float64Array(n), name: new Int32Array(n), parent: new Int32Array(n) };
    let at = 0;
    for (let i = 0; i < n; i++) {
      level.start[i] = at + v[4 * i];
      level.total[i] = v[4 * i + 1];
      level.self[i] = v[4 * i + 2];
      level.name[i] = v[4 * i + 3];
      at = level.start[i] + level.total[i];
    }
    return level;
  });
  for (let l = 1; l < levels.length; l++) { /* both levels ascend: one walk finds all parents */
    const up = levels[l - 1], level = levels[l];
    let p = 0;
    for (let i = 0; i < level.start.length; i++) {
      while (p < up.start.length - 1 && up.start[p] + up.total[p] <= level.start[i]) p++;
      level.parent[i] = p;
    }
  }
  return { names, levels, total: levels.length ? levels[0].total[0] : 0 };
}

/* Self and total per function; recursion counts once. */
function tally(flame) {
  const rows = flame.names.map((name, i) => ({ name, id: i, self: 0, total: 0 }));
  flame.levels.forEach((level, l) => {
    for (let i = 0; i < level.start.length; i++) {
      const row = rows[level.name[i]];
      row.self += level.self[i];
      let again = false;
      for (let k = l - 1, p = level.parent[i]; k > 0 && !again; p = flame.levels[k].parent[p], k--) {
        again = flame.levels[k].name[p] === level.name[i];
      }
      if (!again) row.total += level.total[i];
    }
  });
  return rows.slice(1);
}

/* --- Colours ----------------------------------------------------------------------------------- */

const dark = window.matchMedia('(prefers-color-scheme: dark)');

/* A package is what stands before the function: path/pkg.Type.func, module:func, a::b::c. */
function packageOf(name) {
  const slash = name.lastIndexOf('/');
  const dot = name.slice(slash + 1).search(/[.:(<]/);
  return dot < 0 ? name : name.slice(0, slash + 1 + dot);
}

const hues = new Map();
function hueOf(name) {
  const key = packageOf(name);
  let h = hues.get(key);
  if (h === undefined) {
    h = 2166136261;
    for (let i = 0; i < key.length; i++) h = Math.imul(h ^ key.charCodeAt(i), 16777619);
    h = ((h >>> 0) % 1000) / 1000;
    h = h < 0.7 ? 8 + h * 75 : 150 + (h - 0.7) * 400; /* mostly warm, some cool */
    hues.set(key, h);
  }
  return h;
}

function colour(name, dim) {
  if (dim) return dark.matches ? '#34383e' : '#e3e2df';
  const h = hueOf(name);
  return dark.matches ? `hsl(${h} 52% 40%)` : `hsl(${h} 72% 71%)`;
}

/* --- Drawing ----------------------------------------------------------------------------------- */

function fit(canvas, height) {
  const ratio = window.devicePixelRatio || 1, width = canvas.parentElement.clientWidth;
  canvas.style.height = height + 'px';
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const g = canvas.getContext('2d');
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, width, height);
  return { g, width, height };
}

function css(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

/* Without the path of its package: what a narrow place has room for. */
function shortName(name) {
  const cut = name.search(/[ (<]/), head = cut < 0 ? name : name.slice(0, cut);
  return name.slice(head.lastIndexOf('/') + 1) || name;
}

function clip(text, width, measure) {
  if (text.length * measure <= width) return text;
  text = shortName(text);
  if (text.length * measure <= width) return text;
  const keep = Math.floor(width / measure) - 1;
  return keep < 2 ? '' : text.slice(0, keep) + '…';
}

function shownPart() { /* what part of the root is shown, and at which level the focus is */
  const f = state.flame;
  return state.focus ? { start: f.levels[state.focus.l].start[state.focus.i], total: f.levels[state.focus.l].total[state.focus.i], level: state.focus.l }
                     : { start: 0, total: f.total, level: 0 };
}

function drawFlame() {
  const f = state.flame;
  if (!f || !f.total || state.view === 'table') return;
  const w = shownPart();
  const { g, width } = fit($('flame'), Math.max(1, visibleLevels(w)) * ROW + 2);
  g.font = '12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace';
  g.textBaseline = 'middle';
  const measure = g.measureText('m').width, scale = width / w.total, query = state.query.toLowerCase();
  const text = dark.matches ? '#f4f4f5' : '#1b1b1b';
  f.levels.forEach((level, l) => {
    let drawnTo = -1;
    for (let i = first(level, w.start); i < level.start.length && level.start[i] < w.start + w.total; i++) {
      const x0 = Math.max(0, (level.start[i] - w.start) * scale);
      const x1 = Math.min(width, (level.start[i] + level.total[i] - w.start) * scale);
      if (x1 - x0 < 0.4 && x1 < drawnTo + 1) continue; /* narrower than a pixel, beside one drawn */
      drawnTo = Math.max(x1, x0 + 1);
      const name = f.names[level.name[i]], hit = query && name.toLowerCase().includes(query);
      const above = l < w.level, y = l * ROW;
      g.globalAlpha = above ? 0.55 : 1;
      g.fillStyle = hit ? (dark.matches ? '#a21caf' : '#e879f9') : colour(name, query || l === 0);
      g.fillRect(x0, y, Math.max(drawnTo - x0 - (x1 - x0 > 3 ? 1 : 0), 0.6), ROW - 1);
      if (x1 - x0 > 26) {
        g.fillStyle = text;
        const label = l === 0 ? `total  ${format(f.total, unitOf(state.type))}` : name;
        g.fillText(clip(label, x1 - x0 - 8, measure), x0 + 4, y + ROW / 2);
      }
      if (state.hover && state.hover.l === l && state.hover.i === i) {
        g.strokeStyle = text;
        g.lineWidth = 1.5;
        g.strokeRect(x0 + 0.75, y + 0.75, Math.max(x1 - x0 - 2, 1), ROW - 2.5);
      }
    }
  });
  g.globalAlpha = 1;
}

function visibleLevels(w) {
  const f = state.flame;
  let l = 0;
  for (; l < f.levels.length; l++) {
    const i = first(f.levels[l], w.start);
    if (i >= f.levels[l].start.length || f.levels[l].start[i] >= w.start + w.total) break;
  }
  return l;
}

/* The first node of a level that ends behind x. */
function first(level, x) {
  let lo = 0, hi = level.start.length;
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if (level.start[mid] + level.total[mid] <= x) lo = mid + 1; else hi = mid;
  }
  return lo;
}

function nodeAt(ev) {
  const f = state.flame, box = $('flame').getBoundingClientRect();
  if (!f || !f.total) return null;
  const l = Math.floor((ev.clientY - box.top) / ROW), w = shownPart();
  const x = w.start + (ev.clientX - box.left) / box.width * w.total;
  if (l < 0 || l >= f.levels.length) return null;
  const level = f.levels[l], i = first(level, x);
  return i < level.start.length && level.start[i] <= x ? { l, i } : null;
}

function timeLabel(s, range) {
  const d = new Date(s * 1000), two = (n) => String(n).padStart(2, '0');
  const hm = `${two(d.getHours())}:${two(d.getMinutes())}`;
  return range < 1800 ? `${hm}:${two(d.getSeconds())}` : range > 86400 ? `${d.getMonth() + 1}/${d.getDate()} ${hm}` : hm;
}

function drawTimeline() {
  const { g, width, height } = fit($('timeline'), 90);
  const { from, until } = state.shown, range = until - from, base = height - 18, left = 64;
  const at = (s) => left + (s - from) / range * (width - left - 6);
  const max = Math.max(1, ...state.points.map((p) => p.value));
  g.font = '11px system-ui, sans-serif';
  g.strokeStyle = css('--line');
  g.fillStyle = css('--dim');
  g.textBaseline = 'middle';
  g.textAlign = 'right';
  for (const share of [0, 0.5, 1]) {
    const y = base - share * (base - 8);
    g.beginPath(); g.moveTo(left, y + 0.5); g.lineTo(width - 6, y + 0.5); g.stroke();
    g.fillText(format(max * share, unitOf(state.type)), left - 6, Math.max(y, 6));
  }
  g.textAlign = 'center';
  const ticks = Math.max(2, Math.min(8, Math.floor(width / 140)));
  for (let i = 0; i <= ticks; i++) {
    const s = from + range * i / ticks;
    g.textAlign = i === 0 ? 'left' : i === ticks ? 'right' : 'center';
    g.fillText(timeLabel(s, range), at(s), height - 7);
  }
  g.fillStyle = css('--bar');
  for (const p of state.points) { /* a point stands for the step that ends at it */
    const x0 = Math.max(left, at(p.time - state.step)), x1 = Math.min(width - 6, at(p.time));
    const h = p.value / max * (base - 8);
    g.fillRect(x0, base - h, Math.max(1.5, x1 - x0 - 1), h);
  }
  if (state.drag) {
    g.fillStyle = css('--accent');
    g.globalAlpha = 0.25;
    g.fillRect(Math.min(state.drag.a, state.drag.b), 0, Math.abs(state.drag.b - state.drag.a), base);
    g.globalAlpha = 1;
  }
}

/* --- The table --------------------------------------------------------------------------------- */

function drawTable() {
  const f = state.flame, body = $('rows');
  body.textContent = '';
  $('more').textContent = '';
  if (!f || !f.total || state.view === 'flame') return;
  const unit = unitOf(state.type), query = state.query.toLowerCase();
  const rows = f.rows.filter((r) => !query || r.name.toLowerCase().includes(query));
  const sign = state.descending ? -1 : 1, key = state.sort;
  rows.sort((a, b) => key === 'name' ? sign * a.name.localeCompare(b.name) : sign * (a[key] - b[key]) || b.total - a.total || a.name.localeCompare(b.name));
  for (const row of rows.slice(0, TABLE_ROWS)) {
    const tr = document.createElement('tr');
    const name = document.createElement('td');
    const swatch = document.createElement('span');
    swatch.className = 'swatch';
    swatch.style.background = colour(row.name, false);
    name.append(swatch, shortName(row.name) || '(no name)');
    name.title = row.name;
    tr.append(name);
    for (const k of ['self', 'total']) {
      const td = document.createElement('td');
      td.className = 'num';
      td.style.setProperty('--share', Math.min(100, 100 * row[k] / f.total) + '%');
      const share = document.createElement('span');
      share.textContent = percent(row[k], f.total);
      td.append(format(row[k], unit), share);
      tr.append(td);
    }
    tr.className = state.query === row.name ? 'on' : '';
    tr.addEventListener('click', () => search(state.query === row.name ? '' : row.name));
    body.append(tr);
  }
  if (rows.length > TABLE_ROWS) $('more').textContent = `${TABLE_ROWS} of ${rows.length} functions shown; search to narrow them down.`;
  if (!rows.length) $('more').textContent = 'No function matches.';
  for (const b of document.querySelectorAll('[data-sort]')) {
    b.setAttribute('aria-sort', b.dataset.sort === state.sort ? (state.descending ? 'descending' : 'ascending') : 'none');
  }
}

/* Share of the total under functions that match, nested ones counted once. */
function matchedShare() {
  const f = state.flame, query = state.query.toLowerCase();
  if (!query || !f || !f.total) return '';
  let sum = 0, covered = null;
  f.levels.forEach((level, l) => {
    const inside = new Uint8Array(level.start.length);
    for (let i = 0; i < level.start.length; i++) {
      const hit = l > 0 && f.names[level.name[i]].toLowerCase().includes(query);
      const under = l > 0 && covered[level.parent[i]];
      if (hit && !under) sum += level.total[i];
      inside[i] = hit || under ? 1 : 0;
    }
    covered = inside;
  });
  return percent(sum, f.total) + ' matched';
}

/* --- Everything together ----------------------------------------------------------------------- */

function redraw() {
  const f = state.flame, some = Boolean(f && f.total);
  $('panes').className = 'panes ' + state.view;
  $('panes').hidden = !some;
  $('no-data').hidden = some;
  $('no-data').textContent = 'No samples for this selection. Choose another profile or a longer time range.';
  $('reset').disabled = !state.focus;
  $('matched').textContent = matchedShare();
  $('summary').textContent = some ? `${format(f.total, unitOf(state.type))} in ${f.rows.length} functions` : '';
  for (const b of document.querySelectorAll('[data-view]')) b.setAttribute('aria-pressed', String(b.dataset.view === state.view));
  drawTable();
  drawFlame();
  drawTimeline();
}

function search(text) {
  state.query = text;
  $('search').value = text;
  redraw();
}

function fail(e) {
  $('banner').hidden = false;
  $('banner').textContent = (e.code ? e.code.replace(/_/g, ' ') + ': ' : '') + e.message;
  if (e.status === 401) $('tenant-box').hidden = false;
}

function showEmpty(title, text, code) {
  state.flame = null;
  $('main').hidden = true;
  $('empty').hidden = false;
  $('empty-title').textContent = title;
  $('empty-text').textContent = text;
  $('empty-code').hidden = !code;
  $('empty-code').textContent = code || '';
}

function option(value, label) {
  const o = document.createElement('option');
  o.value = value;
  o.textContent = label || value;
  return o;
}

function typeLabel(id) {
  const [name, sample, unit] = id.split(':');
  return `${name} / ${sample} (${unit})`;
}

function fillChoices() {
  const services = [...state.series.keys()].sort();
  if (!state.series.has(state.service)) state.service = services[0] || '';
  $('service').replaceChildren(...services.map((s) => option(s)));
  $('service').value = state.service;
  const types = (state.series.get(state.service) || []).sort();
  if (!types.includes(state.type)) state.type = types.find((t) => t.includes(':cpu:')) || types[0] || '';
  $('type').replaceChildren(...types.map((t) => option(t, typeLabel(t))));
  $('type').value = state.type;
  $('service').disabled = $('type').disabled = !services.length;
}

function remember() {
  const q = new URLSearchParams({ service: state.service, type: state.type, range: state.range });
  if (state.range === 'custom') { q.set('from', state.from); q.set('until', state.until); }
  if (state.labels) q.set('labels', state.labels);
  history.replaceState(null, '', '?' + q);
}

async function loadSeries(range) {
  const data = await call('Series', { matchers: [], labelNames: ['service_name', '__profile_type__'], start: range.from * 1000, end: range.until * 1000 });
  state.series = new Map();
  for (const set of data.labelsSet || []) {
    const labels = Object.fromEntries((set.labels || []).map((l) => [l.name, l.value]));
    const service = labels.service_name || '', type = labels.__profile_type__;
    if (!type) continue;
    if (!state.series.has(service)) state.series.set(service, []);
    state.series.get(service).push(type);
  }
}

async function loadProfile(range, request) {
  const common = { profileTypeID: state.type, labelSelector: selector(), start: range.from * 1000, end: range.until * 1000 };
  const step = Math.max(15, Math.ceil((range.until - range.from) / 100));
  const [merged, series] = await Promise.all([
    call('SelectMergeStacktraces', common),
    call('SelectSeries', { ...common, step }),
  ]);
  if (request !== state.request) return; /* a newer choice is on its way */
  state.flame = decode(merged.flamegraph || {});
  state.flame.rows = tally(state.flame);
  state.focus = state.hover = null;
  state.step = step;
  state.shown = range;
  state.points = ((series.series || [])[0]?.points || []).map((p) => ({ time: Number(p.timestamp) / 1000, value: p.value || 0 }));
  $('timeline-title').textContent = typeLabel(state.type);
}

async function load() {
  const request = ++state.request, range = timeRange();
  document.body.classList.add('busy');
  $('banner').hidden = true;
  try {
    if (!(range.from < range.until)) throw new ApiError(0, '', 'The time range is empty: "from" must lie before "until".');
    await loadSeries(range);
    if (request !== state.request) return;
    fillChoices();
    remember();
    if (!state.series.size) {
      showEmpty('No profiles yet', `Nothing was pushed in this time range. Push to ${location.origin}: give your Pyroscope SDK this address as its server, or send a pprof file:`,
        `curl --data-binary @cpu.pprof \\\n  "${location.origin}/ingest?name=my-service&format=pprof&from=$(date +%s)&until=$(date +%s)"`);
      return;
    }
    $('empty').hidden = true;
    await loadProfile(range, request);
    if (request !== state.request) return;
    $('main').hidden = false; /* first: canvases take their width from the page */
    redraw();
  } catch (e) {
    if (request === state.request) fail(e);
  } finally {
    if (request === state.request) document.body.classList.remove('busy');
  }
}

/* --- Events ------------------------------------------------------------------------------------ */

function localInput(s) { /* the value of datetime-local, in local time */
  const d = new Date(s * 1000);
  return new Date(d.getTime() - d.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
}

function setCustom(from, until) {
  Object.assign(state, { range: 'custom', from: Math.floor(from), until: Math.ceil(until) });
  $('range').value = 'custom';
  $('custom').hidden = false;
  $('from').value = localInput(state.from);
  $('until').value = localInput(state.until);
}

function tooltip(ev, node) {
  const tip = $('tooltip');
  tip.hidden = !node;
  if (!node) return;
  const f = state.flame, level = f.levels[node.l], unit = unitOf(state.type);
  const title = document.createElement('b'), self = document.createElement('span'), total = document.createElement('span');
  title.textContent = node.l === 0 ? 'total' : f.names[level.name[node.i]] || '(no name)';
  self.textContent = `self   ${format(level.self[node.i], unit)}  (${percent(level.self[node.i], f.total)})`;
  total.textContent = `total  ${format(level.total[node.i], unit)}  (${percent(level.total[node.i], f.total)})`;
  tip.replaceChildren(title, self, total);
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(ev.clientX + 14, innerWidth - box.width - 8)) + 'px';
  tip.style.top = (ev.clientY + 18 + box.height > innerHeight ? ev.clientY - box.height - 10 : ev.clientY + 18) + 'px';
}

function bindFlame() {
  const canvas = $('flame');
  canvas.addEventListener('mousemove', (ev) => {
    const node = nodeAt(ev), old = state.hover;
    canvas.style.cursor = node ? 'pointer' : 'default';
    tooltip(ev, node);
    state.hover = node;
    if ((node && node.l) !== (old && old.l) || (node && node.i) !== (old && old.i)) drawFlame();
  });
  canvas.addEventListener('mouseleave', () => { state.hover = null; tooltip(null, null); drawFlame(); });
  canvas.addEventListener('click', (ev) => {
    const node = nodeAt(ev);
    if (!node) return;
    state.focus = node.l === 0 ? null : node;
    tooltip(null, null);
    redraw();
  });
}

function bindTimeline() {
  const canvas = $('timeline'), left = 64;
  const x = (ev) => Math.max(left, Math.min(ev.clientX - canvas.getBoundingClientRect().left, canvas.clientWidth - 6));
  const time = (px) => state.shown.from + (px - left) / (canvas.clientWidth - left - 6) * (state.shown.until - state.shown.from);
  canvas.addEventListener('mousedown', (ev) => { state.drag = { a: x(ev), b: x(ev) }; });
  addEventListener('mousemove', (ev) => { if (state.drag) { state.drag.b = x(ev); drawTimeline(); } });
  addEventListener('mouseup', () => {
    const d = state.drag;
    state.drag = null;
    if (d && Math.abs(d.a - d.b) > 4) { setCustom(time(Math.min(d.a, d.b)), time(Math.max(d.a, d.b))); load(); } else if (d) drawTimeline();
  });
}

function bind() {
  const choose = (id, key) => $(id).addEventListener('change', () => { state[key] = $(id).value; load(); });
  choose('service', 'service');
  choose('type', 'type');
  choose('labels', 'labels');
  $('range').addEventListener('change', () => {
    if ($('range').value === 'custom') {
      const r = timeRange();
      setCustom(r.from, r.until);
    } else {
      state.range = $('range').value;
      $('custom').hidden = true;
    }
    load();
  });
  for (const id of ['from', 'until']) {
    $(id).addEventListener('change', () => { state[id] = Math.floor(new Date($(id).value).getTime() / 1000) || 0; load(); });
  }
  $('tenant').addEventListener('change', () => { state.tenant = $('tenant').value.trim(); load(); });
  $('refresh').addEventListener('click', load);
  $('search').addEventListener('input', () => search($('search').value));
  $('reset').addEventListener('click', () => { state.focus = null; redraw(); });
  document.querySelectorAll('[data-view]').forEach((b) => b.addEventListener('click', () => { state.view = b.dataset.view; redraw(); }));
  document.querySelectorAll('[data-sort]').forEach((b) => b.addEventListener('click', () => {
    state.descending = state.sort === b.dataset.sort ? !state.descending : b.dataset.sort !== 'name';
    state.sort = b.dataset.sort;
    drawTable();
  }));
  addEventListener('keydown', (ev) => { if (ev.key === 'Escape' && state.focus) { state.focus = null; redraw(); } });
  addEventListener('resize', () => { drawFlame(); drawTimeline(); });
  dark.addEventListener('change', redraw);
  bindFlame();
  bindTimeline();
}

function restore() {
  const q = new URLSearchParams(location.search);
  for (const key of ['service', 'type', 'labels']) state[key] = q.get(key) || '';
  $('labels').value = state.labels;
  if (q.get('range') in RANGES) { state.range = q.get('range'); $('range').value = state.range; }
  if (q.get('range') === 'custom' && Number(q.get('from')) && Number(q.get('until'))) setCustom(Number(q.get('from')), Number(q.get('until')));
}

restore();
bind();
load();
