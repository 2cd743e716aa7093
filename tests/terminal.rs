//! What appears on a real terminal: one that `script` provides.

use std::fs::File;
use std::process::{Command, Stdio};

/// All that highwater writes to a terminal with these arguments; `None` where there is no `script` and need not be.
fn on_a_terminal(arguments: &str, folder: &std::path::Path) -> Option<String> {
    let command = format!("{} {arguments}", env!("CARGO_BIN_EXE_highwater"));
    let output = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .current_dir(folder)
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(error) => {
            let required = std::env::var_os("HIGHWATER_REQUIRE_PEERS").is_some_and(|value| value == "1");
            assert!(!required, "script: {error}");
            println!("skipped: script is missing");
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
fn what_is_done_at_once_shows_only_its_bill() {
    let folder = folder_with_a_mebibyte();
    let Some(seen) = on_a_terminal("'read in | write out'", folder.path()) else {
        return;
    };
    assert!(!seen.contains("stage ") && seen.contains("peak rss"), "{seen}");
    let quiet = on_a_terminal("-q 'read in | write out'", folder.path());
    assert_eq!(quiet.as_deref(), Some(""));
}

#[test]
fn a_terminal_that_gets_the_bytes_gets_no_picture() {
    let folder = folder_with_a_mebibyte();
    let Some(seen) = on_a_terminal("'read in | throttle 2MiB/s | take 700K'", folder.path()) else {
        return;
    };
    assert!(!seen.contains('▶'), "{} bytes", seen.len());
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
