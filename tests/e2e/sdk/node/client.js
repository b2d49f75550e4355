// The Node SDK's client of the end-to-end test: a known workload, a few uploads, a clean stop.
// usage: node client.js ADDR SERVICE; prints one JSON line that check.py reads.
'use strict';

const Pyroscope = require('@pyroscope/nodejs');

const UPLOAD_MS = 2000;
const UPLOADS = 3;
const HOT_MS = 60; // of CPU, then COLD_MS: 3 to 1
const COLD_MS = 20;

let sink = 0;

function cpuMs() {
  const u = process.cpuUsage();
  return (u.user + u.system) / 1000;
}

function spin(n) {
  let x = 2463534242;
  for (let i = 0; i < n; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
  }
  return x;
}

function sdk_hot_work(budgetMs) {
  const until = cpuMs() + budgetMs;
  while (cpuMs() < until) sink += spin(100000);
}

function sdk_cold_work(budgetMs) {
  const until = cpuMs() + budgetMs;
  while (cpuMs() < until) sink += spin(100000);
}

function timed(report, name, work, budgetMs) {
  const cpu = cpuMs();
  const wall = performance.now();
  work(budgetMs);
  report[`${name}_cpu_s`] += (cpuMs() - cpu) / 1000;
  report[`${name}_wall_s`] += (performance.now() - wall) / 1000;
}

async function main() {
  const [addr, service] = process.argv.slice(2);
  const report = {
    sdk: 'node', service, start_ms: Date.now(),
    hot_cpu_s: 0, hot_wall_s: 0, cold_cpu_s: 0, cold_wall_s: 0,
  };
  Pyroscope.init({
    appName: service,
    serverAddress: `http://${addr}`,
    flushIntervalMs: UPLOAD_MS,
    tags: { region: 'e2e' },
    wall: { collectCpuTime: true, samplingDurationMs: UPLOAD_MS, samplingIntervalMicros: 10000 },
  });
  Pyroscope.start();
  const end = Date.now() + UPLOADS * UPLOAD_MS;
  while (Date.now() < end) {
    Pyroscope.wrapWithLabels({ section: 'hot' }, () => timed(report, 'hot', sdk_hot_work, HOT_MS));
    Pyroscope.wrapWithLabels({ section: 'cold' }, () => timed(report, 'cold', sdk_cold_work, COLD_MS));
    await new Promise((resolve) => setTimeout(resolve, 1)); // uploads are timers too
  }
  await Pyroscope.stop();
  report.end_ms = Date.now();
  report.process_cpu_s = cpuMs() / 1000;
  console.log(JSON.stringify(report));
  if (!Number.isFinite(sink)) process.exit(1);
}

main().catch((e) => {
  console.error(e);
  process.exit(1);
});
