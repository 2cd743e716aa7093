// Counts the levels of a log, a file for each hundred lines, and notes how far it came. count_parts.js ORDER LOG FOLDER DIE:
// ORDER is before or after: when it notes it; DIE is the part in which it is killed between the two.
const fs = require('fs');
const [order, log, folder, die] = process.argv.slice(2);
const note = `${folder}/position`;
const read = () => {
  try {
    return Number(fs.readFileSync(note, 'utf8'));
  } catch {
    return 0;
  }
};
const lines = fs.readFileSync(log, 'utf8').trimEnd().split('\n');
for (let at = read(); at < lines.length; at += 100) {
  const part = at / 100 + 1;
  const counts = {};
  for (const line of lines.slice(at, at + 100)) counts[line] = (counts[line] ?? 0) + 1;
  const text = Object.keys(counts).sort().map((level) => `${level} ${counts[level]}\n`).join('');
  const steps = [() => fs.writeFileSync(`${folder}/${part}`, text), () => fs.writeFileSync(note, String(at + 100))];
  if (order === 'before') steps.reverse();
  steps[0]();
  if (part === Number(die)) process.kill(process.pid, 'SIGKILL');
  steps[1]();
}
