//! What a stage does, judged by what its threads do.

use crate::graph::EdgeId;
use crate::platform::other_process::{Activity, HeldDescriptor, Target};

/// What a stage does at one moment. A stage does what comes last here of all that its threads do: one thread that
/// computes makes it busy, and a helper that sleeps tells nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It waits for something that is no input of it.
    Waiting(Elsewhere),
    /// It waits for an input.
    Idle,
    /// It waits until something outside of the pipeline takes its output.
    Blocked(Elsewhere),
    /// It waits for room in an output.
    Backpressured(EdgeId),
    /// It waits for a disk.
    Disk,
    /// It computes.
    Running,
}

/// What is waited for outside of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Elsewhere {
    /// A child process of which nothing is seen: what is seen of one says more.
    Child,
    /// A timer, a lock, or what cannot be seen.
    Sleep,
    /// A person.
    Terminal,
    /// A process that is not in the picture.
    Pipe,
    /// The other end of a connection.
    Peer,
}

impl Elsewhere {
    fn at(held: Option<&HeldDescriptor>) -> Self {
        match held.map(|held| &held.target) {
            Some(Target::Socket(_)) => Self::Peer,
            Some(Target::Terminal) => Self::Terminal,
            Some(Target::Pipe(_) | Target::Fifo(..)) => Self::Pipe,
            _ => Self::Sleep,
        }
    }
}

/// What is known of the descriptors of one process.
pub trait Surroundings {
    /// The link that a descriptor is the writing end of.
    fn output(&self, fd: i32) -> Option<EdgeId>;
    /// Whether a descriptor is the reading end of a link.
    fn is_input(&self, fd: i32) -> bool;
    /// The first link that the process writes to.
    fn first_output(&self) -> Option<EdgeId>;
    /// Whether the process reads from a link.
    fn has_input(&self) -> bool;
    /// The first link that the process writes to and that has no room.
    fn full_output(&self) -> Option<EdgeId>;
    /// Whether nothing is in any link that the process reads from.
    fn has_empty_inputs(&self) -> bool;
    /// A descriptor that is no end of a link.
    fn held(&self, fd: i32) -> Option<HeldDescriptor>;
    /// Whether the process has a connection to outside of the pipeline.
    fn has_connection(&self) -> bool;
}

/// What a thread does.
pub fn judge(activity: Activity, process: &impl Surroundings) -> State {
    match activity {
        Activity::Running => State::Running,
        Activity::Disk => State::Disk,
        Activity::AwaitingChild => State::Waiting(Elsewhere::Child),
        Activity::Sleeping => State::Waiting(Elsewhere::Sleep),
        Activity::Reading(Some(fd)) if process.is_input(fd) => State::Idle,
        Activity::Reading(Some(fd)) => {
            let held = process.held(fd);
            match held.as_ref().map(|held| &held.target) {
                Some(Target::File(_)) => State::Disk,
                _ => State::Waiting(Elsewhere::at(held.as_ref())),
            }
        }
        Activity::Reading(None) if process.has_input() => State::Idle,
        Activity::Reading(None) => State::Waiting(unknown(process)),
        Activity::Writing(Some(fd)) => match process.output(fd) {
            Some(edge) => State::Backpressured(edge),
            None => {
                let held = process.held(fd);
                match held.as_ref().map(|held| &held.target) {
                    Some(Target::File(_)) => State::Disk,
                    _ => State::Blocked(Elsewhere::at(held.as_ref())),
                }
            }
        },
        Activity::Writing(None) => {
            let output = process.first_output();
            output.map_or(State::Blocked(unknown(process)), State::Backpressured)
        }
        Activity::Moving { from, to } => match process.output(to) {
            Some(edge) if !process.is_input(from) || process.full_output() == Some(edge) => State::Backpressured(edge),
            _ if process.is_input(from) => State::Idle,
            _ => State::Blocked(Elsewhere::at(process.held(to).as_ref())),
        },
        Activity::Polling => match process.full_output() {
            Some(edge) => State::Backpressured(edge),
            None if process.has_input() && process.has_empty_inputs() => State::Idle,
            None => State::Waiting(unknown(process)),
        },
    }
}

/// What a thread waits for of which only that is known that it is no link.
fn unknown(process: &impl Surroundings) -> Elsewhere {
    if process.has_connection() {
        Elsewhere::Peer
    } else {
        Elsewhere::Sleep
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Id;

    /// A process that reads from a link at 0 and writes to another at 1.
    struct Filter {
        is_full: bool,
        is_empty: bool,
    }

    impl Surroundings for Filter {
        fn output(&self, fd: i32) -> Option<EdgeId> {
            (fd == 1).then(|| EdgeId::numbered(1))
        }
        fn is_input(&self, fd: i32) -> bool {
            fd == 0
        }
        fn first_output(&self) -> Option<EdgeId> {
            self.output(1)
        }
        fn has_input(&self) -> bool {
            true
        }
        fn full_output(&self) -> Option<EdgeId> {
            self.output(1).filter(|_| self.is_full)
        }
        fn has_empty_inputs(&self) -> bool {
            self.is_empty
        }
        fn held(&self, fd: i32) -> Option<HeldDescriptor> {
            let target = match fd {
                3 => Target::File("a".into()),
                4 => Target::Socket(7),
                _ => return None,
            };
            Some(HeldDescriptor {
                fd,
                target,
                reads: true,
                writes: true,
            })
        }
        fn has_connection(&self) -> bool {
            false
        }
    }

    const BETWEEN: Filter = Filter {
        is_full: false,
        is_empty: false,
    };

    fn judged(activity: Activity) -> State {
        judge(activity, &BETWEEN)
    }

    #[test]
    fn calls_on_links_are_waits() {
        let edge = EdgeId::numbered(1);
        assert_eq!(judged(Activity::Reading(Some(0))), State::Idle);
        assert_eq!(judged(Activity::Writing(Some(1))), State::Backpressured(edge));
        assert_eq!(judged(Activity::Reading(None)), State::Idle);
        assert_eq!(judged(Activity::Writing(None)), State::Backpressured(edge));
    }

    #[test]
    fn calls_elsewhere_are_busy() {
        assert_eq!(judged(Activity::Reading(Some(3))), State::Disk);
        assert_eq!(judged(Activity::Writing(Some(4))), State::Blocked(Elsewhere::Peer));
        assert_eq!(judged(Activity::Reading(Some(9))), State::Waiting(Elsewhere::Sleep));
        assert_eq!(judged(Activity::Sleeping), State::Waiting(Elsewhere::Sleep));
    }

    #[test]
    fn levels_explain_a_poll() {
        let edge = EdgeId::numbered(1);
        let with = |is_full, is_empty| judge(Activity::Polling, &Filter { is_full, is_empty });
        assert_eq!(with(true, true), State::Backpressured(edge));
        assert_eq!(with(false, true), State::Idle);
        assert_eq!(with(false, false), State::Waiting(Elsewhere::Sleep));
        let moving = |is_full| {
            judge(
                Activity::Moving { from: 0, to: 1 },
                &Filter {
                    is_full,
                    is_empty: !is_full,
                },
            )
        };
        assert_eq!([moving(true), moving(false)], [State::Backpressured(edge), State::Idle]);
    }

    #[test]
    fn busiest_thread_decides() {
        let edge = EdgeId::numbered(1);
        let states = [
            State::Waiting(Elsewhere::Child),
            State::Waiting(Elsewhere::Sleep),
            State::Idle,
            State::Blocked(Elsewhere::Peer),
            State::Backpressured(edge),
            State::Disk,
            State::Running,
        ];
        assert!(states.is_sorted());
    }
}
