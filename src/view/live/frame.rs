//! One picture of a run: as much as fits, with the least important parts left out first.

use crate::engine::Snapshot;

use super::columns::Columns;
use super::explain::explanation;
use super::history::History;
use super::keys::{KeyLine, hint};
use super::line::Line;
use super::meaning::Page;
use super::{footer, stages};

/// The terminal, in columns and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// How wide it is.
    pub columns: usize,
    /// How high it is.
    pub rows: usize,
}

/// How much is shown. Later steps of [`Detail::ladder`] take fewer rows.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::struct_excessive_bools, reason = "each is one thing that is shown or not")]
struct Detail {
    blanks: bool,
    links: bool,
    header: bool,
    /// Whether a narrow terminal gives a stage's numbers a line of their own.
    two_lines: bool,
    /// Lines for memory.
    memory: usize,
    /// Lines of the sentence.
    sentence: usize,
    /// The most stages; the others are folded.
    stages: usize,
}

const ALL: usize = usize::MAX;

impl Detail {
    /// From everything to the minimum: blank lines go first, then links, then long pipelines are folded, then the head
    /// goes.
    fn ladder() -> impl Iterator<Item = Self> {
        let full = Self {
            blanks: true,
            links: true,
            header: true,
            two_lines: true,
            memory: 2,
            sentence: 3,
            stages: ALL,
        };
        let dense = Self {
            blanks: false,
            sentence: 2,
            ..full
        };
        let unlinked = Self { links: false, ..dense };
        let single = Self {
            two_lines: false,
            ..unlinked
        };
        let bare = Self {
            header: false,
            ..single
        };
        let brief = Self {
            memory: 1,
            sentence: 1,
            ..bare
        };
        let chain = Self { memory: 0, ..brief };
        // A long pipeline is folded before a short one loses its head.
        let long = (6..=32).rev().map(move |stages| Self { stages, ..single });
        let folded = (0..=5).rev().map(move |stages| Self { stages, ..chain });
        let least = Self {
            sentence: 0,
            stages: 0,
            ..chain
        };
        [full, dense, unlinked, single]
            .into_iter()
            .chain(long)
            .chain([bare, brief, chain].map(|detail| Self { stages: 6, ..detail }))
            .chain(folded)
            .chain([least])
    }
}

/// The frame of a run. No line is wider than the terminal, and there are fewer lines than it has rows.
#[must_use]
pub fn frame(snapshot: &Snapshot, history: &History, size: Size) -> Vec<Line> {
    let columns = Columns::new(snapshot, size.columns);
    let most = size.rows.saturating_sub(1).max(1);
    let frames = Detail::ladder().map(|detail| lines(snapshot, history, &columns, detail));
    let mut last = Vec::new();
    for frame in frames {
        last = frame;
        if last.len() <= most {
            break;
        }
    }
    last.truncate(most);
    last.into_iter().map(|line| line.cut_to(columns.whole)).collect()
}

/// The frame of a run with keys: below the picture is the line about keys with their messages. An explanation is shown
/// between the two, or in pages instead of the picture if there is no room for both.
#[must_use]
pub fn frame_with_keys(snapshot: &Snapshot, history: &History, size: Size, keys: &KeyLine) -> Vec<Line> {
    let columns = Columns::new(snapshot, size.columns);
    let most = size.rows.saturating_sub(1).max(1);
    let explained = if keys.asked > 0 {
        explanation(snapshot, keys, &columns)
    } else {
        Vec::new()
    };
    // A picture that would lose its links for it has no line about keys, unless that is a message.
    let above = |explained: usize| {
        Detail::ladder().take(2).find_map(|detail| {
            let picture = lines(snapshot, history, &columns, detail);
            let blank = usize::from(detail.blanks);
            let explained = if explained > 0 { blank + explained } else { 0 };
            (picture.len() + explained + blank < most).then(|| (picture, detail.blanks.then(Line::default)))
        })
    };
    let both = above(explained.len());
    let room = if both.is_some() { explained.len() } else { most - 1 };
    let page = Page::of(&explained, room, keys.asked);
    let hint = hint(keys, snapshot.run.paused, page.as_ref(), columns.whole);
    let mut all = match (page, both) {
        (Some(page), Some((mut picture, blank))) => {
            picture.extend(blank.clone());
            picture.extend(page.lines);
            picture.extend(blank);
            picture
        }
        (Some(page), None) => page.lines,
        (None, _) => match above(0) {
            Some((mut picture, blank)) => {
                picture.extend(blank);
                picture
            }
            None => {
                let rows = size.rows.saturating_sub(usize::from(keys.note.is_some()));
                frame(snapshot, history, Size { rows, ..size })
            }
        },
    };
    if all.len() < most {
        all.push(hint);
    }
    all.into_iter().map(|line| line.cut_to(columns.whole)).collect()
}

fn lines(snapshot: &Snapshot, history: &History, columns: &Columns, detail: Detail) -> Vec<Line> {
    let mut lines = Vec::new();
    let blank = |lines: &mut Vec<Line>| {
        if detail.blanks {
            lines.push(Line::default());
        }
    };
    if detail.header && (snapshot.has_shares() || !columns.is_narrow) {
        lines.extend(stages::header(snapshot, columns));
    }
    lines.extend(stages::lines(
        snapshot,
        columns,
        detail.links,
        detail.two_lines,
        detail.stages,
    ));
    blank(&mut lines);
    match detail.memory {
        0 => {}
        1 => lines.push(footer::memory(snapshot)),
        _ => {
            lines.push(footer::buffers(snapshot, columns));
            lines.push(footer::resident(snapshot, history, columns));
        }
    }
    lines.push(footer::time(snapshot, columns));
    let sentence = footer::sentence(snapshot, columns, detail.sentence);
    if !sentence.is_empty() {
        blank(&mut lines);
        lines.extend(sentence);
    }
    lines
}
