//! Faults on demand. Only tests build this.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Signal, getpid, kill_process};

use super::Operation;
use super::rule::{ASIDE, Effect, Rule};

/// The environment variable with the rules, separated by commas: `write:3:ENOSPC` fails the third write, `read:*:short`
/// reads one byte at a time, `interruptible:*/2:EINTR` interrupts every second call that a signal can interrupt,
/// `write:1:nothing` moves nothing, `sync:1:500ms` makes a call slow, `read:2:stop` stops the process before it,
/// `read:2:panic` and `rename:1:kill` end the thread or the process. Work in [`aside`] is counted separately, as in
/// `aside-open:1:EACCES`.
pub const RULES: &str = "HIGHWATER_FAULT";

/// The environment variable with the file or FIFO that gets one line for each operation: `write 3`, and `write 3
/// Fail(...)` where a rule met it. The number of its lines is the number of operations of a run.
pub const LOG: &str = "HIGHWATER_FAULT_LOG";

/// The rules of this process, and its counters.
struct Shim {
    rules: Vec<Rule>,
    log: Option<Mutex<OwnedFd>>,
    /// Of the run, and of work in `aside`.
    counts: [[AtomicU64; Operation::EVERY.len()]; 2],
}

impl Shim {
    fn get() -> &'static Self {
        static SHIM: OnceLock<Shim> = OnceLock::new();
        SHIM.get_or_init(|| {
            let rules = std::env::var(RULES).unwrap_or_default();
            let rules = rules.split(',').filter(|rule| !rule.is_empty());
            let rules = rules.map(|rule| Rule::parse(rule).unwrap_or_else(|why| panic!("{RULES}: {why}")));
            let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
            let open = |path| rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR);
            let log = std::env::var_os(LOG).map(|path| open(path).unwrap_or_else(|error| panic!("{LOG}: {error}")));
            Self {
                rules: rules.collect(),
                log: log.map(Mutex::new),
                counts: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))),
            }
        })
    }

    fn meet(&self, operation: Operation) -> Option<Effect> {
        // Held over the count as well, so that the lines are in the order of their numbers.
        let log = self
            .log
            .as_ref()
            .map(|log| log.lock().unwrap_or_else(PoisonError::into_inner));
        let is_aside = IS_ASIDE.get();
        let count = &self.counts[usize::from(is_aside)][operation as usize];
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        let rule = self.rules.iter().find(|rule| rule.meets(operation, is_aside, number));
        if let Some(log) = log {
            let hit = rule.map_or_else(String::new, |rule| format!(" {:?}", rule.effect));
            let aside = if is_aside { ASIDE } else { "" };
            let line = format!("{aside}{} {number}{hit}\n", operation.name());
            let _ = rustix::io::write(&*log, line.as_bytes());
        }
        rule.map(|rule| rule.effect)
    }
}

thread_local! {
    static IS_ASIDE: Cell<bool> = const { Cell::new(false) };
}

/// Does work that a run reaches only if it lasts, and whose failure changes nothing: its operations are counted
/// separately, so that those of the run have the same numbers however fast the machine is.
pub fn aside<T>(work: impl FnOnce() -> T) -> T {
    /// Ends it, also if the work panics.
    struct Back(bool);

    impl Drop for Back {
        fn drop(&mut self) {
            IS_ASIDE.set(self.0);
        }
    }

    let _back = Back(IS_ASIDE.replace(true));
    work()
}

/// Counts one operation, and fails if a rule says so.
///
/// # Panics
/// If the rule says so, or the rules cannot be read.
pub fn point(operation: Operation) -> rustix::io::Result<()> {
    share(operation, 0).map(drop)
}

/// Counts one transfer, and returns how many of `length` bytes it may move.
///
/// # Panics
/// As [`point`].
pub fn share(operation: Operation, length: usize) -> rustix::io::Result<usize> {
    match Shim::get().meet(operation) {
        None => Ok(length),
        Some(Effect::Short) => Ok(length.min(1)),
        Some(Effect::Nothing) => Ok(0),
        Some(Effect::Fail(error)) => Err(error),
        Some(Effect::Slow(time)) => {
            #[allow(
                clippy::disallowed_methods,
                reason = "a call that nothing can cancel is just what is meant"
            )]
            std::thread::sleep(time);
            Ok(length)
        }
        Some(Effect::Panic) => panic!("a fault at {}", operation.name()),
        Some(Effect::Stop) => {
            // To this thread, which is then the first to stop.
            let _ = signal_hook::low_level::raise(Signal::STOP.as_raw());
            Ok(length)
        }
        Some(Effect::Kill) => {
            let _ = kill_process(getpid(), Signal::KILL);
            unreachable!("SIGKILL ends the process")
        }
    }
}
