//! How the ceiling of a service is divided: among the runs, and the connections that wait.

use crate::grammar::format_size;

/// What a service needs room for. Sizes in bytes.
#[derive(Debug, Clone)]
pub struct Wanted<'r> {
    /// The ceiling over everything.
    pub memory: u64,
    /// The share of a run of each route, with its path.
    pub runs: Vec<(&'r str, u64)>,
    /// What one connection holds besides a run.
    pub connection: u64,
    /// The most runs at once, if the user set it.
    pub max_clients: Option<usize>,
}

/// The ceiling, divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// What runs and their connections may hold together, in bytes.
    pub runs: u64,
    /// What one connection holds besides a run, in bytes.
    pub connection: u64,
    /// The most runs at once.
    pub clients: usize,
    /// How many requests may wait in the line.
    pub line: usize,
    /// The most connections at once.
    pub connections: usize,
}

/// The ceiling is too small. The message says what would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooLittle(pub String);

/// Connections besides those of runs and of the line: for heads that are still to come, refusals and health checks.
const SPARE: usize = 8;
/// The part of the ceiling that is for connections without a run.
const PART: u64 = 16;
/// The most requests that wait; a longer line would only time out.
const LONGEST_LINE: usize = 1024;

impl Shares {
    /// Divides the ceiling.
    ///
    /// # Errors
    /// If one run does not fit, or fewer than the user wants.
    pub fn new(wanted: &Wanted) -> Result<Self, TooLittle> {
        let connection = wanted.connection;
        let waiting = usize::try_from(wanted.memory / PART / connection).unwrap_or(usize::MAX);
        let waiting = waiting.clamp(SPARE + 1, SPARE + LONGEST_LINE);
        let idle = waiting as u64 * connection;
        let runs = wanted.memory.saturating_sub(idle);
        let largest = wanted.runs.iter().max_by_key(|(_, share)| *share);
        let Some((path, largest)) = largest else {
            return Err(TooLittle("there is no route".to_owned()));
        };
        let smallest = wanted.runs.iter().map(|(_, share)| *share).min().unwrap_or(*largest);
        let all = wanted
            .max_clients
            .map_or(0, |most| (smallest + connection).saturating_mul(most as u64));
        let needed = all.max(largest + connection);
        if needed > runs {
            let what = match wanted.max_clients {
                Some(most) if all == needed => {
                    format!("--max-clients {most} of {} each", format_size(smallest + connection))
                }
                _ => format!("one run of {path}"),
            };
            // Whatever the ceiling is, a part of it is for those that wait.
            let least = needed.saturating_add((SPARE as u64 + 1) * connection);
            let least = least.max((needed / (PART - 1)).saturating_mul(PART).saturating_add(64 << 10));
            let (memory, least) = (format_size(wanted.memory), format_size(least.div_ceil(1 << 10) << 10));
            return Err(TooLittle(format!(
                "--memory {memory} is too little for {what}; --memory {least} would do"
            )));
        }
        let fit = usize::try_from(runs / (smallest + connection)).unwrap_or(usize::MAX);
        let clients = wanted.max_clients.unwrap_or(fit);
        Ok(Self {
            runs,
            connection,
            clients,
            line: waiting - SPARE,
            connections: clients + waiting,
        })
    }

    /// How many runs of that share there may be at once.
    #[must_use]
    pub fn fitting(&self, run: u64) -> usize {
        let fit = usize::try_from(self.runs / (run + self.connection)).unwrap_or(usize::MAX);
        fit.min(self.clients)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(memory: u64, runs: &[u64], max_clients: Option<usize>) -> Wanted<'static> {
        Wanted {
            memory,
            runs: runs.iter().map(|share| ("/", *share)).collect(),
            connection: 40 << 10,
            max_clients,
        }
    }

    #[test]
    fn shares_stay_within_the_ceiling() {
        for memory in [2 << 20, 64 << 20, 1 << 30, u64::from(u32::MAX) << 8] {
            for runs in [&[1 << 20][..], &[300 << 10, 1 << 20]] {
                let shares = Shares::new(&wanted(memory, runs, None)).expect("one fits");
                let smallest = runs[0] + shares.connection;
                let idle = (shares.connections - shares.clients) as u64 * shares.connection;
                assert!(shares.clients as u64 * smallest + idle <= memory, "{shares:?}");
                assert!(
                    (shares.clients as u64 + 1) * smallest + idle > memory,
                    "no more would fit: {shares:?}"
                );
                assert!(shares.line >= 1);
            }
        }
    }

    #[test]
    fn too_little_memory_names_enough() {
        for (runs, max_clients) in [
            (1 << 20, None),
            (4 << 20, None),
            (1 << 20, Some(100)),
            (5 << 20, Some(7)),
        ] {
            let TooLittle(why) = Shares::new(&wanted(1 << 20, &[runs], max_clients)).expect_err("too little");
            let least = why
                .split("--memory ")
                .nth(2)
                .and_then(|rest| rest.split(' ').next())
                .expect("a size");
            let least = crate::grammar::parse_size(least).expect("a size");
            Shares::new(&wanted(least, &[runs], max_clients)).unwrap_or_else(|why| panic!("{least}: {why:?}"));
        }
    }
}
