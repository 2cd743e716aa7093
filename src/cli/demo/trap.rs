//! Records that grow, for a pipeline whose links are bounded by count alone, and by count and bytes.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::view::contrast::{Contrast, Course, Subject};
use crate::view::live::Line;

use super::{CEILING, screen};

/// Bytes of the first and of the last record, with its newline. The largest fits a link of a mebibyte.
const SIZES: [u64; 2] = [1_000, 900_000];
/// Records that pass in a second.
const RATE: u64 = 20;
/// The mark of each link in records: what a Node.js stream in object mode holds.
const COUNT: u64 = 16;
/// What the threads and the expressions of the pipeline take besides the program that starts it.
const STAGES: u64 = 3 << 20;
/// Links between the source and the throttle, which are full.
const LINKS: u64 = 3;

/// A demo of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trap {
    seconds: u32,
    ceiling: u64,
}

impl Trap {
    /// A demo of two runs of about `seconds`; `resident` is the program itself.
    pub fn new(seconds: u32, resident: u64) -> Self {
        Self {
            seconds,
            ceiling: (CEILING + resident + STAGES).next_multiple_of(1 << 20),
        }
    }

    /// Both runs before they have begun.
    pub fn contrast(&self) -> Contrast {
        Contrast {
            subject: Subject::Records,
            ceiling: self.ceiling,
            // Some more are in the hands of the stages.
            top: (LINKS * COUNT * SIZES[1] * 5 / 4 + self.ceiling).next_multiple_of(1 << 20),
            span: Duration::from_secs(self.seconds.into()),
            source_rate: RATE,
            sink_rate: RATE,
            ignoring: Course::default(),
            heeding: Course::default(),
        }
    }

    /// The pipeline. Bounded by count alone, a link has room for the largest records, so that their number is all that
    /// counts.
    pub fn pipeline(by_count_alone: bool) -> String {
        let high = if by_count_alone { " high=64MiB" } else { "" };
        let marks = format!("high-records={COUNT}{high}");
        format!(
            "lines {marks} | grep x {marks} | grep y invert=true {marks} | throttle {RATE}records/s | write /dev/null"
        )
    }

    /// Writes the records, each larger than the one before, until all are written or `stop` is set.
    pub fn write(&self, mut to: impl Write, stop: &AtomicBool) -> io::Result<()> {
        let count = RATE * u64::from(self.seconds);
        let [first, last] = SIZES;
        for number in 0..count {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let size = first + (last - first) * number / count;
            let mut record = vec![b'x'; usize::try_from(size).unwrap_or(0)];
            record.push(b'\n');
            to.write_all(&record)?;
        }
        Ok(())
    }

    /// A shorter pipeline, to be tried by hand.
    pub fn commands() -> Vec<Line> {
        screen::plain(&format!(
            "\n  To see it as it runs, on lines of your own; without high=64MiB it is the\n  second run:\n    \
             highwater 'read FILE | lines high-records={COUNT} high=64MiB |\n      \
             throttle {RATE}records/s | write /dev/null'\n"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_fit_a_terminal() {
        assert!(Trap::commands().iter().all(|line| line.columns() <= 80));
    }

    #[test]
    fn records_grow_up_to_what_a_link_takes() {
        let mut written = Vec::new();
        let trap = Trap::new(1, 0);
        trap.write(&mut written, &AtomicBool::new(false)).expect("memory");
        let lengths: Vec<usize> = written
            .split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::len)
            .collect();
        assert_eq!((lengths.len(), lengths[0]), (20, 1_001));
        assert!(lengths.is_sorted() && lengths[19] < 1 << 20, "{lengths:?}");
        let mut none = Vec::new();
        trap.write(&mut none, &AtomicBool::new(true)).expect("memory");
        assert!(none.is_empty());
    }
}
