'use strict';

// One run of one command with ali-ons. It says what it did on standard output, one tab-separated line per event; whatever
// ali-ons itself complains about goes to standard error (it complains until the retry topic of a new group has a route).
//
//   produce NAMESRV GROUP TOPIC PLAN [PAUSE_AFTER]        ack KEY ID | unacked KEY REASON | paused | done
//   consume NAMESRV GROUP TOPIC EXPRESSION EXPECTED QUIET_MS TIMEOUT_MS
//                                                         msg KEY TAG SHA256 ID NOTE | done
//
// PLAN is a file of lines `KEY TAG NOTE BODY`, tab-separated, the body in base64. After PAUSE_AFTER acknowledgements the
// producer waits for a line on standard input. There is no `create`: ali-ons cannot create topics.

const crypto = require('crypto');
const fs = require('fs');
const readline = require('readline');
const { Producer, Consumer, Message } = require('ali-ons');

const SEND_DEADLINE_MS = 60000;
const SEND_PAUSE_MS = 300;

const say = (...fields) => fs.writeSync(1, fields.join('\t') + '\n');
const complain = (...fields) => fs.writeSync(2, fields.map(String).join(' ') + '\n');
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));
const logger = { debug() {}, info() {}, warn: complain, error: complain };
const options = nameSrv => ({
  nameSrv: [ nameSrv ],
  clientIP: '127.0.0.1',
  httpclient: { async request() { throw new Error('the name server address is given: nothing to look up'); } },
  logger,
});

async function produce(nameSrv, producerGroup, topic, plan, pauseAfter) {
  // One attempt per `send`: ali-ons compresses the body in place, so that its own second attempt would compress twice.
  const producer = new Producer({ ...options(nameSrv), producerGroup, retryTimesWhenSendFailed: 0 });
  producer.on('error', err => complain('producer:', err.message));
  await producer.ready();
  const lines = readline.createInterface({ input: process.stdin });
  const resume = new Promise(resolve => lines.once('line', resolve));
  let acked = 0;
  for (const line of fs.readFileSync(plan, 'utf8').split('\n').filter(Boolean)) {
    const [ key, tag, note, body ] = line.split('\t');
    const deadline = Date.now() + SEND_DEADLINE_MS;
    for (;;) {
      const message = new Message(topic, tag, Buffer.from(body, 'base64'));
      message.keys = [ key ];
      message.properties.note = note;
      let reason;
      try {
        const result = await producer.send(message);
        if (result.sendStatus === 'SEND_OK') {
          say('ack', key, result.msgId);
          break;
        }
        reason = result.sendStatus;
      } catch (err) {
        reason = err.message;
      }
      say('unacked', key, reason.replace(/\s+/g, ' '));
      if (Date.now() > deadline) throw new Error(`message ${key} was not acknowledged within ${SEND_DEADLINE_MS} ms`);
      await sleep(SEND_PAUSE_MS);
    }
    acked += 1;
    if (acked === pauseAfter) {
      say('paused');
      await resume;
    }
  }
  lines.close();
  await producer.close();
}

async function consume(nameSrv, consumerGroup, topic, expression, expected, quietMs, timeoutMs) {
  const consumer = new Consumer({ ...options(nameSrv), consumerGroup, consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET' });
  consumer.on('error', err => complain('consumer:', err.message));
  const seen = new Set();
  let last = Date.now();
  consumer.subscribe(topic, expression, async message => {
    last = Date.now();
    seen.add(message.keys);
    const sha256 = crypto.createHash('sha256').update(message.body).digest('hex');
    say('msg', message.keys, message.tags, sha256, message.msgId, message.properties.note);
  });
  const deadline = Date.now() + timeoutMs;
  while (Date.now() < deadline && (seen.size < expected || Date.now() - last < quietMs)) await sleep(50);
  await consumer.close();
}

async function main([ command, nameSrv, group, topic, ...rest ]) {
  if (command === 'produce') await produce(nameSrv, group, topic, rest[0], Number(rest[1]));
  else if (command === 'consume') await consume(nameSrv, group, topic, rest[0], ...rest.slice(1).map(Number));
  else throw new Error(`unknown command ${command}: produce, consume`);
  say('done');
}

process.on('unhandledRejection', err => complain('unhandled:', err && err.stack || err));
main(process.argv.slice(2)).then(() => process.exit(0), err => {
  complain(err.stack);
  process.exit(1);
});
