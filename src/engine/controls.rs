//! Steering a chain while it runs: a throttle's rate, and a pause of the sink.

use std::fmt;
use std::sync::Arc;

use crate::flow::Link;
use crate::stage::RateControl;

use super::pause_point::PausePoint;

/// The controls of one running pipeline. They may be used from any thread; nothing here waits.
///
/// A pause holds every sink. It takes nothing more: what it has in hand it still writes, then the link in front of it fills to its mark,
/// and so does every one above. The time is the sink's, busy and waiting on the outside (for whoever paused it), so it is
/// the bottleneck, as it should be. A direct path stops between two calls. A cancel ends a pause at once; `--timeout` runs
/// on, `--stall-timeout` and `--min-rate` do not.
#[derive(Debug)]
pub struct Controls {
    sinks: Vec<SinkPause>,
    throttles: Vec<Throttle>,
}

/// What keeps the sink waiting.
#[derive(Debug)]
pub(super) enum SinkPause {
    /// The link in front of it.
    Link(Arc<Link>),
    /// The pause point of a direct path.
    PausePoint(Arc<PausePoint>),
}

/// A stage whose rate can be changed.
#[derive(Debug)]
pub struct Throttle {
    /// Its place in the chain.
    pub stage: usize,
    /// Its name in the catalog.
    pub name: &'static str,
    /// Its rate.
    pub rate_control: Arc<RateControl>,
}

/// Which stage is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The one at that place, counted from 0.
    Index(usize),
    /// The only one of that name.
    Name(String),
}

/// Why no stage, or not one alone, has a rate that could be set. Each says what there is instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsteerable {
    /// The chain keeps no rate.
    NoThrottle,
    /// Not that one, but those.
    NotThat(Which, Vec<(usize, &'static str)>),
    /// Several have that name.
    Several(Vec<(usize, &'static str)>),
}

impl Controls {
    pub(super) fn new(sinks: Vec<SinkPause>, throttles: Vec<Throttle>) -> Self {
        Self { sinks, throttles }
    }

    /// Controls of a chain that is not there, with throttles at these stages and rates: for trying out what turns them.
    #[cfg(test)]
    pub(crate) fn detached(throttles: &[(usize, u64)]) -> Self {
        let throttles = throttles.iter().map(|(stage, rate)| Throttle {
            stage: *stage,
            name: "throttle",
            rate_control: Arc::new(RateControl::new(*rate)),
        });
        Self::new(vec![SinkPause::PausePoint(Arc::default())], throttles.collect())
    }

    /// Lets the sinks take nothing more. One that is paused already stays so.
    pub fn pause(&self) {
        self.sinks.iter().for_each(|sink| sink.set_held(true));
    }

    /// Lets the sinks go on.
    pub fn resume(&self) {
        self.sinks.iter().for_each(|sink| sink.set_held(false));
    }

    /// Whether the sinks are paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.sinks.iter().any(SinkPause::is_held)
    }

    /// The stages that keep a rate, in the order of the chain.
    #[must_use]
    pub fn throttles(&self) -> &[Throttle] {
        &self.throttles
    }

    /// The throttle that is meant.
    ///
    /// # Errors
    /// Where there is none, or more than one of that name.
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

    /// The rate of the stage at that place now, and the one that its text says.
    pub(super) fn rate_of(&self, stage: usize) -> Option<(u64, u64)> {
        let throttle = self.throttles.iter().find(|one| one.stage == stage)?;
        Some((throttle.rate_control.rate(), throttle.rate_control.initial()))
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
    fn a_throttle_is_found_by_its_name_or_its_place() {
        let one = controls(&[2]);
        assert_eq!(one.throttle(&by_name()).map(|found| found.stage), Ok(2));
        assert_eq!(one.throttle(&Which::Index(2)).map(|found| found.stage), Ok(2));
        let two = controls(&[1, 4]);
        assert_eq!(two.throttle(&Which::Index(4)).map(|found| found.stage), Ok(4));
    }

    #[test]
    fn what_cannot_be_meant_says_what_can() {
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
    fn a_rate_is_set_and_never_becomes_nothing() {
        let controls = controls(&[1]);
        let throttle = controls.throttle(&by_name()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(throttle.rate_control.set(5_000), 1_000);
        assert_eq!(controls.rate_of(1), Some((5_000, 1_000)));
        throttle.rate_control.set(0);
        assert_eq!(controls.rate_of(1), Some((1, 1_000)));
        assert_eq!(controls.rate_of(0), None);
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
