//! Memory over time: what is resident, and what the pipeline holds, against the ceiling.

use crate::grammar::human_size;
use crate::report::chart::{Frame, LEFT, Label, Picture, RIGHT, draw_labels};
use crate::report::moments::Moment;
use crate::report::palette::{colour, letter};
use crate::report::recording::{Point, Run};
use crate::report::scale::{byte_ticks, float};
use crate::report::series::{Sample, thinned};
use crate::report::svg::{Anchor, Area, Svg};
use crate::report::verdict;

use super::pins;

const TOP: f64 = 34.0;
const BOTTOM: f64 = 264.0;
/// A ceiling that is farther above the highest line than this factor is only named, so that the lines stay readable.
const FAR: f64 = 4.0;

/// One run's memory with its moments, or that of several in one chart. Each comes with its number in the report.
pub fn picture(runs: &[(usize, &Run)], moments: &[Moment]) -> Picture {
    let mut svg = Svg::default();
    let duration = runs.iter().map(|(_, run)| run.duration()).fold(0.0, f64::max);
    let points = || runs.iter().flat_map(|(_, run)| &run.points);
    let highest = points().map(|point| point.rss.max(point.held)).max().unwrap_or(0);
    let ceilings = ceilings(runs);
    let (near, far): (Vec<Ceiling>, Vec<Ceiling>) = ceilings
        .into_iter()
        .partition(|ceiling| float(ceiling.bytes) <= FAR * float(highest));
    let tallest = near.iter().map(|ceiling| ceiling.bytes).max().unwrap_or(0).max(highest);
    let ticks = byte_ticks(float(tallest) * 1.06);
    let is_alone = runs.len() == 1;
    // A single run has its pins above.
    let top = if is_alone { TOP } else { 8.0 };
    let frame = Frame::new(duration, top, BOTTOM, &ticks);
    frame.draw(&mut svg, &ticks);
    let mut labels = Vec::new();
    for ceiling in near {
        let y = frame.value.at(float(ceiling.bytes));
        svg.line("ceiling", (LEFT, y), (RIGHT, y));
        labels.push(Label {
            class: "ct".to_owned(),
            text: ceiling.name,
            y,
        });
    }
    if let Some(ceiling) = far.first() {
        svg.text(
            "ct",
            (RIGHT - 8.0, top + 16.0),
            Anchor::End,
            &format!("↑ {}, is far above", ceiling.name),
        );
    }
    for (number, run) in runs {
        labels.extend(lines(&mut svg, &frame, *number, run, is_alone));
    }
    draw_labels(&mut svg, labels, top + 4.0, BOTTOM - 4.0);
    if is_alone {
        pins::draw(&mut svg, moments, frame.time, 12.0, (TOP, BOTTOM));
    }
    Picture {
        height: BOTTOM + 26.0,
        body: svg.into_text(),
        label: "Memory over time: resident memory, and what the chain holds against its ceiling".to_owned(),
    }
}

/// A ceiling, and the runs that it belongs to.
struct Ceiling {
    bytes: u64,
    name: String,
}

/// Every ceiling once, the lowest first.
fn ceilings(runs: &[(usize, &Run)]) -> Vec<Ceiling> {
    let mut all: Vec<u64> = runs.iter().map(|(_, run)| run.last.run.limit).collect();
    all.sort_unstable();
    all.dedup();
    let is_common = all.len() == 1;
    let named = |bytes| {
        let letters = runs.iter().filter(|(_, run)| run.last.run.limit == bytes);
        let letters: Vec<String> = letters.map(|(number, _)| letter(*number)).collect();
        let of = if is_common {
            String::new()
        } else {
            format!("{} ", letters.join(" "))
        };
        Ceiling {
            bytes,
            name: format!("{of}ceiling {}", human_size(bytes)),
        }
    };
    all.into_iter().map(named).collect()
}

fn lines(svg: &mut Svg, frame: &Frame, number: usize, run: &Run, is_alone: bool) -> [Label; 2] {
    let series = |value: fn(&Point) -> u64| -> Vec<Sample> {
        let samples = run.sampled().iter().map(|point| (point.at, float(value(point))));
        thinned(&samples.collect::<Vec<_>>())
    };
    let rss = series(|point| point.rss);
    // Before the start the pipeline holds nothing.
    let held: Vec<Sample> = std::iter::once((0.0, 0.0)).chain(series(|point| point.held)).collect();
    let colour = colour(number);
    let peaks = (human_size(verdict::rss_peak(run)), human_size(verdict::held_peak(run)));
    let held_class = if is_alone {
        frame.area(svg, "level", &held);
        "edge".to_owned()
    } else {
        format!("d{colour}")
    };
    svg.begin_titled(&format!("held by the chain, at most {}", peaks.1));
    frame.line(svg, &held_class, &held);
    svg.end();
    svg.begin_titled(&format!("resident, at most {}", peaks.0));
    frame.line(svg, &format!("r{colour}"), &rss);
    svg.end();
    // In the very last sample the pipeline may be drained already.
    let end = |samples: &[Sample]| {
        let last = samples.iter().rev().take(3).map(|sample| frame.value.at(sample.1));
        last.fold(frame.value.from, f64::min)
    };
    let key = if is_alone {
        String::new()
    } else {
        format!("{} ", letter(number))
    };
    if !is_alone {
        dot(svg, frame, colour, &rss);
    }
    [
        Label {
            class: format!("l{colour}"),
            text: format!("{key}RSS, peak {}", peaks.0),
            y: end(&rss),
        },
        Label {
            class: if is_alone {
                "lt".to_owned()
            } else {
                format!("l{colour}")
            },
            text: format!("{key}held, peak {}", peaks.1),
            y: end(&held),
        },
    ]
}

/// Marks where a run ended.
fn dot(svg: &mut Svg, frame: &Frame, colour: usize, samples: &[Sample]) {
    if let Some(last) = samples.last() {
        let (x, y) = frame.at(*last);
        let area = Area {
            x: x - 3.0,
            y: y - 3.0,
            width: 6.0,
            height: 6.0,
        };
        svg.rect(&format!("c{colour}"), area, 3.0);
    }
}
