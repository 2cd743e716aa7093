//! The chains, and what must be seen of them.
//!
//! A throttle is a stage of known cost: where bytes flow at rate F it takes F / R of its time to let them pass at its own
//! rate R, because a neighbour's pause earns it nothing. The slowest stage is busy all the time; those before it wait
//! for room for the rest of theirs, those behind it for input.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::pacing::Pace;

/// Busy, idle and backpressured, in percent.
pub type Shares = [f64; 3];

/// What stands around the program.
#[derive(Debug, Clone)]
pub enum Around {
    /// Nothing: it reads and writes by itself.
    Nothing,
    /// Somebody writes to its standard input.
    Feeder(Vec<(Duration, Pace)>),
    /// Somebody reads its standard output.
    Reader(Pace),
    /// Somebody reads what it sends over TCP.
    Peer(Pace),
}

/// Who the bottleneck is.
#[derive(Debug, Clone)]
pub enum Slowest {
    /// Always this one.
    Stage(usize),
    /// One of these, and none of them by construction.
    Either([usize; 2]),
    /// The first for that long, then the second, in turns.
    Turns(Duration, [usize; 2]),
}

/// A chain, and what must be seen of it.
#[derive(Debug, Clone)]
pub struct Chain {
    pub name: &'static str,
    /// `{peer}` stands for the address of whoever reads over TCP.
    pub pipeline: String,
    pub around: Around,
    /// For each stage; nothing where they change.
    pub shares: Vec<Shares>,
    pub slowest: Slowest,
}

const MILLION: u64 = 1_000_000;
/// What moves at a time where it is slow: 10 ms of a million bytes a second.
const EVERY: Duration = Duration::from_millis(10);

const BUSY: Shares = [100.0, 0.0, 0.0];
const IDLE: Shares = [0.0, 100.0, 0.0];
const HELD: Shares = [0.0, 0.0, 100.0];

/// Busy for some percent, then waiting for room.
fn before(busy: f64) -> Shares {
    [busy, 0.0, 100.0 - busy]
}

/// Busy for some percent, then waiting for input.
fn behind(busy: f64) -> Shares {
    [busy, 100.0 - busy, 0.0]
}

fn steady(pace: Pace) -> Around {
    Around::Feeder(vec![(Duration::MAX, pace)])
}

/// Every chain.
pub fn all() -> io::Result<Vec<Chain>> {
    let slow = Pace::rate(MILLION, EVERY);
    let noise = noise()?;
    let noise = format!(" {}", noise.display()).repeat(40);
    let chain = |name, pipeline: &str, around, shares: &[Shares], slowest| Chain {
        name,
        pipeline: pipeline.to_owned(),
        around,
        shares: shares.to_vec(),
        slowest: Slowest::Stage(slowest),
    };
    let turn = Duration::from_secs(10);
    Ok(vec![
        chain(
            "slow source",
            "read - | throttle 4MB/s | throttle 2MB/s | write /dev/null",
            steady(slow),
            &[BUSY, behind(25.0), behind(50.0), IDLE],
            0,
        ),
        chain(
            "short bursts",
            "read - | throttle 4MB/s | write /dev/null",
            steady(Pace::rate(MILLION, Duration::from_millis(200))),
            &[BUSY, behind(25.0), IDLE],
            0,
        ),
        chain(
            "slow codec",
            &format!("read{noise} | bzip2 | write /dev/null"),
            Around::Nothing,
            &[HELD, BUSY, IDLE],
            1,
        ),
        chain(
            "throttle",
            "read /dev/zero | throttle 4MB/s | throttle 1MB/s | throttle 2MB/s | write /dev/null",
            Around::Nothing,
            &[HELD, before(25.0), BUSY, behind(50.0), IDLE],
            2,
        ),
        chain(
            "a near second",
            "read /dev/zero | throttle 1.25MB/s high=128KiB | throttle 1MB/s | write /dev/null",
            Around::Nothing,
            &[HELD, before(80.0), BUSY, IDLE],
            2,
        ),
        chain(
            "slow sink",
            "read /dev/zero | throttle 4MB/s high=128KiB | write -",
            Around::Reader(slow),
            &[HELD, before(25.0), BUSY],
            2,
        ),
        // A socket has room again when a third of its four mebibytes is free: the link holds more than that at all times.
        chain(
            "slow TCP peer",
            "read /dev/zero | throttle 4MB/s high=3MiB | write {peer}",
            Around::Peer(slow),
            &[HELD, before(25.0), BUSY],
            2,
        ),
        Chain {
            slowest: Slowest::Either([1, 2]),
            ..chain(
                "two equal ones",
                "read /dev/zero | throttle 1MB/s | throttle 1MB/s | write /dev/null",
                Around::Nothing,
                &[HELD, BUSY, BUSY, IDLE],
                1,
            )
        },
        Chain {
            slowest: Slowest::Turns(turn, [0, 1]),
            ..chain(
                "alternating",
                "read - | throttle 2MB/s | write /dev/null",
                Around::Feeder(vec![
                    (turn, Pace::rate(MILLION / 5, EVERY)),
                    (turn, Pace::rate(8 * MILLION, EVERY)),
                ]),
                &[],
                0,
            )
        },
    ])
}

/// A file that no codec makes smaller, from Marsaglia's xorshift64.
fn noise() -> io::Result<PathBuf> {
    const COUNT: usize = 8 << 20;
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("accuracy-noise");
    if path.metadata().is_ok_and(|found| found.len() == COUNT as u64) {
        return Ok(path);
    }
    let mut state = 88_172_645_463_325_252_u64;
    let mut bytes = Vec::with_capacity(COUNT);
    while bytes.len() < COUNT {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    std::fs::File::create(&path)?.write_all(&bytes)?;
    Ok(path)
}
