// The made-up world behind the mock: bike stations of a city, a few broken records, a film list.
// Deterministic except for the clock, so that pictures of the pages can be compared.

const GU = ['강남구', '강동구', '강북구', '강서구', '관악구', '광진구', '구로구', '금천구', '노원구', '도봉구', '동대문구', '동작구', '마포구'];
const PLACES = ['역 1번출구', '시장 앞', '공원 정문', '도서관', '구청', '한강나들목'];
const KEEP = 60_000;

/** A small repeatable random source (mulberry32). */
function random(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = a;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

class Topic {
  constructor(name, partitions, schema, internal = false) {
    Object.assign(this, { name, partitions, schema, internal, records: [], bytes: 0, next: 0 });
    this.ends = Array(partitions).fill(0);
  }

  append(timestamp_ms, key, value, headers = []) {
    const partition = this.next % this.partitions;
    this.records.push({ seq: this.next++, partition, offset: this.ends[partition]++, timestamp_ms, key, value, encoding: 'utf8', headers });
    this.bytes += (value?.length ?? 0) + 40;
    if (this.records.length > KEEP) this.records.shift();
  }

  get starts() {
    const found = Array(this.partitions).fill(null);
    for (const r of this.records) found[r.partition] ??= r.offset;
    return found.map((f, i) => f ?? this.ends[i]);
  }

  rate(now) {
    let n = 0;
    for (let i = this.records.length - 1; i >= 0 && this.records[i].timestamp_ms > now - 2_000; i--) n += 1;
    return n / 2;
  }

  newest(limit) {
    return { records: this.records.slice(-limit).map(strip) };
  }

  since(seq) {
    return this.records.filter((r) => r.seq >= seq).map(strip);
  }

  read(from, partition, limit) {
    const mine = this.records.filter((r) => partition === null || r.partition === partition);
    if (from === 'latest') return mine.slice(-limit).reverse().map(strip);
    const start = from === 'earliest' ? 0 : Number(from);
    return mine.filter((r) => r.offset >= start).slice(0, limit).map(strip);
  }

  info() {
    return {
      name: this.name, partitions: this.partitions, records: this.next, bytes: this.bytes,
      start_offsets: this.starts, end_offsets: this.ends, schema: this.schema, internal: this.internal,
      config: this.name === 'bike-station-info' ? { 'retention.bytes': '104857600', 'retention.ms': '604800000' } : {},
    };
  }
}

const strip = ({ seq: _seq, ...record }) => record;
const column = (text) => text.split(' ').map((pair) => ({ name: pair.split(':')[0], type: pair.split(':')[1] }));
const iso = (ms) => new Date(ms).toISOString();

export class World {
  constructor({ empty }) {
    this.empty = empty;
    this.random = random(7);
    this.stations = Array.from({ length: 260 }, (_, i) => ({
      id: `ST-${100 + i}`,
      name: `${100 + i}. ${GU[i % GU.length].slice(0, 2)} ${PLACES[i % PLACES.length]}`,
      gu: GU[i % GU.length],
      racks: 8 + (i % 20),
    }));
    const raw = column('stationId:string stationName:string rackTotCnt:string parkingBikeTotCnt:string');
    const typed = column('ts:timestamp station:string name:string gu:string racks:int bikes:int fill:double');
    this.topics = empty ? [] : [
      new Topic('bike-station-info', 2, raw),
      new Topic('bikes_typed', 2, typed),
      new Topic('dead.stream.bikes_typed', 1, null),
      new Topic('영화', 1, column('movie:string title:string year:int grade:string ts:timestamp')),
      new Topic('__state.bikes_typed', 1, null, true),
    ];
    this.tables = empty ? [] : [
      { name: 'bikes', topic: 'bikes_typed', columns: typed, time_column: 'ts', rows: [], total: 0 },
      { name: '영화', topic: '영화', columns: column('ts:timestamp movie:string title:string year:int grade:string'), time_column: 'ts', rows: [], total: 0 },
    ];
    this.dropped = 0;
    if (!empty) this.past();
    this.at = Date.now();
  }

  past() {
    const now = Date.now();
    for (let t = now - 20 * 60_000; t < now; t += 1_000) this.step(t, Math.round(30 + 14 * Math.sin(t / 300_000)));
    const films = this.tables[1];
    for (let i = 0; i < 900; i++) {
      const year = 1960 + Math.floor(this.random() * 63);
      const row = [Date.UTC(year, i % 12, 1 + (i % 27)), String(10_000 + i), ['괴물', '마더', '기생충', '박쥐', '밀양'][i % 5], year, ['전체', '12세', '15세', '청불'][i % 4]];
      films.rows.push(row);
      films.total += 1;
      this.topics[3].append(now - 900 + i, row[1], JSON.stringify({ movie: row[1], title: row[2], year, grade: row[4], ts: iso(row[0]) }));
    }
  }

  step(now, count) {
    const [raw, typed, dead] = this.topics;
    const bikes = this.tables[0];
    for (let i = 0; i < count; i++) {
      const s = this.stations[Math.floor(this.random() * this.stations.length)];
      const n = Math.floor(this.random() * (s.racks + 4));
      const broken = this.random() < 0.004;
      const value = JSON.stringify({ stationId: s.id, stationName: s.name, rackTotCnt: String(s.racks), parkingBikeTotCnt: broken ? 'N/A' : String(n), stationLatitude: '37.5556488', stationLongitude: '126.91062927', shared: String(Math.round((100 * n) / s.racks)) });
      raw.append(now, s.id, value);
      if (broken) {
        dead.append(now, s.id, value, [
          ['__connect.errors.topic', raw.name], ['__connect.errors.partition', '0'], ['__connect.errors.offset', String(raw.ends[0] - 1)],
          ['__connect.errors.exception.message', 'parkingBikeTotCnt: "N/A" is not an int'], ['__connect.errors.stage', 'decode'], ['yeoul.component', 'stream/bikes_typed'],
        ]);
        continue;
      }
      if (n === 0) {
        this.dropped += 1;
        continue;
      }
      const row = [now, s.id, s.name, s.gu, s.racks, n, n / s.racks];
      typed.append(now, s.id, JSON.stringify({ ts: iso(now), station: s.id, name: s.name, gu: s.gu, racks: s.racks, bikes: n, fill: n / s.racks }));
      bikes.rows.push(row);
      bikes.total += 1;
      if (bikes.rows.length > 60_000) bikes.rows.shift();
    }
  }

  /** Data moves with the clock, whenever someone looks. */
  move() {
    if (this.empty) return;
    const now = Date.now();
    while (this.at + 200 <= now) {
      this.at += 200;
      this.step(this.at, Math.round(6 + 4 * Math.sin(this.at / 4_000)));
    }
  }

  topic(name) {
    this.move();
    return this.topics.find((t) => t.name === name);
  }

  get([noun, name, part], query) {
    this.move();
    if (noun === 'info') return { version: '0.1.0', name: this.empty ? 'empty' : 'bikes (mock)', timezone: 'Asia/Seoul', started_ms: this.at - 60_000, kafka: ['127.0.0.1:9092'], data_dir: './yeoul-data' };
    if (noun === 'flow') return this.flow();
    if (noun === 'dead') return this.topics.filter((t) => t.name.startsWith('dead.')).map((t) => ({ topic: t.name, component: 'stream/bikes_typed', records: t.next }));
    if (noun === 'topics') {
      if (name === undefined) return this.topics.map((t) => t.info());
      const topic = this.topics.find((t) => t.name === name);
      if (!topic) return undefined;
      if (part !== 'records') return topic.info();
      const partition = query.get('partition');
      return { records: topic.read(query.get('from') ?? 'latest', partition === null ? null : Number(partition), Math.min(1_000, Number(query.get('limit') ?? 100))) };
    }
    if (noun === 'tables') {
      if (name === undefined) return this.tables.map((t) => this.table(t));
      const table = this.tables.find((t) => t.name === name);
      return table ? this.table(table) : undefined;
    }
    return undefined;
  }

  table(t) {
    const times = t.rows.map((r) => r[0]);
    return {
      name: t.name, topic: t.topic, rows: t.total, bytes: t.total * 61, segments: 1 + Math.floor(t.total / 10_000), columns: t.columns, time_column: t.time_column,
      min_ms: times.length ? times.reduce((a, b) => Math.min(a, b)) : null, max_ms: times.length ? times.reduce((a, b) => Math.max(a, b)) : null, state: 'running', lag: 0,
    };
  }

  flow() {
    this.move();
    if (this.empty) return { at_ms: Date.now(), nodes: [], edges: [] };
    const now = Date.now();
    const [raw, typed, dead, films] = this.topics;
    const [rawRate, typedRate] = [raw.rate(now), typed.rate(now)];
    const lag = Math.round(12 + 12 * Math.sin(now / 3_000));
    const node = (id, more) => ({
      id, kind: id.split('/')[0], name: id.slice(id.indexOf('/') + 1), state: 'running', message: null, in_total: 0, out_total: 0, dead_total: 0, filtered_total: 0, lag: 0, bytes: 0, rate_in: 0, rate_out: 0, watermark_ms: null, last_ms: now, ...more,
    });
    return {
      at_ms: now,
      nodes: [
        node('source/bike-station-info', { in_total: raw.next, out_total: raw.next, rate_in: rawRate, rate_out: rawRate }),
        node('topic/bike-station-info', { in_total: raw.next, out_total: raw.next, rate_in: rawRate, rate_out: rawRate, bytes: raw.bytes }),
        node('lookup/districts', { state: 'running', out_total: GU.length, last_ms: null }),
        node('stream/bikes_typed', { in_total: raw.next - lag, out_total: typed.next, dead_total: dead.next, filtered_total: this.dropped, lag, rate_in: rawRate, rate_out: typedRate, watermark_ms: now - 10_000, message: '96 % of the time is spent waiting for input' }),
        node('topic/bikes_typed', { in_total: typed.next, out_total: typed.next, rate_in: typedRate, rate_out: typedRate, bytes: typed.bytes }),
        node('dead/dead.stream.bikes_typed', { in_total: dead.next, rate_in: dead.rate(now), bytes: dead.bytes }),
        node('table/bikes', { in_total: typed.next, out_total: this.tables[0].total, rate_in: typedRate, rate_out: typedRate, bytes: this.tables[0].total * 61 }),
        node('source/영화', { state: 'waiting', message: 'source/movies.tsv: waiting for more lines', in_total: 900, out_total: 900 }),
        node('topic/영화', { in_total: films.next, out_total: films.next, bytes: films.bytes }),
        node('table/영화', { in_total: 900, out_total: 900, bytes: 54_900 }),
      ],
      edges: [
        ['source/bike-station-info', 'topic/bike-station-info', raw.next, rawRate, 0],
        ['topic/bike-station-info', 'stream/bikes_typed', raw.next - lag, rawRate, lag],
        ['lookup/districts', 'stream/bikes_typed', GU.length, 0, 0],
        ['stream/bikes_typed', 'topic/bikes_typed', typed.next, typedRate, 0],
        ['stream/bikes_typed', 'dead/dead.stream.bikes_typed', dead.next, dead.rate(now), 0],
        ['topic/bikes_typed', 'table/bikes', typed.next, typedRate, 0],
        ['source/영화', 'topic/영화', 900, 0, 0],
        ['topic/영화', 'table/영화', 900, 0, 0],
      ].map(([from, to, total, rate, edgeLag]) => ({ from, to, total, lag: edgeLag, rate })),
    };
  }

  /** Knows the few shapes the app itself asks for; anything else is refused as a node would. */
  sql(query, limit) {
    this.move();
    const started = performance.now();
    const table = this.tables.find((t) => query.includes(`"${t.name}"`) || new RegExp(`\\bFROM\\s+${t.name}\\b`, 'iu').test(query));
    if (!table) {
      const named = /\bFROM\s+("[^"]*"|[\p{L}\p{N}_.-]+)/iu.exec(query)?.[1] ?? '?';
      return { error: { message: `there is no table ${named}`, line: 1, column: Math.max(1, query.indexOf(named) + 1), hint: `the tables are ${this.tables.map((t) => t.name).join(', ') || 'none'}` } };
    }
    const at = (name) => table.columns.findIndex((c) => c.name === name);
    const done = (columns, rows) => ({ columns, rows: rows.slice(0, limit), elapsed_ms: Math.round((performance.now() - started) * 100) / 100, truncated: rows.length > limit });
    const show = (row) => row.map((v, i) => (table.columns[i].type === 'timestamp' ? iso(v) : v));
    const value = /\b(COUNT|SUM|AVG)\((\*|"([^"]+)")\)/i.exec(query);
    const fold = (rows) => {
      if (value[1].toUpperCase() === 'COUNT') return rows.length;
      const sum = rows.reduce((s, r) => s + r[at(value[3])], 0);
      return value[1].toUpperCase() === 'SUM' ? sum : sum / rows.length;
    };
    const group = (key) => {
      const found = new Map();
      for (const r of table.rows.filter(where)) {
        const k = key(r);
        if (!found.has(k)) found.set(k, []);
        found.get(k).push(r);
      }
      return [...found];
    };
    const bound = (op) => new RegExp(`${op} TIMESTAMP '([^']+)'`).exec(query)?.[1];
    const [low, high] = [bound('>='), bound('<')].map((b) => (b ? Date.parse(`${b.replace(' ', 'T')}Z`) : null));
    const where = (r) => (low === null || r[0] >= low) && (high === null || r[0] < high);
    const floor = /TIME_FLOOR\("([^"]+)", '([^']+)'/.exec(query);
    if (floor && value) {
      const rows = group((r) => timeFloor(r[at(floor[1])], floor[2])).sort((a, b) => a[0] - b[0]);
      return done([{ name: 'bucket', type: 'timestamp' }, { name: 'value', type: value[1].toUpperCase() === 'AVG' ? 'double' : 'int' }], rows.map(([k, list]) => [iso(k), fold(list)]));
    }
    const by = /SELECT "([^"]+)", COUNT/i.exec(query);
    if (by) {
      const rows = group((r) => r[at(by[1])]).map(([k, list]) => [k, fold(list)]).sort((a, b) => b[1] - a[1]);
      return done([table.columns[at(by[1])], { name: 'rows', type: 'int' }], rows.slice(0, 25));
    }
    if (/SELECT \*/i.test(query)) {
      const count = Number(/LIMIT (\d+)/i.exec(query)?.[1] ?? limit);
      return done(table.columns, [...table.rows].sort((a, b) => b[0] - a[0]).slice(0, count).map(show));
    }
    if (value) return done([{ name: 'rows', type: 'int' }], [[fold(table.rows)]]);
    return { error: { message: 'the mock does not know this query', line: 1, column: 1, hint: 'ask a real node' } };
  }
}

function timeFloor(ms, period) {
  const date = new Date(ms);
  if (period === 'P1Y') return Date.UTC(date.getUTCFullYear(), 0, 1);
  if (period === 'P3M') return Date.UTC(date.getUTCFullYear(), Math.floor(date.getUTCMonth() / 3) * 3, 1);
  if (period === 'P1M') return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
  const [, n, unit] = /^P(?:T)?(\d+)([SMHDW])$/.exec(period);
  const step = Number(n) * { S: 1_000, M: 60_000, H: 3_600_000, D: 86_400_000, W: 604_800_000 }[unit];
  return Math.floor(ms / step) * step;
}
