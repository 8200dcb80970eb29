import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromAddress, type Place, tablePlace, toAddress, topicPlace } from './place';

/** As a browser does: the address goes through URL, whose parts come back encoded. */
function through(place: Place): Place {
  const url = new URL(toAddress(place), 'http://localhost');
  return fromAddress(url.pathname, url.search);
}

test('every place survives its address, whatever the names', () => {
  const names = ['movies', 'dead.stream.korean_movies', '영화', '따릉이 대여소', 'a/b', 'a%2Fb', '100%', 'q?x=1&y=2#z', '..a', 'ㄱ+ㄴ'];
  for (const name of names) {
    const places: Place[] = [
      { page: 'home', node: `stream/${name}` },
      { page: 'topics', find: name },
      topicPlace(name),
      { ...topicPlace(name), tab: 'schema', from: 123_456_789_012, partition: 3, filter: name, record: '3:17' },
      { ...topicPlace(name), from: 'earliest' },
      { page: 'tables', find: '' },
      tablePlace(name),
      { ...tablePlace(name), measure: `avg:${name}`, range: '-5~1700000000000' },
      { page: 'sql', query: `SELECT '${name}'\nFROM "${name}" -- + & ;` },
      { page: 'quality', topic: name, record: '0:0' },
    ];
    for (const place of places) assert.deepEqual(through(place), place);
  }
});

test('a wrong address leads nowhere or to defaults, never to an error', () => {
  assert.deepEqual(fromAddress('/nothing', ''), { page: 'nowhere' });
  assert.deepEqual(fromAddress('/topics/a/b', ''), { page: 'nowhere' });
  assert.deepEqual(fromAddress('/topics/%E0%A4%A', ''), fromAddress('/topics', ''));
  assert.deepEqual(fromAddress('/topics/a', '?from=-1&partition=x&tab=y'), topicPlace('a'));
});
