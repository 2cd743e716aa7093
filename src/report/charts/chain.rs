//! The chain over time: from top to bottom as the bytes flow, a band for each stage's time and a level for each link.

use crate::engine::Share;
use crate::grammar::human_size;
use crate::graph::{Id, NodeId, NodeMap};
use crate::report::chart::{Frame, LEFT, Picture, RIGHT, draw_time, time_axis};
use crate::report::moments::Moment;
use crate::report::pauses::{Pause, pauses};
use crate::report::recording::Run;
use crate::report::scale::{Axis, float, seconds};
use crate::report::series::{Sample, Stretch, stretches, thinned};
use crate::report::svg::{Anchor, Area, Path, Svg};
use crate::report::verdict;
use crate::view::json::{Link, Stage};
use crate::view::live::squeezed;
use crate::view::sentence::percent;

use super::pins;

const TOP: f64 = 34.0;
const STAGE: f64 = 38.0;
const LINK: f64 = 34.0;
const GAP: f64 = 9.0;
/// Where the rail runs that the stages hang on.
const RAIL: f64 = 10.0;
/// How far a branch is to the right of what it hangs on.
const BRANCH: f64 = 14.0;
/// Branches that are nested deeper are drawn no farther to the right.
const DEEPEST: usize = 4;
/// As many columns of text as fit left of the plot, and how many fewer in a branch.
const COLUMNS: usize = 21;
const BRANCH_COLUMNS: usize = 2;

/// One run's chain.
pub fn picture(run: &Run, moments: &[Moment]) -> Picture {
    let mut svg = Svg::default();
    let last = &run.last;
    let links = last.links.len();
    let stages = last.stages.len();
    #[allow(clippy::cast_precision_loss, reason = "a few stages")]
    let height = |stages: usize, links: usize| stages as f64 * (STAGE + GAP) + links as f64 * (LINK + GAP);
    let bottom = TOP + height(stages, links) - GAP;
    let time = time_axis(run.duration());
    let graph = last.graph();
    let bottleneck = verdict::bottleneck(run);
    let input = |node: NodeId| last.links.iter().enumerate().find(|(_, link)| link.to == node.number());
    let mut places: NodeMap<Place> = NodeMap::default();
    let mut y = TOP;
    for node in graph.nodes() {
        y += input(node).map_or(0.0, |_| LINK + GAP);
        let depth = graph.branch_depth(node).min(DEEPEST);
        places.push(Place { depth, y });
        y += STAGE + GAP;
    }
    for (node, place) in places.iter() {
        if let Some(before) = graph.upstream(node) {
            draw_rail(&mut svg, places[before], *place);
        }
    }
    for ((node, place), stage) in places.iter().zip(&last.stages) {
        let band = Area {
            x: LEFT,
            y: place.y,
            width: RIGHT - LEFT,
            height: STAGE,
        };
        if let Some(link) = input(node) {
            let above = Area {
                y: place.y - GAP - LINK,
                height: LINK,
                ..band
            };
            draw_link(&mut svg, run, link, above);
        }
        let is_bottleneck = bottleneck == Some(node.number());
        draw_stage(
            &mut svg,
            run,
            (node.number(), stage),
            (place.depth, band),
            is_bottleneck,
        );
    }
    draw_time(&mut svg, time, bottom, bottom + 4.0);
    pins::draw(&mut svg, moments, time, 12.0, (TOP, bottom));
    Picture {
        height: bottom + 30.0,
        body: svg.into_text(),
        label: "The chain over time: each stage's time as busy, backpressured and idle, and each link's level against \
                its marks"
            .to_owned(),
    }
}

/// Where a stage is drawn.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// How many branches it is in.
    depth: usize,
    y: f64,
}

/// Where the rail of stages that are in so many branches runs.
fn rail(depth: usize) -> f64 {
    RAIL + BRANCH * float(depth as u64)
}

