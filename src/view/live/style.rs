//! How the view looks on this terminal.

use super::line::{Line, Paint};

/// The background of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Background {
    /// Black or nearly so.
    Dark,
    /// White or nearly so.
    Light,
    /// Not known: colours that can be read on both.
    Unknown,
}

/// How the view looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether there are colours.
    pub colour: bool,
    /// What is behind the text.
    pub background: Background,
}

impl Background {
    /// Reads COLORFGBG: `15;0` is white on black. The terminal itself is not queried, because it may not reply.
    #[must_use]
    pub fn of(colorfgbg: Option<&str>) -> Self {
        let behind = colorfgbg.and_then(|text| text.rsplit(';').next()?.parse::<u8>().ok());
        match behind {
            Some(7 | 9..=15) => Self::Light,
            Some(0..=6 | 8) => Self::Dark,
            Some(_) | None => Self::Unknown,
        }
    }
}

impl Style {
    /// A line with the escape sequences of its paints.
    #[must_use]
    pub fn text(self, line: &Line) -> String {
        let mut text = String::new();
        for (paint, piece) in &line.pieces {
            match self.code(*paint).filter(|_| !piece.trim().is_empty()) {
                Some(code) => text.extend(["\x1b[", code, "m", piece, "\x1b[0m"]),
                None => text += piece,
            }
        }
        text.truncate(text.trim_end().len());
        text
    }

    /// The colours are those of Flink's web page: busy is red, idle is blue, backpressured is dark.
    fn code(self, paint: Paint) -> Option<&'static str> {
        if !self.colour {
            return None;
        }
        let on_dark = self.background == Background::Dark;
        let on_light = self.background == Background::Light;
        match paint {
            Paint::Plain => None,
            Paint::Strong => Some("1"),
            Paint::Faint => Some("2"),
            Paint::Busy if on_dark => Some("91"),
            Paint::Busy => Some("31"),
            Paint::Idle if on_light => Some("34"),
            Paint::Idle => Some("94"),
            Paint::Backpressured if on_dark => Some("97"),
            Paint::Backpressured => Some("90"),
            Paint::Level if on_dark => Some("96"),
            Paint::Level => Some("36"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_background_is_what_the_terminal_says() {
        for (text, background) in [
            (Some("15;0"), Background::Dark),
            (Some("0;15"), Background::Light),
            (Some("0;default;7"), Background::Light),
            (Some("default"), Background::Unknown),
            (None, Background::Unknown),
        ] {
            assert_eq!(Background::of(text), background, "{text:?}");
        }
    }
}
