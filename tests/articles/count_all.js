// Broken: every line is kept until the end.
const lines = [];
require('readline').createInterface({ input: process.stdin })
  .on('line', (line) => lines.push(line))
  .on('close', () => {
    const counts = {};
    for (const line of lines) {
      const { level } = JSON.parse(line);
      counts[level] = (counts[level] || 0) + 1;
    }
    for (const level of Object.keys(counts).sort()) console.log(`${level} ${counts[level]}`);
  });