/// From a stage to one that it feeds: down, and to the right into a branch.
fn draw_rail(svg: &mut Svg, from: Place, to: Place) {
    let middle = STAGE / 2.0;
    let (left, bottom) = (rail(from.depth), to.y + middle);
    svg.line("rail", (left, from.y + middle), (left, bottom));
    if to.depth > from.depth {
        svg.line("rail", (left, bottom), (rail(to.depth), bottom));
    }
}

fn draw_stage(
    svg: &mut Svg,
    run: &Run,
    (at, stage): (usize, &Stage<'_>),
    (depth, band): (usize, Area),
    is_bottleneck: bool,
) {
    let rail = rail(depth);
    let middle = band.y + STAGE / 2.0;
    svg.circle(
        if is_bottleneck { "bad" } else { "stop" },
        (rail, middle),
        if is_bottleneck { 7.0 } else { 5.0 },
    );
    svg.begin_titled(&stage.sample.text);
    let x = rail + 16.0;
    let text = squeezed(&stage.sample.text, COLUMNS - BRANCH_COLUMNS * depth);
    if is_bottleneck {
        svg.text("s", (x, middle - 3.0), Anchor::Start, &text);
        svg.text("bt", (x, middle + 12.0), Anchor::Start, "◀ the bottleneck");
    } else {
        svg.text("s", (x, middle + 4.0), Anchor::Start, &text);
    }
    svg.end();
    let stretches = stretches(&run.points, at);
    let overall = verdict::shares(run, at);
    let Some(overall) = overall.filter(|_| !stretches.is_empty()) else {
        svg.rect("none", band, 2.0);
        let why = if run.last.lane == "linked" {
            "not sampled".to_owned()
        } else {
            format!("copied directly by {}: its shares are not known", run.last.lane)
        };
        svg.text("f", (LEFT + 12.0, middle + 4.0), Anchor::Start, &why);
        return;
    };
    svg.begin_titled(&sentence(stage, &overall));
    bands(svg, &stretches, band, time_axis(run.duration()));
    svg.end();
    let x = RIGHT + 8.0;
    let mut parts = [
        ("bt", overall.busy, doing(&overall)),
        ("ht", overall.backpressured, "backpressured"),
        ("it", overall.idle, "idle"),
    ];
    parts.sort_by(|a, b| b.1.total_cmp(&a.1));
    let [first, second, _] = parts;
    if second.1 < 0.05 {
        svg.text(
            first.0,
            (x, middle + 4.0),
            Anchor::Start,
            &format!("{} {}", percent(first.1), first.2),
        );
    } else {
        for ((class, share, word), y) in [(first, middle - 4.0), (second, middle + 11.0)] {
            svg.text(class, (x, y), Anchor::Start, &format!("{} {word}", percent(share)));
        }
    }
}

/// What the busy part of a stage's time mostly is.
fn doing(shares: &Share) -> &'static str {
    if shares.throttling > shares.busy / 2.0 {
        "throttling"
    } else if shares.outside > shares.busy / 2.0 {
        "waiting outside"
    } else {
        "busy"
    }
}

fn sentence(stage: &Stage<'_>, shares: &Share) -> String {
    format!(
        "{}: busy {}, backpressured {}, idle {}",
        stage.sample.text,
        percent(shares.busy),
        percent(shares.backpressured),
        percent(shares.idle)
    )
}

/// Stacked from below: busy, backpressured, and idle up to the top.
fn bands(svg: &mut Svg, stretches: &[Stretch], band: Area, time: Axis) {
    let (Some(first), Some(last)) = (stretches.first(), stretches.last()) else {
        return;
    };
    let (from, to) = (time.at(first.from), time.at(last.to));
    let idle = Area {
        x: from,
        width: to - from,
        ..band
    };
    svg.rect("idle", idle, 0.0);
    let floor = band.y + band.height;
    let up_to = |share: fn(&Stretch) -> f64| {
        let steps = stretches.iter().flat_map(|stretch| {
            let y = floor - share(stretch).clamp(0.0, 1.0) * band.height;
            [(time.at(stretch.from), y), (time.at(stretch.to), y)]
        });
        Path::around(steps.chain([(to, floor), (from, floor)]))
    };
    svg.path("held", &up_to(|stretch| stretch.shares[0] + stretch.shares[1]));
    svg.path("busy", &up_to(|stretch| stretch.shares[0]));
}

