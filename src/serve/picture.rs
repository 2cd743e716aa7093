//! A [`Sight`] as the lines of the live view, and as one sentence.

use unicode_width::UnicodeWidthStr;

use crate::engine::Share;
use crate::error::wrapping;
use crate::grammar::human_size;
use crate::view::clock::passing;
use crate::view::live::{KeyLine, Line, Page, Paint, Size, hint, left, level, right, share};
use crate::view::plain::human_rate;

use super::explain::{explanation, mostly};
use super::look::{Row, Sight};

/// From here on a run waits for its client, or for its source.
const MOST: f64 = 0.5;
/// Columns of a size and of a rate: `1023 KiB`, `1023 KiB/s`.
const SIZE: usize = 8;
const RATE: usize = 10;
/// Columns of an age: `1:02:05`.
const AGE: usize = 7;
/// Columns of a share: `100 %`.
const PERCENT: usize = 5;
/// Columns of a state's name: `backpressured`.
const WORD: usize = 13;
/// Columns of an address of IPv4 with its port.
const CLIENT: usize = 21;
/// A larger width has no use.
const WIDEST: usize = 140;
/// Lines of the sentence.
const SENTENCE: usize = 2;

/// The signs of the parts of a source's time.
pub const PARTS: [(Paint, char); 3] = [(Paint::Busy, '█'), (Paint::Idle, '·'), (Paint::Backpressured, '▒')];

/// The columns of the rows; those that are 0 are left out.
pub struct Columns {
    /// All of them.
    pub whole: usize,
    client: usize,
    route: usize,
    /// Whether it is shown how much was moved.
    pub has_size: bool,
    /// Those of the link's level.
    pub link: usize,
    bar: usize,
    has_word: bool,
    /// Whether it is shown how old a run is.
    pub has_age: bool,
}

impl Columns {
    fn new(sight: &Sight, width: usize) -> Self {
        let whole = width.saturating_sub(1).clamp(1, WIDEST);
        let longest = |of: fn(&Row) -> &String, least: usize| {
            let all = sight.rows.iter().map(|row| of(row).width());
            all.max().unwrap_or(0).max(least)
        };
        let (clients, routes) = (longest(|row| &row.client, 6), longest(|row| &row.route, 5));
        let state = 2 + PERCENT;
        let (has_size, link, has_word) = match whole {
            100.. => (true, 12, true),
            64.. => (true, 8, false),
            _ => (false, 0, false),
        };
        let has_age = whole >= 50;
        let age = if has_age { AGE + 1 } else { 0 };
        let optional = if has_size { SIZE + 1 } else { 0 } + if link > 0 { link + 1 } else { 0 };
        let word = if has_word { WORD + 1 } else { 0 };
        let room = whole.saturating_sub(RATE + 1 + state + 1 + age + optional + word);
        let client = clients.min(CLIENT).min(room.saturating_sub(room / 3));
        let route = routes.min(room.saturating_sub(client + 1));
        let bar = if has_word {
            (room - (client + 1 + route)).saturating_sub(1).min(30)
        } else {
            0
        };
        Self {
            whole,
            client,
            route,
            has_size,
            link,
            bar: if bar < 8 { 0 } else { bar },
            has_word,
            has_age,
        }
    }
}

/// The picture, no wider than the terminal and with fewer lines than it has rows: the clients that wait the most are left
/// out last. Below it is the line about keys, and before that the explanation if it is asked for, which stands alone where
/// there is no room for both.
pub fn lines(sight: &Sight, size: Size, keys: Option<&KeyLine>) -> Vec<Line> {
    let columns = Columns::new(sight, size.columns);
    let most = size.rows.saturating_sub(1).max(1);
    let mut below = footer(sight, &columns);
    if let Some(keys) = keys {
        let explained = if keys.asked > 0 {
            explanation(sight, keys, &columns)
        } else {
            Vec::new()
        };
        let has_room = below.len() + explained.len() + 2 < most;
        let room = if has_room { explained.len() } else { most - 1 };
        let page = Page::of(&explained, room, keys.asked);
        let hint = hint(keys, false, page.as_ref(), columns.whole);
        match page {
            Some(page) if has_room => {
                below.push(Line::default());
                below.extend(page.lines);
                below.push(Line::default());
            }
            Some(page) => below = page.lines,
            None if below.len() + 1 < most => below.push(Line::default()),
            None => {}
        }
        if below.len() < most {
            below.push(hint);
        }
    }
    below.truncate(most);
    let mut lines = Vec::new();
    let room = most - below.len();
    // A head, and a line that says how many more there are.
    if !sight.rows.is_empty() && room > 2 {
        let shown = if sight.rows.len() < room {
            sight.rows.len()
        } else {
            room - 2
        };
        lines.push(head(&columns));
        let mut rows: Vec<&Row> = sight.rows.iter().collect();
        if shown < rows.len() {
            rows.sort_by(|one, other| other.client_wait.total_cmp(&one.client_wait));
            rows.truncate(shown);
        }
        lines.extend(rows.into_iter().map(|row| line(row, &columns)));
        if shown < sight.rows.len() {
            let more = format!("… and {} more", sight.rows.len() - shown);
            lines.push(Line::default().with(Paint::Faint, more));
        }
    }
    lines.extend(below);
    lines.into_iter().map(|line| line.cut_to(columns.whole)).collect()
}

