// Loaded before a program (node -r): says on standard error when its input is paused, and when it was read to its end; and
// at its own end the most bytes and objects that one of its streams held.
const fs = require('fs');
const http = require('http');
const { Duplex, Readable, Writable } = require('stream');

const most = { bytes: 0, objects: 0 };
const say = (text) => fs.writeSync(2, `${text}\n`);
const note = (name, count) => {
  most[name] = Math.max(most[name], count);
};

process.stdin.once('pause', () => say('paused'));
process.stdin.once('end', () => say('read'));

for (const kind of [Writable, Duplex, http.OutgoingMessage]) {
  const { write } = kind.prototype;
  kind.prototype.write = function (...piece) {
    const hasRoom = write.apply(this, piece);
    note(this.writableObjectMode ? 'objects' : 'bytes', this.writableLength);
    return hasRoom;
  };
}
const { push } = Readable.prototype;
Readable.prototype.push = function (...piece) {
  const hasRoom = push.apply(this, piece);
  note(this.readableObjectMode ? 'objects' : 'bytes', this.readableLength);
  return hasRoom;
};

process.on('exit', () => say(JSON.stringify(most)));
