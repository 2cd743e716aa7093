//! The output on a real terminal, which `script` provides.

use std::fs::File;
use std::process::{Command, Stdio};

use crate::support::skip;

/// Everything that highwater writes to a terminal with these arguments; `None` if there is no `script` and it is
/// optional.
fn on_a_terminal(arguments: &str, folder: &std::path::Path) -> Option<String> {
    in_locale("C.UTF-8", arguments, folder)
}

fn in_locale(locale: &str, arguments: &str, folder: &std::path::Path) -> Option<String> {
    let command = format!("{} {arguments}", env!("CARGO_BIN_EXE_highwater"));
    let output = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .current_dir(folder)
        .env("TERM", "xterm")
        .env("LC_ALL", locale)
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(error) => {
            skip::skip(format_args!("script: {error}"));
            None
        }
    }
}

fn folder_with_a_mebibyte() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let file = File::create(folder.path().join("in")).expect("a file");
    file.set_len(1 << 20).expect("a mebibyte");
    folder
}

#[test]
fn the_live_view_is_drawn_and_cleared() {
    let folder = folder_with_a_mebibyte();
    let Some(seen) = on_a_terminal("'read in | throttle 1MiB/s | write out'", folder.path()) else {
        return;
    };
    let picture = seen.find('▶').expect("the bottleneck is marked");
    let cleared = seen.rfind("\x1b[J").expect("the screen is cleared");
    let bill = seen.find("longest pause").expect("there is a bill");
    assert!(picture < cleared && cleared < bill, "{seen}");
    assert!(seen.contains("\x1b[31m"), "busy is red");
    let plain = on_a_terminal("--color never 'read in | throttle 1MiB/s | write out'", folder.path());
    assert!(plain.is_some_and(|plain| plain.contains('▶') && !plain.contains("\x1b[3")));
}

#[test]
fn locale_c_draws_ascii() {
    let folder = folder_with_a_mebibyte();
    let arguments = "--color never 'read in high=64KiB | throttle 1MiB/s | write out'";
    let Some(seen) = in_locale("C", arguments, folder.path()) else {
        return;
    };
    assert!(seen.contains("> throttle") && seen.contains("longest pause"), "{seen}");
    assert!(seen.is_ascii(), "{seen}");
}

#[test]
fn short_run_shows_only_its_summary() {
    let folder = folder_with_a_mebibyte();
    let Some(seen) = on_a_terminal("'read in | write out sync=false'", folder.path()) else {
        return;
    };
    assert!(!seen.contains("stage ") && seen.contains("peak rss"), "{seen}");
    let quiet = on_a_terminal("-q 'read in | write out'", folder.path());
    assert_eq!(quiet.as_deref(), Some(""));
}

#[test]
fn data_on_terminal_prevents_the_picture() {
    let folder = folder_with_a_mebibyte();
    let Some(seen) = on_a_terminal("'read in | throttle 2MiB/s | take 700K'", folder.path()) else {
        return;
    };
    assert!(!seen.contains('▶'), "{} bytes", seen.len());
}

#[test]
fn lines_of_programs_stay_above_the_view() {
    let folder = folder_with_a_mebibyte();
    let pipeline = "'read in | throttle 1MiB/s | sh \"seq -f line%g 50 >&2; cat; echo over >&2\" | write out'";
    let Some(seen) = on_a_terminal(&format!("--color never {pipeline}"), folder.path()) else {
        return;
    };
    for line in (1..=50)
        .map(|number| format!("line{number}"))
        .chain(["over".to_owned()])
    {
        let whole = format!("highwater: sh: {line}");
        let mut ends = seen.split(&whole).skip(1).map(|rest| rest.starts_with(['\r', '\x1b']));
        assert!(ends.any(|is_whole| is_whole), "{line}: {seen}");
    }
    assert!(seen.contains('▶') && seen.contains("longest pause"), "{seen}");
}

#[test]
fn a_program_that_wants_the_terminal_is_told() {
    let folder = folder_with_a_mebibyte();
    let Some(seen) = on_a_terminal("-q 'sh \"read line < /dev/tty\"'", folder.path()) else {
        return;
    };
    let said = "was stopped: it wants the terminal; with tty=true before the program it may use it";
    assert!(seen.contains(said), "{seen}");
    let asked = on_a_terminal(
        "-q 'sh tty=true \"stty -a < /dev/tty > /dev/null && stty sane < /dev/tty && echo allowed\"'",
        folder.path(),
    );
    assert!(asked.is_some_and(|seen| seen.contains("allowed")));
}

#[test]
#[cfg(not(feature = "portable-platform"))]
fn a_check_is_drawn_cleared_and_judged() {
    let folder = folder_with_a_mebibyte();
    let Some(seen) = on_a_terminal("check --seconds 2s -- cat", folder.path()) else {
        return;
    };
    let picture = seen.find("feeding it").expect("it says what is being done");
    let cleared = seen.rfind("\x1b[J").expect("the screen is cleared");
    let verdict = seen.find("✓ honours backpressure").expect("there is a verdict");
    assert!(picture < cleared && cleared < verdict, "{seen}");
    assert!(seen.contains("\x1b[36m"), "curves have a colour");
    let json = on_a_terminal("check --seconds 2s --json -- cat", folder.path());
    assert!(json.is_some_and(|json| json.contains("check-end") && !json.contains("feeding it")));
}

/// The contents of a terminal of `columns` by `rows` after the demo, with rows counted from above; `None` if there is
/// no `tmux` and it is optional.
fn demo_in_tmux(columns: u16, rows: u16) -> Option<String> {
    let socket = format!("highwater-{}-{columns}", std::process::id());
    let tmux = |arguments: &[&str]| {
        Command::new("tmux")
            .args(["-f", "/dev/null", "-L", &socket])
            .args(arguments)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("TMUX")
            .env_remove("NO_COLOR")
            .stdin(Stdio::null())
            .output()
    };
    let program = env!("CARGO_BIN_EXE_highwater");
    // The last command keeps the picture until it has been captured.
    let command = format!("{program} demo --seconds 1; tmux -L {socket} wait-for -S over; cat");
    let size = [columns.to_string(), rows.to_string()];
    let session = ["new-session", "-d", "-x", &size[0], "-y", &size[1], &command];
    match tmux(&session) {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            skip::skip(format_args!("tmux: {error}"));
            return None;
        }
    }
    tmux(&["wait-for", "over"]).expect("tmux waits");
    let seen = tmux(&["capture-pane", "-p", "-e"]).expect("tmux looks");
    let _ = tmux(&["kill-server"]);
    Some(String::from_utf8_lossy(&seen.stdout).into_owned())
}

#[test]
fn the_demo_draws_one_picture_in_place() {
    for (columns, beside) in [(80, true), (40, false)] {
        let Some(seen) = demo_in_tmux(columns, 70) else { return };
        // Redrawn many times, each appears once.
        for once in [
            "1  Backpressure ignored",
            "2  Backpressure honoured",
            "To see it as it runs",
        ] {
            assert_eq!(seen.matches(once).count(), 1, "{once}: {seen}");
        }
        let title = seen.lines().find(|line| line.contains("1  Backpressure ignored"));
        let title = title.expect("a title");
        assert_eq!(title.contains("2  Backpressure honoured"), beside, "{title}");
        assert!(seen.contains("\x1b[31m"), "above the ceiling it is red: {seen}");
        assert!(
            !seen.contains("The links never say no"),
            "what is over is not told: {seen}"
        );
    }
}