fn head(columns: &Columns) -> Line {
    let bar = if columns.bar > 0 { columns.bar + 1 } else { 0 };
    let state = bar + 2 + PERCENT + if columns.has_word { WORD + 1 } else { 0 };
    let mut cells = vec![left("client", columns.client), left("route", columns.route)];
    cells.extend(columns.has_size.then(|| right("moved", SIZE)));
    cells.push(right("rate", RATE));
    cells.extend((columns.link > 0).then(|| left("link", columns.link)));
    cells.push(left("source", state));
    cells.extend(columns.has_age.then(|| right("age", AGE)));
    Line::default().with(Paint::Faint, cells.join(" "))
}

fn line(row: &Row, columns: &Columns) -> Line {
    let mut line = Line::default()
        .with(Paint::Plain, left(&row.client, columns.client) + " ")
        .with(Paint::Faint, left(&row.route, columns.route));
    if columns.has_size {
        line = line.with(Paint::Plain, format!(" {}", right(&human_size(row.bytes), SIZE)));
    }
    line = line.with(
        Paint::Plain,
        format!(" {}", right(&format!("{}/s", human_rate(row.rate)), RATE)),
    );
    if columns.link > 0 {
        let (value, high) = row.level.unwrap_or((0, 0));
        line = line
            .with(Paint::Plain, " ")
            .then(level(value, high, None, columns.link));
    }
    line = line.with(Paint::Plain, " ");
    if columns.bar > 0 {
        let bar = row
            .share
            .map_or_else(|| Line::default().up_to(columns.bar), |of| share(&of, columns.bar));
        line = line.then(bar).with(Paint::Plain, " ");
    }
    let (paint, glyph, word, part) = state(row.share.as_ref());
    if columns.has_word {
        line = line.with(paint, left(word, WORD)).with(Paint::Plain, " ");
    }
    let percent = part.map_or_else(String::new, |part| format!("{:.0} %", part * 100.0));
    line = line.with(paint, format!("{glyph} {}", right(&percent, PERCENT)));
    if columns.has_age {
        line = line.with(Paint::Faint, format!(" {}", right(&passing(row.age), AGE)));
    }
    line
}

/// What the source mostly does.
fn state(of: Option<&Share>) -> (Paint, char, &'static str, Option<f64>) {
    let Some(share) = of else {
        return (Paint::Faint, ' ', "opening", None);
    };
    let words = [
        ("busy", share.busy),
        ("idle", share.idle),
        ("backpressured", share.backpressured),
    ];
    let most = mostly(share);
    let ((paint, glyph), (word, part)) = (PARTS[most], words[most]);
    (paint, glyph, word, Some(part))
}