fn draw_link(svg: &mut Svg, run: &Run, (index, link): (usize, &Link), band: Area) {
    let link = &link.sample.levels;
    let bottom = band.y + band.height;
    let high = float(link.high.max(1));
    let samples: Vec<Sample> = run
        .points
        .iter()
        .map(|point| (point.at, float(point.links[index].buffered) / high))
        .collect();
    let samples: Vec<Sample> = std::iter::once((0.0, 0.0)).chain(thinned(&samples)).collect();
    let time = time_axis(run.duration());
    // The high mark is a little below the top, so that a full link is seen to end there.
    let value = Axis {
        max: 1.0,
        from: bottom,
        to: band.y + 4.0,
    };
    svg.rect("plot", band, 0.0);
    let frame = Frame { time, value };
    let peak = human_size(link.peak);
    svg.begin_titled(&format!("level, at most {peak} of {}", human_size(link.high)));
    frame.area(svg, "level", &samples);
    frame.line(svg, "edge", &samples);
    svg.end();
    for pause in pauses(run, index) {
        draw_pause(
            svg,
            &pause,
            Area {
                y: value.to,
                height: bottom - value.to,
                ..band
            },
            time,
        );
    }
    let y = value.at(float(link.low) / high);
    svg.line("low", (LEFT, y), (RIGHT, y));
    svg.line("high", (LEFT, value.to), (RIGHT, value.to));
    svg.line("axis", (LEFT, bottom), (RIGHT, bottom));
    let end = LEFT - 8.0;
    svg.text(
        "f",
        (end, value.to + 7.0),
        Anchor::End,
        &format!("high {}", human_size(link.high)),
    );
    svg.text(
        "f",
        (end, bottom),
        Anchor::End,
        &format!("low {}", human_size(link.low)),
    );
    let x = RIGHT + 8.0;
    let middle = band.y + band.height / 2.0;
    match link.times_full {
        0 => svg.text(
            "f",
            (x, middle + 4.0),
            Anchor::Start,
            &format!("never full, peak {peak}"),
        ),
        // Only a mark that was advice can be passed.
        _ if link.peak > link.high => {
            svg.text("lt", (x, middle - 4.0), Anchor::Start, "passed its mark");
            svg.text("f", (x, middle + 11.0), Anchor::Start, &format!("peak {peak}"));
        }
        times => {
            let often = if times == 1 {
                "full once".to_owned()
            } else {
                format!("full {times} times")
            };
            svg.text("lt", (x, middle - 4.0), Anchor::Start, &often);
            let pause = format!("longest pause {}", seconds(link.longest_pause.as_secs_f64()));
            svg.text("f", (x, middle + 11.0), Anchor::Start, &pause);
        }
    }
}

/// A long pause is worth its own ground, and its length where that has room.
fn draw_pause(svg: &mut Svg, pause: &Pause, band: Area, time: Axis) {
    let (from, to) = (time.at(pause.from), time.at(pause.to));
    let area = Area {
        x: from,
        width: to - from,
        ..band
    };
    let text = format!("paused {}", seconds(pause.length()));
    svg.begin_titled(&text);
    svg.rect("pause", area, 0.0);
    #[allow(clippy::cast_precision_loss, reason = "a few letters")]
    let width = text.len() as f64 * 6.6;
    if to - from > width {
        let middle = (f64::midpoint(from, to), band.y + band.height / 2.0 + 4.0);
        svg.text("pt", middle, Anchor::Middle, &text);
    }
    svg.end();
}
