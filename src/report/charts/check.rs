//! A check of another program: what it took and gave back, and its memory.

use crate::grammar::human_size;
use crate::report::chart::{Frame, Label, Picture, draw_labels};
use crate::report::palette::{colour, letter};
use crate::report::recording::Check;
use crate::report::scale::{byte_ticks, float};
use crate::report::series::{Sample, thinned};
use crate::report::svg::Svg;
use crate::view::record::CheckSample;

const TOP: f64 = 10.0;

/// One line of a check's picture.
struct Curve {
    samples: Vec<Sample>,
    class: String,
    label: String,
    label_class: String,
}

impl Curve {
    /// `None` of what is not known at some time.
    fn of(
        check: &Check,
        name: &str,
        class: &str,
        label_class: &str,
        value: fn(&CheckSample) -> Option<u64>,
    ) -> Option<Self> {
        let samples = check.samples.iter();
        let samples: Option<Vec<Sample>> = samples
            .map(|sample| Some((sample.elapsed_s, float(value(sample)?))))
            .collect();
        let last = check.samples.last().and_then(value)?;
        Some(Self {
            samples: thinned(&samples?),
            class: class.to_owned(),
            label: format!("{name} {}", human_size(last)),
            label_class: label_class.to_owned(),
        })
    }
}

/// What one program took, gave back and kept; of a server, what its clients got.
pub fn bytes(check: &Check) -> Picture {
    // What lies between the lines is in the program: drawn as what a chain holds is.
    let curves: Vec<Curve> = [
        Curve::of(check, "backlog", "edge", "lt", |sample| sample.backlog_bytes),
        Curve::of(check, "accepted", "d0", "l0", |sample| sample.accepted_bytes),
        Curve::of(check, "returned", "r2", "l2", |sample| Some(sample.returned_bytes)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let label = "Bytes over time: accepted, returned, and the backlog between them";
    picture(&curves, duration(check), 190.0, label)
}

/// The memory of each program, the ones over the others.
pub fn memory(checks: &[(usize, &Check)]) -> Picture {
    let curves: Vec<Curve> = checks
        .iter()
        .filter_map(|(number, check)| {
            let key = if checks.len() == 1 {
                String::new()
            } else {
                format!("{} ", letter(*number))
            };
            let (line, label) = (format!("r{}", colour(*number)), format!("l{}", colour(*number)));
            Curve::of(check, &format!("{key}memory"), &line, &label, |sample| {
                Some(sample.memory_bytes)
            })
        })
        .collect();
    let longest = checks.iter().map(|(_, check)| duration(check)).fold(0.0, f64::max);
    picture(&curves, longest, 190.0, "Memory over time")
}

fn duration(check: &Check) -> f64 {
    let sampled = check.samples.last().map_or(0.0, |sample| sample.elapsed_s);
    check.end.as_ref().map_or(sampled, |end| end.elapsed_s)
}

fn picture(curves: &[Curve], duration: f64, bottom: f64, label: &str) -> Picture {
    let mut svg = Svg::default();
    let highest = curves.iter().flat_map(|curve| &curve.samples).map(|sample| sample.1);
    let ticks = byte_ticks(highest.fold(0.0, f64::max) * 1.05);
    let frame = Frame::new(duration, TOP, bottom, &ticks);
    frame.draw(&mut svg, &ticks);
    let mut labels = Vec::new();
    for curve in curves {
        if curve.class == "edge" {
            frame.area(&mut svg, "level", &curve.samples);
        }
        svg.begin_titled(&curve.label);
        frame.line(&mut svg, &curve.class, &curve.samples);
        svg.end();
        labels.push(Label {
            class: curve.label_class.clone(),
            text: curve.label.clone(),
            y: curve.samples.last().map_or(bottom, |last| frame.value.at(last.1)),
        });
    }
    draw_labels(&mut svg, labels, TOP + 4.0, bottom - 4.0);
    Picture {
        height: bottom + 26.0,
        body: svg.into_text(),
        label: label.to_owned(),
    }
}
