const counts = {};
require('readline').createInterface({ input: process.stdin })
  .on('line', (line) => {
    const { level } = JSON.parse(line);
    counts[level] = (counts[level] || 0) + 1;
  })
  .on('close', () => { for (const level of Object.keys(counts).sort()) console.log(`${level} ${counts[level]}`); });
