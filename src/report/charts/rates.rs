//! The rates of input and output.

use crate::report::chart::{Frame, Label, Picture, draw_labels};
use crate::report::moments::Moment;
use crate::report::palette::{colour, letter};
use crate::report::recording::{Point, Run};
use crate::report::scale::{byte_ticks, float};
use crate::report::series::{Sample, rates, thinned, window};
use crate::report::svg::Svg;
use crate::view::plain::human_rate;

const TOP: f64 = 10.0;
const BOTTOM: f64 = 170.0;

/// The rates of one run with its moments, or of several in one chart.
pub fn picture(runs: &[(usize, &Run)], moments: &[Moment]) -> Picture {
    let mut svg = Svg::default();
    let duration = runs.iter().map(|(_, run)| run.duration()).fold(0.0, f64::max);
    let both: Vec<(usize, &Run, [Vec<Sample>; 2])> = runs
        .iter()
        .map(|(number, run)| {
            let of = |bytes: fn(&Point) -> u64| thinned(&rates(&run.points, window(duration), bytes));
            (*number, *run, [of(|point| point.bytes_in), of(|point| point.bytes_out)])
        })
        .collect();
    let highest = both.iter().flat_map(|(_, _, both)| both.iter().flatten());
    let highest = highest.map(|sample| sample.1).fold(0.0, f64::max);
    let mut ticks = byte_ticks(highest * 1.02);
    for (value, text) in &mut ticks {
        if *value > 0.0 {
            text.push_str("/s");
        }
    }
    let frame = Frame::new(duration, TOP, BOTTOM, &ticks);
    frame.draw(&mut svg, &ticks);
    let mut labels = Vec::new();
    for (number, run, [into, out]) in &both {
        let colour = colour(*number);
        frame.line(&mut svg, &format!("d{colour}"), into);
        frame.line(&mut svg, &format!("r{colour}"), out);
        let key = if runs.len() == 1 {
            String::new()
        } else {
            format!("{} ", letter(*number))
        };
        let Some(last) = run.points.last() else { continue };
        let mut label = |name: &str, samples: &[Sample], bytes: u64| {
            let mean = if last.at > 0.0 { float(bytes) / last.at } else { 0.0 };
            labels.push(Label {
                class: format!("l{colour}"),
                text: format!("{key}{name}, mean {}/s", human_rate(mean)),
                y: samples.last().map_or(BOTTOM, |last| frame.value.at(last.1)),
            });
        };
        label("in", into, last.bytes_in);
        label("out", out, last.bytes_out);
    }
    draw_labels(&mut svg, labels, TOP + 4.0, BOTTOM - 4.0);
    if let [_] = runs {
        for moment in moments {
            let x = frame.time.at(moment.at);
            svg.line("mark", (x, TOP), (x, BOTTOM));
        }
    }
    Picture {
        height: BOTTOM + 26.0,
        body: svg.into_text(),
        label: "Rates over time: bytes that came in at the source and went out at the sink each second".to_owned(),
    }
}
