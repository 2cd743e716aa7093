// Broken: three writes for each row, and nobody waits for 'drain'.
let rest = '';
process.stdin.setEncoding('utf8');
process.stdout.write('id,name\n');
process.stdin.on('data', (chunk) => {
  const lines = (rest + chunk).split('\n');
  rest = lines.pop();
  for (const line of lines) {
    const record = JSON.parse(line);
    process.stdout.write(String(record.id));
    process.stdout.write(',' + record.name);
    process.stdout.write('\n');
  }
});
