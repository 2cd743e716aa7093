let rest = '';
const out = process.stdout;
process.stdin.setEncoding('utf8');
out.write('id,name\n');
process.stdin.on('data', (chunk) => {
  const lines = (rest + chunk).split('\n');
  rest = lines.pop();
  out.cork();
  let hasRoom = true;
  for (const line of lines) {
    const record = JSON.parse(line);
    out.write(String(record.id));
    out.write(',' + record.name);
    hasRoom = out.write('\n');
  }
  process.nextTick(() => out.uncork());
  if (!hasRoom) {
    process.stdin.pause();
    out.once('drain', () => process.stdin.resume());
  }
});
