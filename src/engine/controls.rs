//! Controls of a running pipeline: the rate of a throttle, and a pause of the sinks.

use std::fmt;
use std::sync::Arc;

use crate::flow::Link;
use crate::grammar::Throughput;
use crate::stage::{RateControl, RateUnit};

use super::pause_point::PausePoint;

/// The controls of one running pipeline. They may be used from any thread and never wait.
///
/// A pause holds every sink. A sink finishes its current write, then the link in front of it fills to its mark, and so
/// do all links upstream. The time counts as the sink's, busy and waiting on the outside, so it becomes the bottleneck.
/// A direct path stops between two calls. A cancel ends a pause at once; `--timeout` keeps running, `--stall-timeout`
/// and `--min-rate` do not.
#[derive(Debug)]
pub struct Controls {
    sinks: Vec<SinkPause>,
    throttles: Vec<Throttle>,
}

/// What holds the sink.
#[derive(Debug)]
pub(super) enum SinkPause {
    /// The link in front of it.
    Link(Arc<Link>),
    /// The pause point of a direct path.
    PausePoint(Arc<PausePoint>),
}

/// A stage with an adjustable rate.
#[derive(Debug)]
pub struct Throttle {
    /// Its index in the pipeline.
    pub stage: usize,
    /// Its name in the catalog.
    pub name: &'static str,
    /// Its rate.
    pub rate_control: Arc<RateControl>,
}

impl Throttle {
    /// Its current rate.
    #[must_use]
    pub fn rate(&self) -> Throughput {
        self.counted(self.rate_control.rate())
    }

    /// Changes its rate; returns the previous one.
    ///
    /// # Errors
    /// The current rate, if the new one counts something else.
    pub fn set(&self, rate: Throughput) -> Result<Throughput, Throughput> {
        match (self.rate_control.unit(), rate) {
            (RateUnit::Bytes, Throughput::Bytes(count)) | (RateUnit::Records, Throughput::Records(count)) => {
                Ok(self.counted(self.rate_control.set(count)))
            }
            _ => Err(self.rate()),
        }
    }

    fn counted(&self, count: u64) -> Throughput {
        match self.rate_control.unit() {
            RateUnit::Bytes => Throughput::Bytes(count),
            RateUnit::Records => Throughput::Records(count),
        }
    }
}

/// Selects a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The stage at that index, counted from 0.
    Index(usize),
    /// The only stage of that name.
    Name(String),
}

