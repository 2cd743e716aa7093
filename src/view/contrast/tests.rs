//! Golden pictures: numbers in, text out. `SNAPSHOTS=overwrite cargo test --lib contrast` rewrites them.

use snapbox::data::DataFormat;
use snapbox::{Data, IntoData, assert_data_eq};

use super::sample::{recorded, records};
use super::*;
use crate::view::ascii::in_ascii;
use crate::view::live::{Background, Paint, Style};

const NO_COLOUR: Style = Style {
    colour: false,
    background: Background::Unknown,
};

fn text(lines: &[Line], style: Style) -> String {
    let text: String = lines.iter().map(|line| style.text(line) + "\n").collect();
    // Makes escape sequences readable.
    text.replace('\x1b', "␛")
}

/// The demo's final output.
fn whole(contrast: &Contrast, columns: usize, style: Style) -> String {
    let mut lines = introduction(contrast, columns);
    lines.extend(frame(contrast, columns, Shown::Both));
    lines.extend(verdict(contrast, columns));
    for line in &lines {
        assert!(line.columns() < columns, "{line:?}");
    }
    text(&lines, style)
}

#[track_caller]
fn assert_picture(name: &str, actual: String) {
    let path = format!("{}/src/view/contrast/frames/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    assert_data_eq!(
        actual.into_data().raw(),
        Data::read_from(path.as_ref(), Some(DataFormat::Text)).raw()
    );
}

#[test]
fn every_width() {
    for columns in [40, 80, 120] {
        assert_picture(&format!("{columns}-columns"), whole(&recorded(), columns, NO_COLOUR));
    }
}

#[test]
fn records_are_told_in_their_own_words() {
    let all: String = [40, 80].map(|columns| whole(&records(), columns, NO_COLOUR)).concat();
    assert_picture("records", all);
}

#[test]
fn colours() {
    let style = Style {
        colour: true,
        background: Background::Dark,
    };
    assert_picture("80-columns-dark", whole(&recorded(), 80, style));
}

#[test]
fn ascii_is_enough() {
    let text = in_ascii(&whole(&recorded(), 80, NO_COLOUR));
    assert!(text.is_ascii(), "{text}");
    assert_picture("80-columns-ascii", text);
}

/// Before anything has begun, and in the middle of the first and of the second run.
#[test]
fn unfinished_demo_tells_its_state() {
    let mut second = recorded();
    second.heeding.end = None;
    second.heeding.points.truncate(12);
    let mut first = second.clone();
    first.ignoring.end = None;
    first.ignoring.points.truncate(15);
    first.heeding.points.clear();
    let mut none = first.clone();
    none.ignoring.points.clear();
    let all: String = [&none, &first, &second]
        .into_iter()
        .flat_map(|contrast| [80, 40].map(|columns| (contrast, columns)))
        .map(|(contrast, columns)| {
            assert!(verdict(contrast, columns).is_empty(), "nothing is over");
            let lines = frame(contrast, columns, Shown::Running);
            assert!(lines.len() < 24, "fits on the smallest terminal");
            text(&lines, NO_COLOUR) + "\n"
        })
        .collect();
    assert_picture("running", all);
}

#[test]
fn water_is_another_colour_above_the_ceiling() {
    let mut contrast = recorded();
    (contrast.ceiling, contrast.top) = (10, 120);
    contrast.span = Duration::from_secs(4);
    let point = |seconds, rss| Point {
        at: Duration::from_secs(seconds),
        rss,
        ..Point::default()
    };
    contrast.ignoring = Course {
        points: vec![point(0, 5), point(1, 10), point(2, 15), point(3, 120)],
        end: None,
    };
    let panel = Panel::ignoring(&contrast).lines(4, true);
    // The title is above the twelve rows.
    let row = |from_below: usize| panel[usize::from(ROWS) - from_below].pieces[2..].to_vec();
    let level = |text: &str| (Paint::Level, text.to_owned());
    let above = |text: &str| (Paint::Busy, text.to_owned());
    assert_eq!(row(0), [level("▄███")]);
    assert_eq!(row(1), [(Paint::Faint, "▁▁".to_owned()), above("▄█")]);
    assert_eq!(row(11), [(Paint::Plain, "   ".to_owned()), above("█")]);
}

#[test]
fn any_width_and_number_is_drawn() {
    let mut odd = recorded();
    (odd.top, odd.ceiling, odd.span) = (0, u64::MAX, Duration::ZERO);
    for columns in 0..130 {
        for shown in [Shown::Both, Shown::Running] {
            for contrast in [&odd, &recorded()] {
                let lines = frame(contrast, columns, shown);
                assert!(lines.iter().all(|line| line.columns() < columns.max(2)));
            }
        }
        assert!(!verdict(&odd, columns).is_empty() && !introduction(&odd, columns).is_empty());
    }
}
