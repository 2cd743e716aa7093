//! What all charts share: positions, axes, and labels that do not overlap.

use super::palette::{colour, letter};
use super::scale::{Axis, Tick, time_ticks};
use super::svg::{Anchor, Area, Path, Svg};

/// The width of every picture, in pixels; a page scales it.
pub const WIDTH: f64 = 1000.0;
/// Where the time axis begins and ends; names are left of it, final values right of it.
pub const LEFT: f64 = 194.0;
pub const RIGHT: f64 = 838.0;

/// The classes of the areas in a picture of a pipeline, and their meaning.
pub const KEY: [(&str, &str); 5] = [
    ("busy", "busy"),
    ("held", "backpressured: waiting for room downstream"),
    ("idle", "idle: waiting for input"),
    ("level", "a link's level"),
    ("pause", "a long pause"),
];

/// A finished picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    pub height: f64,
    /// SVG elements.
    pub body: String,
    /// A description for those who cannot see it.
    pub label: String,
}

/// A plot over time.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    pub time: Axis,
    pub value: Axis,
}

impl Frame {
    /// A plot between two heights, of values up to the last of `ticks`.
    pub fn new(duration: f64, top: f64, bottom: f64, ticks: &[Tick]) -> Self {
        Self {
            time: time_axis(duration),
            value: Axis {
                max: ticks.last().map_or(1.0, |tick| tick.0),
                from: bottom,
                to: top,
            },
        }
    }

    pub fn at(&self, (time, value): (f64, f64)) -> (f64, f64) {
        (self.time.at(time), self.value.at(value))
    }

    /// Draws the background, the grid and both axes with their units.
    pub fn draw(&self, svg: &mut Svg, ticks: &[Tick]) {
        let (top, bottom) = (self.value.to, self.value.from);
        let ground = Area {
            x: LEFT,
            y: top,
            width: RIGHT - LEFT,
            height: bottom - top,
        };
        svg.rect("plot", ground, 0.0);
        for (value, text) in ticks {
            let y = self.value.at(*value);
            svg.line("grid", (LEFT, y), (RIGHT, y));
            svg.text("k", (LEFT - 8.0, y + 4.0), Anchor::End, text);
        }
        draw_time(svg, self.time, top, bottom);
    }

    /// A line through samples.
    pub fn line(&self, svg: &mut Svg, class: &str, samples: &[(f64, f64)]) {
        svg.path(class, &Path::through(samples.iter().map(|sample| self.at(*sample))));
    }

    /// Fills the area below samples.
    pub fn area(&self, svg: &mut Svg, class: &str, samples: &[(f64, f64)]) {
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
            return;
        };
        let ground = [self.at((last.0, 0.0)), self.at((first.0, 0.0))];
        svg.path(
            class,
            &Path::around(samples.iter().map(|sample| self.at(*sample)).chain(ground)),
        );
    }
}

/// Time from the start to `duration` seconds.
pub fn time_axis(duration: f64) -> Axis {
    Axis {
        max: duration,
        from: LEFT,
        to: RIGHT,
    }
}

/// The axis of time below a plot, with lines up through it.
pub fn draw_time(svg: &mut Svg, time: Axis, top: f64, bottom: f64) {
    for (at, text) in time_ticks(time.max) {
        let x = time.at(at);
        svg.line("grid", (x, top), (x, bottom));
        svg.text("k", (x, bottom + 15.0), Anchor::Middle, &text);
    }
    svg.line("axis", (LEFT, bottom), (RIGHT, bottom));
}

/// A label at the right of a plot, at the height of what it names.
#[derive(Debug, Clone)]
pub struct Label {
    pub class: String,
    pub text: String,
    pub y: f64,
}

/// Writes labels at the right without overlaps, between two heights as long as there is room.
pub fn draw_labels(svg: &mut Svg, mut labels: Vec<Label>, top: f64, bottom: f64) {
    const GAP: f64 = 15.0;
    labels.sort_by(|a, b| a.y.total_cmp(&b.y));
    let mut floor = top;
    for label in &mut labels {
        label.y = label.y.max(floor);
        floor = label.y + GAP;
    }
    let mut ceiling = bottom;
    for label in labels.iter_mut().rev() {
        label.y = label.y.min(ceiling);
        ceiling = label.y - GAP;
    }
    for label in &labels {
        svg.text(&label.class, (RIGHT + 8.0, label.y + 4.0), Anchor::Start, &label.text);
    }
}

/// The chip with a run's letter that ties its line to its name.
pub fn chip(svg: &mut Svg, run: usize, (x, y): (f64, f64)) {
    let area = Area {
        x,
        y: y - 8.0,
        width: 16.0,
        height: 16.0,
    };
    svg.rect(&format!("c{}", colour(run)), area, 3.0);
    svg.text("kt", (x + 8.0, y + 3.5), Anchor::Middle, &letter(run));
}
