// Broken: all records are in memory before the first one is written.
let text = '';
process.stdin.setEncoding('utf8');
process.stdin.on('data', (chunk) => { text += chunk; });
process.stdin.on('end', () => {
  const records = text.split('\n').filter((line) => line).map((line) => JSON.parse(line));
  for (const record of records) record.name = record.name.toUpperCase();
  for (const record of records) process.stdout.write(JSON.stringify(record) + '\n');
});