fn footer(sight: &Sight, columns: &Columns) -> Vec<Line> {
    let name = |name: &str| Line::default().with(Paint::Faint, left(name, 8));
    let bar = columns.whole.saturating_sub(8 + 24).min(44);
    let bar = if bar < 8 { 0 } else { bar };
    let words = format!("{} of {}", human_size(sight.held), human_size(sight.memory));
    let memory = name("memory").then(level(sight.held, sight.memory, None, bar));
    let gap = if bar > 0 { " " } else { "" };
    let rate: f64 = sight.rows.iter().map(|row| row.rate).sum();
    let mut lines = vec![
        Line::default(),
        memory.with(Paint::Plain, gap.to_owned() + &words),
        name("rss").with(Paint::Plain, human_size(sight.rss)),
        name("runs").with(
            Paint::Plain,
            format!("{}; {}/s; {}", runs(sight), human_rate(rate), passing(sight.age)),
        ),
        name("so far").with(Paint::Plain, ended(sight.ended)),
    ];
    if !sight.rows.is_empty() {
        lines.push(name("source").then(legend(columns.whole.saturating_sub(8))));
    }
    lines.push(Line::default());
    let text = sentence(sight);
    let said = textwrap::wrap(&text, wrapping(columns.whole.max(1)));
    let said = said.into_iter().take(SENTENCE);
    lines.extend(said.map(|line| Line::default().with(Paint::Strong, line.into_owned())));
    lines
}

/// How many requests have ended in each way, those that are complete first: `12 complete, 1 failed`.
pub fn ended([complete, failed, cut, gone, refused]: [u64; 5]) -> String {
    let others = [(failed, "failed"), (cut, "cut"), (gone, "left"), (refused, "refused")];
    let others = others.into_iter().filter(|(count, _)| *count > 0);
    let all = std::iter::once((complete, "complete")).chain(others);
    let all: Vec<String> = all.map(|(count, word)| format!("{count} {word}")).collect();
    all.join(", ")
}

/// What the signs of a source's time mean, in so many columns.
fn legend(room: usize) -> Line {
    let words = |words: [&'static str; 3]| {
        let parts = PARTS.into_iter().zip(words).enumerate();
        parts.fold(Line::default(), |line, (place, ((paint, glyph), word))| {
            line.with(Paint::Plain, if place == 0 { "" } else { "  " })
                .with(paint, glyph.to_string())
                .with(Paint::Faint, format!(" {word}"))
        })
    };
    let long = words(["busy", "idle: no input", "backpressured: its client is slow"]);
    if long.columns() <= room {
        return long;
    }
    words(["busy", "idle", "slow client"])
}

/// `12 of 33, 3 wait in line`
fn runs(sight: &Sight) -> String {
    let line = match sight.waiting {
        0 => String::new(),
        1 => ", 1 waits in line".to_owned(),
        count => format!(", {count} wait in line"),
    };
    format!("{} of {}{line}", sight.rows.len(), sight.clients)
}

/// What holds the service up: `12 of 20 runs wait for slow clients; the slowest takes 8 kB/s`.
pub fn sentence(sight: &Sight) -> String {
    let all = sight.rows.len();
    let slow: Vec<&Row> = sight.rows.iter().filter(|row| row.client_wait > MOST).collect();
    let drains = if sight.is_draining {
        "no more requests are taken; "
    } else {
        ""
    };
    if all == 0 {
        return format!("{drains}no run");
    }
    let runs = match (slow.len(), all) {
        (0, 1) => "the run does not wait for its client".to_owned(),
        (0, all) => format!("none of {all} runs waits for its client"),
        (1, 1) => "the run waits for a slow client".to_owned(),
        (1, all) => format!("1 of {all} runs waits for a slow client"),
        (count, all) => format!("{count} of {all} runs wait for slow clients"),
    };
    let slowest = slow.iter().map(|row| row.rate).min_by(f64::total_cmp);
    let slowest = match slowest {
        Some(rate) if slow.len() == 1 => format!("; it takes {}/s", human_rate(rate)),
        Some(rate) => format!("; the slowest takes {}/s", human_rate(rate)),
        None => {
            let busy = |row: &&Row| row.share.is_some_and(|share| share.busy > MOST);
            let busy = sight.rows.iter().filter(busy).count();
            if busy > 0 {
                format!("; {busy} of the sources {} busy", if busy == 1 { "is" } else { "are" })
            } else {
                String::new()
            }
        }
    };
    let line = match sight.waiting {
        0 => String::new(),
        1 => "; 1 request waits for a place".to_owned(),
        count => format!("; {count} requests wait for a place"),
    };
    format!("{drains}{runs}{slowest}{line}")
}

