import assert from 'node:assert/strict';
import { test } from 'node:test';
import { en } from './en';
import { formatter, knownZone } from './format';
import { ko } from './ko';
import { firstLanguage, type Key, translator } from './text';

const names = (text: string) => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort();

test('every text has the same values in both languages, and is written', () => {
  for (const key of Object.keys(en) as Key[]) {
    assert.deepEqual(names(ko[key]), names(en[key]), key);
    assert.notEqual(ko[key].trim(), '', key);
    assert.ok(!ko[key].includes('|'), `${key}: Korean has no plural forms`);
  }
});

test('Korean is Korean', () => {
  // Names of formats, products and units stay as they are.
  const same = new Set<string>(['nav.sql', 'sql.title', 'record.null', 'sql.elapsed']);
  for (const key of Object.keys(en) as Key[]) if (!same.has(key)) assert.match(ko[key], /[가-힣]/, key);
});

test('plurals and numbers follow the language', () => {
  const english = translator('en');
  assert.equal(english('unit.records', { n: 1 }), '1 record');
  assert.equal(english('unit.records', { n: 12_345 }), '12,345 records');
  assert.equal(translator('ko')('unit.records', { n: 12_345 }), '레코드 12,345건');
});

test('times are shown in the node’s zone, sizes and spans in words people use', () => {
  const f = formatter('en', 'Asia/Seoul', translator('en'));
  assert.equal(f.dateTime(1_767_225_600_000), '2026-01-01 09:00:00');
  assert.equal(f.clock(1_767_225_600_123), '09:00:00.123');
  assert.equal(f.bytes(1_023), '1,023 B');
  assert.equal(f.bytes(1_536), '1.5 KiB');
  assert.equal(f.span(300), '0.3 s');
  assert.equal(f.span(300_000), '5 min');
  assert.equal(f.rate(0.5), '0.5/s');
  assert.equal(f.short(9_999), '9,999');
  assert.equal(f.short(12_345), '12.3K');
  assert.equal(knownZone('Mars/Olympus'), 'UTC');
});

test('the first language is the reader’s', () => {
  assert.equal(firstLanguage(null, ['fr', 'ko-KR', 'en']), 'ko');
  assert.equal(firstLanguage('en', ['ko']), 'en');
  assert.equal(firstLanguage('xx', ['fr']), 'en');
});
