//! Every colour of a report, for light and dark, as rules for the classes that the pictures use.
//!
//! Runs have the colours of Okabe and Ito (Color Universal Design, 2008), which are distinguishable with any colour
//! vision; every run has a letter as well. The parts of a stage's time are those of the live view and differ in
//! lightness, so that they can be told apart on grey paper.

use std::fmt::Write;

/// A rule: its selector, and its properties in light and in dark.
type Rule = (&'static str, &'static str, &'static str);

const RULES: &[Rule] = &[
    ("text", "font-size:12px", ""),
    (".bg", "fill:#ffffff", "fill:#12161d"),
    (".t", "fill:#1d2430", "fill:#e6eaf1"),
    (".s", "fill:#1d2430;font-weight:bold", "fill:#f4f6fa"),
    (".f", "fill:#5c6675;font-size:11px", "fill:#9aa5b5"),
    (".k", "fill:#5c6675;font-size:11px", "fill:#9aa5b5"),
    (".title", "fill:#10151d;font-size:22px;font-weight:bold", "fill:#f4f6fa"),
    (".head", "fill:#10151d;font-size:15px;font-weight:bold", "fill:#f4f6fa"),
    (".say", "fill:#1d2430;font-size:14px", "fill:#e6eaf1"),
    (".lead", "fill:#10151d;font-size:15px;font-weight:bold", "fill:#f4f6fa"),
    (".grid", "stroke:#e3e7ed;stroke-width:1", "stroke:#262d38"),
    (".axis", "stroke:#9aa5b5;stroke-width:1", "stroke:#566173"),
    (".plot", "fill:#f7f9fb", "fill:#171c25"),
    (
        ".ceiling",
        "stroke:#b3261e;stroke-width:2;stroke-dasharray:7 4",
        "stroke:#ff8a80",
    ),
    (".ct", "fill:#b3261e;font-weight:bold", "fill:#ff8a80"),
    (".busy", "fill:#cb3b3b", "fill:#ef6461"),
    (".held", "fill:#a7b0bc", "fill:#7f8a9b"),
    (".idle", "fill:#dcebfa", "fill:#1d3a5c"),
    (".bt", "fill:#b3261e;font-weight:bold", "fill:#ff8a80"),
    (".ht", "fill:#4b5563", "fill:#b4bdca"),
    (".it", "fill:#1b66b0", "fill:#7db8f2"),
    (".none", "fill:#eef1f5", "fill:#1c222c"),
    (
        ".level",
        "fill:#0f8f8f;fill-opacity:0.30",
        "fill:#3ecfcf;fill-opacity:0.28",
    ),
    (
        ".edge",
        "fill:none;stroke:#0b7a7a;stroke-width:1.5;stroke-linejoin:round",
        "stroke:#3ecfcf",
    ),
    (".lt", "fill:#0b6e6e;font-weight:bold", "fill:#5fdada"),
    (
        ".pause",
        "fill:#e8a317;fill-opacity:0.38",
        "fill:#f5c451;fill-opacity:0.34",
    ),
    (".pt", "fill:#3d2a00;font-size:11px;font-weight:bold", "fill:#ffe6ad"),
    (".high", "stroke:#0b6e6e;stroke-width:1", "stroke:#5fdada"),
    (
        ".low",
        "stroke:#0b6e6e;stroke-width:1;stroke-dasharray:2 3",
        "stroke:#5fdada",
    ),
    (".rail", "stroke:#c3cad4;stroke-width:2", "stroke:#3a4453"),
    (".stop", "fill:#7c8796", "fill:#8d98a8"),
    (
        ".mark",
        "stroke:#4b5563;stroke-width:1;stroke-dasharray:1 3",
        "stroke:#9aa5b5",
    ),
    (".knob", "fill:#3b4554", "fill:#c9d1de"),
    (".good", "fill:#1f7a4d", "fill:#5fd39b"),
    (".bad", "fill:#b3261e", "fill:#ff8a80"),
    (".kt", "fill:#ffffff;font-size:10px;font-weight:bold", "fill:#12161d"),
];

/// Each run's colour in light and in dark.
const RUNS: [(&str, &str); 6] = [
    ("#0072b2", "#4fb3f0"),
    ("#d55e00", "#ff9650"),
    ("#009e73", "#35d3a6"),
    ("#b0558c", "#e59cc8"),
    ("#8a6d00", "#e6c22e"),
    ("#5a5f66", "#c4c9d1"),
];

/// The index of a run's colour: colours repeat, letters do not.
pub fn colour(run: usize) -> usize {
    run % RUNS.len()
}

/// The letter of a run, and its number behind Z.
pub fn letter(run: usize) -> String {
    let letter = u8::try_from(run)
        .ok()
        .filter(|run| *run < 26)
        .map(|run| char::from(b'A' + run));
    letter.map_or_else(|| (run + 1).to_string(), |letter| letter.to_string())
}

/// The rules in light, and if wanted those that make a screen dark. Paper is always light.
pub fn style(with_dark: bool) -> String {
    let mut light = String::new();
    let mut dark = String::new();
    for (selector, in_light, in_dark) in RULES {
        let _ = writeln!(light, "{selector}{{{in_light}}}");
        if !in_dark.is_empty() {
            let _ = writeln!(dark, "{selector}{{{in_dark}}}");
        }
    }
    for (run, (in_light, in_dark)) in RUNS.iter().enumerate() {
        for (rules, colour) in [(&mut light, in_light), (&mut dark, in_dark)] {
            let _ = writeln!(
                rules,
                ".r{run}{{fill:none;stroke:{colour};stroke-width:2;stroke-linejoin:round}}\n\
                 .d{run}{{fill:none;stroke:{colour};stroke-width:1.5;stroke-dasharray:4 3;stroke-linejoin:round}}\n\
                 .c{run}{{fill:{colour}}}\n.l{run}{{fill:{colour};font-weight:bold}}"
            );
        }
    }
    if with_dark {
        let _ = writeln!(light, "@media screen and (prefers-color-scheme:dark){{\n{dark}}}");
    }
    light
}
