//! A report in a real browser: headless Chromium draws the page, and its pixels are checked.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;

use crate::harness::{Folder, highwater, peer};

/// A page as the browser showed it.
struct Shown {
    /// How many pixels have each colour: red, green, blue.
    colours: HashMap<[u8; 3], usize>,
    /// What was written to the page's console.
    console: Vec<String>,
}

/// The size of the window in pixels.
const WINDOW: (u32, u32) = (1100, 1500);

/// Opens a page; `None` where there is no browser.
fn open(folder: &Folder, page: &Path, is_dark: bool) -> Option<Shown> {
    let mut browser = peer("chromium")?;
    let profile = tempfile::tempdir().expect("a folder");
    let picture = folder.join("shown.png");
    browser
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .args([
            "--hide-scrollbars",
            "--force-color-profile=srgb",
            "--enable-logging=stderr",
        ])
        .arg(format!("--blink-settings=preferredColorScheme={}", u8::from(!is_dark)))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={},{}", WINDOW.0, WINDOW.1))
        .arg(format!("--screenshot={}", picture.display()))
        .arg(format!("file://{}", page.display()));
    let output = browser.stdin(Stdio::null()).output().expect("chromium starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let console = said.lines().filter(|line| line.contains("CONSOLE"));
    Some(Shown {
        colours: colours(&picture),
        console: console.map(str::to_owned).collect(),
    })
}

fn colours(picture: &Path) -> HashMap<[u8; 3], usize> {
    let file = std::io::BufReader::new(std::fs::File::open(picture).expect("a picture"));
    let mut reader = png::Decoder::new(file).read_info().expect("a PNG");
    let mut bytes = vec![0; reader.output_buffer_size().expect("a size")];
    let frame = reader.next_frame(&mut bytes).expect("pixels");
    let mut colours = HashMap::new();
    for pixel in bytes[..frame.buffer_size()].chunks(frame.color_type.samples()) {
        *colours.entry([pixel[0], pixel[1], pixel[2]]).or_default() += 1;
    }
    colours
}

impl Shown {
    /// The colour that most of the page has, and how many pixels each of the others has.
    fn ground(&self) -> [u8; 3] {
        let most = self.colours.iter().max_by_key(|(_, count)| **count);
        *most.expect("there are pixels").0
    }

    fn count(&self, colour: [u8; 3]) -> usize {
        self.colours.get(&colour).copied().unwrap_or(0)
    }
}

fn report(folder: &Folder) -> std::path::PathBuf {
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings/stalled.jsonl");
    let recording = recording.to_str().expect("text");
    highwater(["report", recording, "-o", "report.html"])
        .within(folder)
        .run()
        .succeeds();
    folder.join("report.html")
}

#[test]
fn report_renders_on_a_light_screen() {
    let folder = Folder::new();
    let Some(shown) = open(&folder, &report(&folder), false) else {
        return;
    };
    assert_eq!(shown.console, [""; 0]);
    assert_eq!(shown.ground(), [0xff, 0xff, 0xff]);
    assert!(shown.count([0xcb, 0x3b, 0x3b]) > 5_000, "busy");
    assert!(shown.count([0xa7, 0xb0, 0xbc]) > 5_000, "backpressured");
}

#[test]
fn report_renders_on_a_dark_screen() {
    let folder = Folder::new();
    let Some(shown) = open(&folder, &report(&folder), true) else {
        return;
    };
    assert_eq!(shown.console, [""; 0]);
    assert_eq!(shown.ground(), [0x12, 0x16, 0x1d]);
    assert!(shown.count([0xef, 0x64, 0x61]) > 5_000, "busy");
    assert!(shown.count([0x7f, 0x8a, 0x9b]) > 5_000, "backpressured");
}

/// Proves that the two tests above would notice an error of the page.
#[test]
fn a_page_with_an_error_is_noticed() {
    let folder = Folder::new();
    let page = folder.write(
        "bad.html",
        "<!DOCTYPE html><script>throw new Error('on purpose')</script>",
    );
    let Some(shown) = open(&folder, &page, false) else {
        return;
    };
    assert_eq!(shown.console.len(), 1, "{:?}", shown.console);
    assert!(shown.console[0].contains("on purpose"));
    assert_eq!(shown.colours.len(), 1, "a blank page has one colour");
}
