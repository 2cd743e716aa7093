//! Every row of the contract's tables, and the test that shows it. A test that is named here must exist somewhere in
//! `tests/` or beside the code; one that is renamed is missed at once.

#[path = "tables/test_names.rs"]
mod test_names;

use std::collections::BTreeSet;

use highwater::catalog::all_params;
use highwater::error::Kind;
use highwater::plan::catalog;

/// Where a row is shown.
enum Shown {
    /// By the test of that name: the modules that it stands in, below its file, and its function.
    By(&'static str),
    /// Not yet in this tree: what is awaited.
    Pending(&'static str),
}

use Shown::{By, Pending};

/// The command line's options.
const OPTIONS: &[(&str, Shown)] = &[
    ("--memory", By("no_sample_is_above_the_ceiling")),
    (
        "--max-rss, --ignore-backpressure",
        By("without_backpressure_memory_climbs_until_the_guard_stops_it"),
    ),
    ("--max-rss alone", By("a_bounded_run_is_guarded_as_well")),
    ("demo", By("the_demo_tells_its_story_without_a_terminal")),
    ("--chunk", By("options::chunk_is_the_largest_chunk")),
    ("--progress auto,live", By("the_live_view_is_drawn_and_cleared")),
    ("--progress plain,json,none", By("options::interval_says_how_often")),
    ("-q", By("options::quiet_shows_nothing_and_goes_with_no_progress")),
    ("--interval", By("options::interval_says_how_often")),
    ("--stats", By("options::stats_come_on_every_ending")),
    ("--record", By("a_run_is_recorded_from_its_header_to_its_end_and_drawn")),
    (
        "--record, refusals",
        By("what_cannot_be_a_recording_is_refused_before_anything_is_touched"),
    ),
    (
        "--record, a full disk",
        By("a_full_disk_ends_the_recording_and_not_the_run"),
    ),
    (
        "--record, kill -9",
        By("a_killed_run_leaves_a_recording_that_can_be_drawn"),
    ),
    ("report RUN… -o FILE", By("a_report_is_the_same_every_time")),
    (
        "report, a bad recording",
        By("troubles_name_the_line_and_what_would_be_right"),
    ),
    ("report, in a browser", By("a_report_is_shown_on_a_dark_screen")),
    ("--timeout", By("timeouts::end_a_run_that_takes_too_long")),
    ("--stall-timeout", By("options::a_stall_timeout_ends_a_wait_for_a_peer")),
    (
        "--min-rate",
        By("peers::that_take_too_little_end_a_run_with_a_min_rate"),
    ),
    ("--min-rate-grace", By("a_run_has_the_grace_time_to_begin")),
    ("--color", By("options::colour_comes_where_it_is_wanted")),
    (
        "--metrics",
        By("the_page_has_the_exact_numbers_of_a_run_that_stands_still"),
    ),
    ("--log", By("options::log_says_more_or_less")),
    ("check -- COMMAND", By("cat_honours")),
    (
        "check URL --pid --clients",
        By("an_export_that_is_made_at_once_buffers"),
    ),
    (
        "check --rate, --seconds",
        By("wrong_command_lines_say_what_would_be_right"),
    ),
    ("check --max-rss", By("node_that_ignores_write_buffers")),
    ("check --record", By("a_recording_has_its_three_kinds_of_line")),
    ("check --json", By("sort_must_read_all_of_its_input")),
    ("ctl PID set", By("a_rate::is_changed_while_the_run_goes_on")),
    (
        "ctl PID pause, resume",
        By("a_pause::fills_the_link_to_its_mark_and_leaves_the_sink_where_it_was"),
    ),
    ("ctl PID stats", By("stats_are_one_sample")),
    (
        "keys + - q",
        By("plus_and_minus_turn_the_throttle_and_q_quits_as_ctrl_c_does"),
    ),
    (
        "keys space ?",
        By("space_pauses_and_resumes_and_without_a_throttle_plus_says_so"),
    ),
    ("SIGUSR1", By("options::a_signal_asks_for_one_plain_line")),
];

/// Each parameter of each stage, as `STAGE PARAMETER`; a stage without any stands alone.
const PARAMETERS: &[(&str, Shown)] = &[
    ("read path", By("are_read_one_after_the_other")),
    ("read size", By("options::size_is_what_a_stream_is_expected_to_give")),
    ("read zero-copy", By("pages_go_into_a_pipe")),
    ("read connect-timeout", By("options::connect_timeout_is_read")),
    ("read retry", By("retries::reach_a_tcp_peer_that_comes_later")),
    (
        "read user-timeout",
        By("retries::are_refused_where_nothing_is_connected_to"),
    ),
    ("write path", By("are_replaced_by_a_new_file")),
    ("write append", By("are_appended_to")),
    ("write clobber", By("that_exist_can_be_spared")),
    ("write sync", By("without_sync_are_whole_all_the_same")),
    ("write sparse", By("always_finds_zeros_and_never_leaves_holes")),
    ("write in-place", By("every_name_of_the_file_has_the_new_contents")),
    ("write mode", By("keep_their_mode_or_get_the_one_that_is_given")),
    ("write verify", By("what_the_disk_has_otherwise_does_not")),
    (
        "write resume",
        By("what_an_interrupted_run_has_written_is_not_written_again"),
    ),
    (
        "write checkpoint",
        By("whichever_step_it_is_killed_at_a_write_can_be_gone_on_with"),
    ),
    ("write connect-timeout", By("options::connect_timeout_is_read")),
    ("write retry", By("retries::that_all_fail_are_counted")),
    (
        "write user-timeout",
        By("peers::that_stop_reading_are_given_up_where_a_user_timeout_says_so"),
    ),
    (
        "write linger",
        By("drains::end_when_linger_runs_out_and_say_what_is_missing"),
    ),
    ("gzip level", By("every_level_and_compressible_bytes")),
    ("gzip threads", By("members_come_in_their_size_whatever_the_threads")),
    ("gzip member", By("members_come_in_their_size_whatever_the_threads")),
    ("gzip single", By("a_single_member_has_no_extra_field")),
    ("* flush", By("a_trickle_comes_out_while_the_source_is_open")),
    ("gunzip", By("what_the_real_gzip_compressed_we_decompress")),
    ("zstd level", By("every_level")),
    ("zstd threads", By("several_threads")),
    ("zstd window", By("a_large_window_of_zstd_finds_what_repeats_far_apart")),
    ("unzstd", By("zstd_and_the_real_one_understand_each_other")),
    ("xz level", By("every_level")),
    ("xz threads", By("several_threads")),
    ("unxz", By("xz_and_the_real_one_understand_each_other")),
    ("bzip2 level", By("every_level")),
    ("bunzip2", By("bzip2_and_the_real_one_understand_each_other")),
    ("lz4 level", By("every_level")),
    ("unlz4", By("lz4_and_the_real_one_understand_each_other")),
    ("brotli level", By("every_level")),
    ("unbrotli", By("brotli_and_the_real_one_understand_each_other")),
    ("decompress", By("odd_files_of_the_real_tools")),
    ("throttle rate", By("while_asleep_in_a_throttle")),
    (
        "throttle burst",
        By("a_neighbours_pause_earns_nothing_unless_a_burst_is_allowed"),
    ),
    ("take size", By("take_ends_an_endless_source")),
    ("skip size", By("skip_seeks_where_it_can")),
    ("limit size", By("limit::passes_exactly_its_size_and_not_a_byte_more")),
    ("buffer size", By("buffer::is_a_link_with_its_own_marks")),
    ("hash algo", By("hash::agrees_with_the_tools_that_people_check_with")),
    ("hash expect", By("hash::that_differs_leaves_the_target_untouched")),
    ("hash label", By("hash::is_found_by_its_label_in_either_form")),
    (
        "hash to",
        By("hash::goes_to_a_file_that_the_real_tool_checks_and_comes_back"),
    ),
    ("* high", By("small_chunks::arrive_in_order_and_are_counted_exactly")),
    ("* low", By("buffer::is_a_link_with_its_own_marks")),
];

/// The kinds of place.
const ENDPOINTS: &[(&str, Shown)] = &[
    ("file:PATH", By("are_replaced_by_a_new_file")),
    ("-", By("keep_their_flags")),
    (
        "tcp://HOST:PORT",
        By("peers_that_are_connected_to_get_everything_and_then_the_end"),
    ),
    ("tcp-listen://HOST:PORT", By("peers_that_connect_are_written_to")),
    (
        "unix:PATH",
        By("unix_sockets::carry_exact_bytes_both_ways_and_leave_no_name"),
    ),
    (
        "unix-listen:PATH",
        By("unix_sockets::that_are_stale_are_replaced_and_live_ones_are_not_disturbed"),
    ),
];

/// The exit codes.
const EXITS: &[(u8, Shown)] = &[
    (0, By("limit::passes_exactly_its_size_and_not_a_byte_more")),
    (1, By("node_that_ignores_write_buffers")),
    (2, By("unix_sockets::with_too_long_a_path_are_refused_at_once")),
    (3, By("unix_sockets::leave_no_name_when_the_source_is_missing")),
    (
        4,
        By("unix_sockets::whose_peer_leaves_before_it_has_read_everything_are_an_error"),
    ),
    (5, By("full_device")),
    (6, By("a_stream_that_is_cut_at_any_byte")),
    (7, By("limit::passes_exactly_its_size_and_not_a_byte_more")),
    (8, By("options::a_stall_timeout_ends_a_wait_for_a_peer")),
    (9, By("unix_sockets::without_a_peer_are_no_connection")),
    (10, By("hash::that_differs_leaves_the_target_untouched")),
    (11, Pending("there are no child processes yet")),
    (12, By("without_descriptors_the_run_says_so_and_leaves_nothing")),
    (13, By("true_and_sleep_say_what_to_change")),
    (70, By("a_transform")),
    (141, By("end_the_run_quietly")),
    (130, By("while_blocked_in_reading_a_fifo")),
    (143, By("unix_sockets::are_ours_alone_whatever_the_umask")),
    (129, By("while_blocked_in_reading_a_fifo")),
];

#[test]
fn every_named_test_exists() {
    let names = test_names::all();
    let tables = [OPTIONS, PARAMETERS, ENDPOINTS];
    let texts = tables
        .into_iter()
        .flatten()
        .map(|(row, shown)| ((*row).to_owned(), shown));
    let exits = EXITS.iter().map(|(code, shown)| (format!("exit {code}"), shown));
    let mut missing = Vec::new();
    for (row, shown) in texts.chain(exits) {
        match shown {
            By(name) if !names.contains(*name) => missing.push(format!("{row}: no test {name}")),
            By(_) => {}
            Pending(what) => eprintln!("pending: {row}: {what}"),
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_parameter_has_its_row() {
    let rows: BTreeSet<&str> = PARAMETERS.iter().map(|(row, _)| *row).collect();
    for definition in catalog() {
        let alone = definition.params.is_empty();
        assert!(
            !alone || rows.contains(definition.name),
            "{} has no row",
            definition.name
        );
        for param in all_params(definition) {
            let own = format!("{} {}", definition.name, param.name);
            let common = format!("* {}", param.name);
            let has_row = rows.contains(own.as_str()) || rows.contains(common.as_str());
            assert!(has_row, "`{own}` has no row");
        }
    }
}

#[test]
fn every_endpoint_has_its_row() {
    let forms: Vec<&str> = highwater::endpoints::SCHEMES.iter().map(|scheme| scheme.form).collect();
    let rows: Vec<&str> = ENDPOINTS.iter().map(|(row, _)| *row).collect();
    assert_eq!(rows, forms);
}

#[test]
fn every_exit_code_has_its_row() {
    let rows: BTreeSet<u8> = EXITS.iter().map(|(code, _)| *code).collect();
    for kind in [
        Kind::Other,
        Kind::Usage,
        Kind::Source,
        Kind::Sink,
        Kind::NoSpace,
        Kind::Corrupt,
        Kind::Limit,
        Kind::Timeout,
        Kind::Connect,
        Kind::Integrity,
        Kind::Child,
        Kind::Resources,
        Kind::Unclear,
        Kind::Bug,
        Kind::ReaderLeft,
    ] {
        assert!(rows.contains(&kind.exit_code()), "{kind:?} has no row");
    }
}