/// Why no single stage has a rate that could be set. Each variant names the stages that have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsteerable {
    /// The pipeline has no throttle.
    NoThrottle,
    /// The selected stage has no rate; those have one.
    NotThat(Which, Vec<(usize, &'static str)>),
    /// Several stages have that name.
    Several(Vec<(usize, &'static str)>),
}

impl Controls {
    pub(super) fn new(sinks: Vec<SinkPause>, throttles: Vec<Throttle>) -> Self {
        Self { sinks, throttles }
    }

    /// Controls without a pipeline, with throttles at these stages and rates, for tests.
    #[cfg(test)]
    pub(crate) fn detached(throttles: &[(usize, u64)]) -> Self {
        let throttles = throttles.iter().map(|(stage, rate)| Throttle {
            stage: *stage,
            name: "throttle",
            rate_control: Arc::new(RateControl::new(*rate, RateUnit::Bytes)),
        });
        Self::new(vec![SinkPause::PausePoint(Arc::default())], throttles.collect())
    }

    /// Holds the sinks. A second call changes nothing.
    pub fn pause(&self) {
        self.sinks.iter().for_each(|sink| sink.set_held(true));
    }

    /// Releases the sinks.
    pub fn resume(&self) {
        self.sinks.iter().for_each(|sink| sink.set_held(false));
    }

    /// Whether the sinks are paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.sinks.iter().any(SinkPause::is_held)
    }

    /// The stages with an adjustable rate, in the order of the pipeline.
    #[must_use]
    pub fn throttles(&self) -> &[Throttle] {
        &self.throttles
    }

    /// Finds the selected throttle.
    ///
    /// # Errors
    /// If there is none, or more than one of that name.
    pub fn throttle(&self, which: &Which) -> Result<&Throttle, Unsteerable> {
        if self.throttles.is_empty() {
            return Err(Unsteerable::NoThrottle);
        }
        let listed = |throttles: &[&Throttle]| throttles.iter().map(|one| (one.stage, one.name)).collect();
        let meant: Vec<&Throttle> = self.throttles.iter().filter(|one| one.is(which)).collect();
        match meant[..] {
            [one] => Ok(one),
            [] => {
                let all: Vec<&Throttle> = self.throttles.iter().collect();
                Err(Unsteerable::NotThat(which.clone(), listed(&all)))
            }
            _ => Err(Unsteerable::Several(listed(&meant))),
        }
    }

    /// The rate of the stage at that index.
    pub(super) fn rate_of(&self, stage: usize) -> Option<&RateControl> {
        let throttle = self.throttles.iter().find(|one| one.stage == stage)?;
        Some(&throttle.rate_control)
    }
}

impl SinkPause {
    fn set_held(&self, is_held: bool) {
        match self {
            Self::Link(link) if is_held => link.hold(),
            Self::Link(link) => link.let_go(),
            Self::PausePoint(pause_point) => pause_point.set_closed(is_held),
        }
    }

    fn is_held(&self) -> bool {
        match self {
            Self::Link(link) => link.is_held(),
            Self::PausePoint(pause_point) => pause_point.is_closed(),
        }
    }
}

impl Throttle {
    fn is(&self, which: &Which) -> bool {
        match which {
            Which::Index(index) => self.stage == *index,
            Which::Name(name) => self.name == name,
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "stage {index}"),
            Self::Name(name) => write!(f, "`{name}`"),
        }
    }
}

impl fmt::Display for Unsteerable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |stages: &[(usize, &str)]| {
            let named: Vec<String> = stages.iter().map(|(index, name)| format!("{index} ({name})")).collect();
            named.join(", ")
        };
        match self {
            Self::NoThrottle => f.write_str("the chain has no throttle; put `throttle RATE` into the pipeline"),
            Self::NotThat(which, there) => write!(f, "{which} keeps no rate; those that do: {}", list(there)),
            Self::Several(there) => write!(
                f,
                "several stages have that name; say which by its number: {}",
                list(there)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controls(stages: &[usize]) -> Controls {
        let throttles: Vec<(usize, u64)> = stages.iter().map(|stage| (*stage, 1_000)).collect();
        Controls::detached(&throttles)
    }

    fn by_name() -> Which {
        Which::Name("throttle".to_owned())
    }

    #[test]
    fn throttle_is_found_by_name_or_index() {
        let one = controls(&[2]);
        assert_eq!(one.throttle(&by_name()).map(|found| found.stage), Ok(2));
        assert_eq!(one.throttle(&Which::Index(2)).map(|found| found.stage), Ok(2));
        let two = controls(&[1, 4]);
        assert_eq!(two.throttle(&Which::Index(4)).map(|found| found.stage), Ok(4));
    }

    #[test]
    fn unknown_throttle_lists_the_known() {
        let text = |throttles: &[usize], which: &Which| {
            let error = controls(throttles).throttle(which).map(|found| found.stage);
            error.expect_err("nothing is meant").to_string()
        };
        let none = text(&[], &by_name());
        assert_eq!(none, "the chain has no throttle; put `throttle RATE` into the pipeline");
        assert_eq!(
            text(&[2], &Which::Index(1)),
            "stage 1 keeps no rate; those that do: 2 (throttle)"
        );
        assert_eq!(
            text(&[2], &Which::Name("gzip".to_owned())),
            "`gzip` keeps no rate; those that do: 2 (throttle)"
        );
        assert_eq!(
            text(&[1, 4], &by_name()),
            "several stages have that name; say which by its number: 1 (throttle), 4 (throttle)"
        );
    }

    #[test]
    fn set_rate_is_never_zero() {
        let controls = controls(&[1]);
        let throttle = controls.throttle(&by_name()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(throttle.set(Throughput::Bytes(5_000)), Ok(Throughput::Bytes(1_000)));
        assert_eq!(throttle.set(Throughput::Bytes(0)), Ok(Throughput::Bytes(5_000)));
        assert_eq!(controls.rate_of(1).map(RateControl::rate), Some(1));
        assert!(controls.rate_of(0).is_none());
    }

    #[test]
    fn rate_keeps_its_unit() {
        let throttle = |unit| Throttle {
            stage: 0,
            name: "throttle",
            rate_control: Arc::new(RateControl::new(500, unit)),
        };
        let (bytes, records) = (throttle(RateUnit::Bytes), throttle(RateUnit::Records));
        assert_eq!(records.set(Throughput::Bytes(7)), Err(Throughput::Records(500)));
        assert_eq!(records.set(Throughput::Records(7)), Ok(Throughput::Records(500)));
        assert_eq!(records.rate(), Throughput::Records(7));
        assert_eq!(bytes.set(Throughput::Records(7)), Err(Throughput::Bytes(500)));
    }

    #[test]
    fn pausing_twice_is_pausing_once() {
        let controls = controls(&[]);
        controls.pause();
        controls.pause();
        assert!(controls.is_paused());
        controls.resume();
        assert!(!controls.is_paused());
    }
}
