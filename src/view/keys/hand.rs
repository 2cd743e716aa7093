//! Executes keys.

use std::time::{Duration, Instant};

use crate::engine::{Controls, Throttle};
use crate::view::live::KeyLine;

use super::steps::{faster, slower};

/// For how long a message stays on the screen.
const LASTING: Duration = Duration::from_secs(3);

/// The state of the keys.
#[derive(Debug, Default)]
pub struct Hand {
    /// Which of several throttles `+` and `-` change.
    chosen: usize,
    /// How many times `?` was pressed.
    asked: usize,
    /// The last key's message, and when it was shown.
    note: Option<(String, Instant)>,
}

/// What is left to do for the reader of the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyCommand {
    /// Only show it.
    Show,
    /// End the run as Ctrl-C does.
    Quit,
}

impl Hand {
    /// Executes a key on the `controls` of a run, if there is one; returns `None` for keys without a meaning.
    pub fn press(&mut self, key: u8, controls: Option<&Controls>, now: Instant) -> Option<KeyCommand> {
        match (key, controls) {
            (b'?', _) => self.asked += 1,
            (b'q', _) => return Some(KeyCommand::Quit),
            (_, Some(controls)) => return self.steer(key, controls, now),
            _ => return None,
        }
        Some(KeyCommand::Show)
    }

    fn steer(&mut self, key: u8, controls: &Controls, now: Instant) -> Option<KeyCommand> {
        match key {
            b'+' | b'=' => self.turn(controls, faster, now),
            b'-' | b'_' => self.turn(controls, slower, now),
            b'\t' if controls.throttles().len() > 1 => {
                self.chosen = (self.chosen + 1) % controls.throttles().len();
                self.note = None;
            }
            b' ' => {
                if controls.is_paused() {
                    controls.resume();
                } else {
                    controls.pause();
                }
                self.note = None;
            }
            _ => return None,
        }
        Some(KeyCommand::Show)
    }

    fn turn(&mut self, controls: &Controls, step: fn(u64) -> u64, now: Instant) {
        let note = match controls.throttles().get(self.chosen) {
            Some(throttle) => {
                throttle.rate_control.set(step(throttle.rate_control.rate()));
                format!("{} at {}", called(throttle, controls), throttle.rate())
            }
            None => "no throttle in this chain: + and - have nothing to turn".to_owned(),
        };
        self.note = Some((note, now));
    }

    /// The line about keys on the screen.
    pub fn shown(&self, controls: Option<&Controls>, now: Instant) -> KeyLine {
        let throttles = controls.map_or(&[][..], Controls::throttles);
        let turned = controls.zip(throttles.get(self.chosen));
        KeyLine {
            steers: controls.is_some(),
            turns: turned.map(|(controls, throttle)| called(throttle, controls)),
            has_several: throttles.len() > 1,
            asked: self.asked,
            note: (self.note.as_ref())
                .filter(|(_, since)| now.saturating_duration_since(*since) < LASTING)
                .map(|(note, _)| note.clone()),
        }
    }
}

/// `throttle`, or `throttle 2` if there are several.
fn called(throttle: &Throttle, controls: &Controls) -> String {
    if controls.throttles().len() > 1 {
        format!("{} {}", throttle.name, throttle.stage)
    } else {
        throttle.name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(hand: &mut Hand, keys: &[u8], controls: &Controls) -> Vec<Option<KeyCommand>> {
        let now = Instant::now();
        keys.iter().map(|key| hand.press(*key, Some(controls), now)).collect()
    }

    fn note(hand: &Hand, controls: &Controls) -> Option<String> {
        hand.shown(Some(controls), Instant::now()).note
    }

    #[test]
    fn plus_and_minus_turn_the_throttle() {
        let (controls, mut hand) = (Controls::detached(&[(2, 1_000_000)]), Hand::default());
        press(&mut hand, b"++", &controls);
        assert_eq!(controls.throttles()[0].rate_control.rate(), 1_250_000);
        assert_eq!(note(&hand, &controls).as_deref(), Some("throttle at 1.25MB/s"));
        press(&mut hand, b"---", &controls);
        assert_eq!(controls.throttles()[0].rate_control.rate(), 900_000);
    }

    #[test]
    fn plus_without_throttle_says_so() {
        let (controls, mut hand) = (Controls::detached(&[]), Hand::default());
        assert_eq!(press(&mut hand, b"+", &controls), [Some(KeyCommand::Show)]);
        assert!(note(&hand, &controls).is_some_and(|note| note.starts_with("no throttle in this chain")));
    }

    #[test]
    fn tab_chooses_one_of_several_throttles() {
        let controls = Controls::detached(&[(1, 1_000), (3, 1_000)]);
        let rates = || {
            controls
                .throttles()
                .iter()
                .map(|one| one.rate_control.rate())
                .collect::<Vec<_>>()
        };
        let mut hand = Hand::default();
        press(&mut hand, b"+\t--", &controls);
        assert_eq!(rates(), [1_100, 800]);
        assert_eq!(note(&hand, &controls).as_deref(), Some("throttle 3 at 800/s"));
        press(&mut hand, b"\t+", &controls);
        assert_eq!(rates(), [1_250, 800]);
    }

    #[test]
    fn space_pauses_and_resumes_and_q_quits() {
        let (controls, mut hand) = (Controls::detached(&[]), Hand::default());
        press(&mut hand, b" ", &controls);
        assert!(controls.is_paused());
        assert_eq!(
            press(&mut hand, b" qx", &controls),
            [Some(KeyCommand::Show), Some(KeyCommand::Quit), None]
        );
        assert!(!controls.is_paused());
    }

    #[test]
    fn message_expires_but_explanation_stays() {
        let (controls, mut hand) = (Controls::detached(&[]), Hand::default());
        let now = Instant::now();
        hand.press(b'-', Some(&controls), now);
        hand.press(b'?', Some(&controls), now);
        let later = hand.shown(Some(&controls), now + LASTING);
        assert_eq!((later.note, later.asked), (None, 1));
    }

    #[test]
    fn without_a_run_there_is_nothing_to_steer() {
        let mut hand = Hand::default();
        let now = Instant::now();
        let done = *b"+\t ?q";
        let done = done.map(|key| hand.press(key, None, now));
        assert_eq!(done, [None, None, None, Some(KeyCommand::Show), Some(KeyCommand::Quit)]);
        let shown = hand.shown(None, now);
        assert!(shown.asked == 1 && !shown.steers && shown.turns.is_none());
    }
}
