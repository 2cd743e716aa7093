//! The pipeline over time: from top to bottom as the bytes flow, a band for each stage's time and a level for each
//! link.

use crate::engine::Share;
use crate::flow::LinkLevels;
use crate::grammar::{human_count, human_size};
use crate::graph::{Id, NodeId, NodeMap};
use crate::report::chart::{Frame, LEFT, Picture, RIGHT, draw_time, time_axis};
use crate::report::moments::Moment;
use crate::report::pauses::{Pause, pauses};
use crate::report::recording::{Level, Run};
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
/// The position of the line that joins the stages.
const RAIL: f64 = 10.0;
/// How far a branch is indented to the right.
const BRANCH: f64 = 14.0;
/// Branches that are nested deeper are indented no farther.
const DEEPEST: usize = 4;
/// The width of text left of the plot, and how much less in a branch, in columns.
const COLUMNS: usize = 21;
const BRANCH_COLUMNS: usize = 2;

/// The pipeline of one run.
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

/// The position of a stage.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The number of branches that it is in.
    depth: usize,
    y: f64,
}

/// The position of the line for stages in so many branches.
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

/// What most of the busy part of a stage's time is.
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

/// What the chart of a link shows: bytes, or records where their mark was the nearer one.
struct Shown {
    level: fn(&Level) -> u64,
    text: fn(u64) -> String,
    peak: u64,
    high: u64,
    low: u64,
    /// The other peak, where the link has two marks.
    other: Option<String>,
}

impl Shown {
    fn of(link: &LinkLevels) -> Self {
        let of_high = |peak: u64, high: u64, text: fn(u64) -> String| format!("{} of {}", text(peak), text(high));
        match (link.records, link.nearer_in_records(true)) {
            (_, Some(records)) => Self {
                level: |level| level.records,
                text: counted,
                peak: records.peak,
                high: records.high,
                low: records.low,
                other: Some(of_high(link.peak, link.high, human_size)),
            },
            (records, None) => Self {
                level: |level| level.buffered,
                text: human_size,
                peak: link.peak,
                high: link.high,
                low: link.low,
                other: records.map(|records| of_high(records.peak, records.high, counted)),
            },
        }
    }
}

/// `500 records`
fn counted(records: u64) -> String {
    human_count(records) + " records"
}

fn draw_link(svg: &mut Svg, run: &Run, (index, link): (usize, &Link), band: Area) {
    let link = &link.sample.levels;
    let shown = Shown::of(link);
    let bottom = band.y + band.height;
    let high = float(shown.high.max(1));
    let samples: Vec<Sample> = run
        .points
        .iter()
        .map(|point| (point.at, float((shown.level)(&point.links[index])) / high))
        .collect();
    let samples: Vec<Sample> = std::iter::once((0.0, 0.0)).chain(thinned(&samples)).collect();
    let time = time_axis(run.duration());
    // The high mark is a little below the top, so that the end of a full link is visible.
    let value = Axis {
        max: 1.0,
        from: bottom,
        to: band.y + 4.0,
    };
    svg.rect("plot", band, 0.0);
    let frame = Frame { time, value };
    let peak = (shown.text)(shown.peak);
    let other = shown
        .other
        .as_ref()
        .map_or_else(String::new, |other| format!(", and {other}"));
    svg.begin_titled(&format!("level, at most {peak} of {}{other}", (shown.text)(shown.high)));
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
    let y = value.at(float(shown.low) / high);
    svg.line("low", (LEFT, y), (RIGHT, y));
    svg.line("high", (LEFT, value.to), (RIGHT, value.to));
    svg.line("axis", (LEFT, bottom), (RIGHT, bottom));
    let end = LEFT - 8.0;
    svg.text(
        "f",
        (end, value.to + 7.0),
        Anchor::End,
        &format!("high {}", (shown.text)(shown.high)),
    );
    svg.text(
        "f",
        (end, bottom),
        Anchor::End,
        &format!("low {}", (shown.text)(shown.low)),
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
        // Only an advisory mark can be passed.
        _ if shown.peak > shown.high => {
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

/// A long pause gets a background of its own, and its length if there is room.
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