/// One line for `--progress plain`.
pub fn plain(sight: &Sight) -> String {
    let rate: f64 = sight.rows.iter().map(|row| row.rate).sum();
    format!(
        "{}  {}  {}/s  {} of {}  {}\n",
        passing(sight.age),
        runs(sight),
        human_rate(rate),
        human_size(sight.held),
        human_size(sight.memory),
        sentence(sight)
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn row(number: u32, client_wait: f64, rate: f64) -> Row {
        let share = Share {
            busy: 1.0 - client_wait,
            backpressured: client_wait,
            ..Share::default()
        };
        Row {
            client: format!("192.168.100.{number}:50{number:03}"),
            route: "/exports/customers.csv.gz".to_owned(),
            bytes: 12 << 20,
            rate,
            level: Some((200 << 10, 256 << 10)),
            share: Some(share),
            client_wait,
            age: Duration::from_secs(61) * number,
        }
    }

    fn sight(rows: Vec<Row>, waiting: usize) -> Sight {
        Sight {
            rows,
            waiting,
            clients: 20,
            held: 20 << 20,
            memory: 64 << 20,
            rss: 30 << 20,
            ended: [1234, 1, 2, 3, 0],
            age: Duration::from_secs(3661),
            is_draining: false,
        }
    }

    #[test]
    fn sentence_counts_slow_clients() {
        let slow = |count: u32| (0..count).map(|at| row(at, 0.97, 8192.0 * f64::from(1 + at)));
        let fast = |count: u32| (0..count).map(|at| row(at, 0.0, 1e6));
        for (rows, waiting, said) in [
            (vec![], 0, "no run"),
            (
                slow(12).chain(fast(8)).collect(),
                3,
                "12 of 20 runs wait for slow clients; the slowest takes 8.00 KiB/s; 3 requests wait for a place",
            ),
            (
                slow(1).collect(),
                0,
                "the run waits for a slow client; it takes 8.00 KiB/s",
            ),
            (
                slow(1).chain(fast(1)).collect(),
                1,
                "1 of 2 runs waits for a slow client; it takes 8.00 KiB/s; 1 request waits for a place",
            ),
            (
                fast(2).collect(),
                0,
                "none of 2 runs waits for its client; 2 of the sources are busy",
            ),
        ] {
            assert_eq!(sentence(&sight(rows, waiting)), said);
        }
    }

    #[test]
    fn picture_fits_every_terminal() {
        for count in [0, 1, 3, 50] {
            let sight = sight((0..count).map(|at| row(at, 0.9, 1e6)).collect(), 3);
            let explaining = KeyLine {
                asked: 1,
                ..KeyLine::default()
            };
            for (columns, keys) in [1, 20, 40, 80, 120, 200].into_iter().flat_map(|columns| {
                let all = [None, Some(KeyLine::default()), Some(explaining.clone())];
                all.map(|keys| (columns, keys))
            }) {
                for rows in [1, 5, 10, 24, 100] {
                    let picture = lines(&sight, Size { columns, rows }, keys.as_ref());
                    assert!(picture.len() < rows.max(2), "{count} {columns} {rows}");
                    let widest = picture.iter().map(Line::columns).max().unwrap_or(0);
                    assert!(widest < columns.max(2), "{count} {columns} {rows}: {widest}");
                }
            }
        }
    }

    #[test]
    fn legend_is_as_long_as_it_fits() {
        for (columns, said) in [
            (40, "source  █ busy  · idle  ▒ slow client"),
            (
                80,
                "source  █ busy  · idle: no input  ▒ backpressured: its client is slow",
            ),
        ] {
            let picture = lines(&sight(vec![row(1, 0.9, 1e6)], 0), Size { columns, rows: 24 }, None);
            let text = picture
                .iter()
                .map(|line| line.pieces.iter().map(|(_, text)| text.as_str()).collect());
            assert!(text.collect::<Vec<String>>().contains(&said.to_owned()), "{columns}");
        }
    }

    #[test]
    fn hidden_clients_are_counted() {
        let sight = sight((0..50).map(|at| row(at, f64::from(at) / 50.0, 1e6)).collect(), 0);
        let picture = lines(&sight, Size { columns: 80, rows: 24 }, None);
        let text: Vec<String> = picture
            .iter()
            .map(|line| line.pieces.iter().map(|(_, text)| text.as_str()).collect())
            .collect();
        let rows = text.iter().filter(|line| line.starts_with("192")).count();
        assert!(text.contains(&format!("… and {} more", 50 - rows)), "{text:#?}");
        assert!(text[1].contains("192.168"), "{text:#?}");
    }
}
