// Answers with a large export: /waits makes it as fast as the client takes it, /ignores at once.
const http = require('node:http');
const { Readable, pipeline } = require('node:stream');
const BLOCK = 64 * 1024;
const BLOCKS = 800;
function* blocks() {
  for (let n = 0; n < BLOCKS; n++) yield Buffer.alloc(BLOCK, n);
}
let isServing = false;
const server = http.createServer((request, response) => {
  if (request.url === '/waits') return pipeline(Readable.from(blocks()), response, () => {});
  if (request.url === '/ignores') {
    for (const block of blocks()) response.write(block);
    return response.end();
  }
  if (request.url === '/trickle') {
    const timer = setInterval(() => response.write('twelve bytes'), 500);
    return response.on('close', () => clearInterval(timer));
  }
  // One client at a time; the others wait for their turn.
  if (request.url === '/one') {
    if (isServing) return;
    isServing = true;
    return pipeline(Readable.from(blocks()), response, () => {});
  }
  if (request.url === '/asked') {
    const isAsked = request.method === 'POST' && request.headers['x-key'] === '1';
    if (!isAsked) return response.writeHead(400).end();
    request.resume();
    return pipeline(Readable.from(blocks()), response, () => {});
  }
  if (request.url === '/short') return response.end(Buffer.alloc(100_000));
  response.writeHead(404).end();
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
