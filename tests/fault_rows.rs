//! What must happen when something fails, row by row, and the tests that show it. A test that is named here must exist
//! somewhere in `tests/` or beside the code; one that is renamed is missed at once.

#[path = "tables/test_names.rs"]
mod test_names;

/// A fault, what must come of it, and the tests that show it.
type Row = (&'static str, &'static str, &'static [&'static str]);

/// Files, disks and limits.
const DISKS: &[Row] = &[
    (
        "no space: /dev/full, a small disk, any write",
        "5 with what was written; target untouched",
        &[
            "full_device",
            "a_full_disk_leaves_the_old_file_and_no_other",
            "statistics_on_a_full_disk_are_a_failure_of_their_own",
            "a_file_through_gzip_to_a_file",
        ],
    ),
    (
        "the file-size limit, its signal ignored or not",
        "5; target untouched",
        &["a_file_may_be_no_larger_than_the_limit_whether_its_signal_is_ignored_or_not"],
    ),
    (
        "an error only at close, fsync or rename",
        "4, never 0; target untouched",
        &[
            "a_sink_that_closes_with_an_error_is_no_success",
            "several_files_to_one_that_is_not_synced",
            "a_file_to_a_file",
            "a_file_to_one_that_another_run_can_go_on_with",
            "faults_that_strace_injects_end_as_they_should",
        ],
    ),
    (
        "the directory cannot be synced",
        "4, durability unknown",
        &["a_folder_that_cannot_be_synced_is_said_to_be_so"],
    ),
    (
        "transfers of one byte; interruptions; an inherited O_NONBLOCK",
        "0, exact bytes, flags as found",
        &[
            "transfers_of_one_byte_deliver_all_of_them",
            "a_storm_of_interruptions_changes_nothing",
            "a_storm_of_interruptions_and_short_reads_hide_nothing_of_what_is_gone_on_with",
            "standard_output_that_does_not_block_gets_everything_and_keeps_its_flags",
            "standard_streams::that_do_not_block_are_left_so",
        ],
    ),
    (
        "standard input or output closed at the start",
        "3 or 4 where it is needed",
        &["a_closed_standard_descriptor_is_an_error_where_it_is_needed"],
    ),
    (
        "the reader of standard output leaves",
        "141 without a word, upstream closed",
        &[
            "readers_that_leave::end_the_run_quietly",
            "that_left_before_the_start_are_noticed",
        ],
    ),
    (
        "a source that is missing, a directory, or not to be read",
        "3, no sink",
        &["missing_source", "directory_as_source", "a_file_to_a_file"],
    ),
    (
        "a folder that cannot be written to",
        "4 before a byte is read",
        &[
            "target_where_nothing_can_be_written",
            "target_in_no_folder",
            "a_disk_that_cannot_be_written_to_is_left_as_it_is",
        ],
    ),
    (
        "source and sink are one file",
        "2 before anything is cut",
        &[
            "target_that_is_the_source",
            "target_that_is_a_hard_link_of_the_source",
            "target_that_is_redirected_to_standard_input",
            "standard_output_that_is_the_source",
            "whose_file_is_a_file_of_the_chain_is_refused_before_anything_is_opened",
            "stats_and_record_never_write_to_a_file_of_the_chain",
        ],
    ),
    (
        "the sink is a FIFO or a device",
        "written in place",
        &["fifos::are_written_in_place", "that_are_devices_may_be_both_ends"],
    ),
    (
        "the source shrinks, grows or vanishes while it is read",
        "10; to its end with a warning; whole",
        &[
            "a_source_that_shrinks_is_not_whole",
            "a_source_that_grows_is_read_to_its_end_with_a_warning",
            "a_source_that_vanishes_is_read_whole",
        ],
    ),
    (
        "a size that is 0 or wrong",
        "read to the end",
        &["that_say_nothing_of_their_size_are_read_to_the_end"],
    ),
    (
        "what is read back differs, or cannot be read",
        "10; 4; target untouched, never 0",
        &[
            "what_the_disk_has_otherwise_does_not",
            "what_cannot_be_read_back_whole_is_no_success",
            "a_file_to_one_that_is_read_back",
        ],
    ),
    (
        "any operation fails in a run that another one can go on with, or that goes on",
        "its code and one line; target untouched; the next run ends with the same bytes and nothing left",
        &[
            "a_file_to_one_that_another_run_can_go_on_with",
            "a_file_to_one_that_is_gone_on_with",
            "a_file_to_one_that_is_gone_on_with_and_read_back",
        ],
    ),
    (
        "a seek in a file with holes fails",
        "the same bytes, or 3",
        &["a_file_with_a_hole_to_a_file"],
    ),
    (
        "the sum or the end object cannot be written",
        "4 or 5; the target as the run says",
        &["a_file_and_its_sum", "a_file_and_the_end_object"],
    ),
    (
        "a recording is named that is an end of the chain, and the system does not say so",
        "refused, both untouched",
        &["a_recording_takes_neither_the_source_nor_the_sink_with_it"],
    ),
    (
        "the disk does not begin early",
        "0, exact bytes",
        &["a_disk_that_will_not_begin_early_has_it_all_in_the_end"],
    ),
    (
        "the kernel cannot move the bytes itself, at once or later on",
        "read and written instead, from where it came to",
        &[
            "what_the_kernel_cannot_move_is_read_and_written",
            "what_the_kernel_has_moved_already_is_not_moved_again",
        ],
    ),
    (
        "a control group of 16 MiB, the sink stalled half the time",
        "0, not killed",
        &["a_memory_limit_of_16_mebibytes_holds_while_the_sink_stalls"],
    ),
    (
        "few descriptors; no thread",
        "12 or a way without; target untouched",
        &[
            "few_descriptors_are_enough_or_are_said_to_be_too_few",
            "few_threads_are_enough_or_are_said_to_be_too_few",
            "a_file_through_several_stages_to_a_file",
        ],
    ),
    (
        "kill -9 at any moment",
        "the old file or the whole new one; a leftover is recognisable",
        &[
            "killed_at_any_operation_the_target_is_the_old_file_or_the_whole_new_one",
            "killed_at_any_operation_an_append_keeps_what_was_there",
            "a_killed_write_leaves_the_old_file_or_the_whole_new_one",
            "whichever_step_it_is_killed_at_a_write_is_old_or_whole",
        ],
    ),
    (
        "killed again and again with resume=true",
        "the file is whole in the end; a changed source is refused",
        &[
            "a_write_that_is_killed_again_and_again_and_gone_on_with_ends_whole",
            "whichever_step_it_is_killed_at_a_write_can_be_gone_on_with",
            "killed_at_any_operation_a_resumable_write_is_gone_on_with_to_the_same_bytes",
            "where_the_source_was_written_to",
        ],
    ),
];

/// Encoders and decoders.
const CODECS: &[Row] = &[
    (
        "nothing to encode; nothing to decode",
        "0, a valid empty stream; 6",
        &[
            "many_members_and_empty_ones_are_one_stream",
            "any_cut_is_said_to_be_one",
        ],
    ),
    (
        "input in a trickle",
        "it comes out while the source is open",
        &[
            "a_trickle_is_not_held_back",
            "a_trickle_comes_out_while_the_source_is_open",
            "what_came_in_comes_out_soon_where_the_format_allows",
        ],
    ),
    (
        "a stream cut at any offset",
        "6, never 0; target untouched",
        &[
            "any_cut_is_said_to_be_one",
            "any_cut_is_refused_on_the_other_ways_as_well",
            "a_cut_between_members_is_an_end_and_nowhere_else",
            "a_cut_leaves_no_target",
        ],
    ),
    (
        "any bit flipped",
        "6, or the same bytes; brotli: no panic",
        &["a_flipped_bit_is_found_or_harmless", "one_flipped_bit_at_any_byte"],
    ),
    (
        "many members, empty ones, zeros behind the last",
        "all decoded",
        &[
            "many_members_and_empty_ones_are_one_stream",
            "zero_bytes_behind_the_data_are_as_each_format_has_them",
        ],
    ),
    (
        "garbage behind a member",
        "6",
        &["something_else_behind_the_data_is_refused", "garbage_behind_a_member"],
    ),
    (
        "another format",
        "6, and what it looks like",
        &["something_else_is_named", "what_is_no_compressed_stream_is_named"],
    ),
    (
        "a bomb",
        "memory flat; take ends it with 0, limit with 7; target untouched",
        &["bombs_are_ended_by_take_and_by_limit", "bombs_stay_flat"],
    ),
    (
        "a window that is too large",
        "7, and which option allows it",
        &["windows_of_zstd"],
    ),
    (
        "a decoder that fails behind what take wanted",
        "the same code every time",
        &["are_none_every_time", "are_one_every_time_where_take_wanted_more"],
    ),
];

/// Stages, signals and whoever looks on.
const RUNS: &[Row] = &[
    (
        "a stage panics",
        "70, the stage named, target untouched",
        &["a_stage_that_panics_is_named_and_leaves_nothing"],
    ),
    (
        "SIGINT, SIGTERM, SIGHUP wherever it waits; ignored at the start",
        "130, 143, 129, target untouched; stays ignored",
        &[
            "while_blocked_in_reading_a_fifo",
            "while_blocked_in_writing_to_standard_output",
            "while_asleep_in_a_throttle",
            "a_signal_does_not_wait_for_a_disk_that_does_not_answer",
            "a_signal_at_any_moment_leaves_the_target_untouched_or_comes_too_late",
            "that_were_ignored_stay_so",
        ],
    ),
    (
        "a second Ctrl-C",
        "at once, and what is left is named",
        &["whoever_asks_twice_is_not_kept_waiting_and_is_told_what_is_left"],
    ),
    (
        "the terminal changes its size or goes away",
        "bytes and code as ever",
        &[
            "a_terminal_that_changes_its_size_changes_neither_bytes_nor_code",
            "of_standard_error_change_nothing",
        ],
    ),
    (
        "SIGSTOP under a throttle, or for longer than a stall timeout",
        "no burst; goes on",
        &[
            "stopped_and_told_to_go_on_it_delivers_everything",
            "no_window_of_100_ms_is_fast_after_a_stop",
            "a_process_that_was_stopped_has_not_stalled",
            "stopped_for_longer_than_a_stall_timeout_it_goes_on",
        ],
    ),
    (
        "the reader of standard error stops or leaves",
        "bytes and code as ever",
        &[
            "a_reader_of_standard_error_that_stops_holds_nothing_up",
            "of_standard_error_change_nothing",
            "standard_error_that_fails_changes_neither_bytes_nor_code",
        ],
    ),
    (
        "rates from 1 B/s to 10 GB/s, the least memory, chunks of one byte",
        "no deadlock",
        &["it_starts_empty_and_is_exact", "the_smallest_links_deliver_exact_bytes"],
    ),
    (
        "escape bytes in a name",
        "shown escaped",
        &[
            "what_is_not_is_escaped",
            "wide_and_hostile_characters",
            "escape_bytes_in_names_never_reach_the_terminal",
        ],
    ),
    (
        "credentials in an address",
        "never repeated",
        &[
            "credentials_are_refused_and_not_repeated",
            "credentials_in_a_url_are_never_shown",
        ],
    ),
    (
        "a failure at any position of a chain",
        "all closed, told once, nothing left",
        &[
            "a_fault_at_any_position_closes_all_and_is_reported_once",
            "a_transform",
            "the_sink",
            "two_at_once_are_one_error",
        ],
    ),
];

/// Peers.
const PEERS: &[Row] = &[
    (
        "refused, not to be reached, or not to be resolved",
        "9 with the address; no sink, no source consumed",
        &[
            "that_cannot_stand_create_no_sink_and_consume_no_source",
            "that_all_fail_are_counted",
            "refused_connection",
            "a_host_that_cannot_be_resolved_is_no_peer",
            "without_a_peer_are_no_connection",
            "a_file_to_a_peer",
            "a_file_to_a_peer_on_this_machine",
        ],
    ),
    (
        "the peer resets, closes early, or ends its own direction",
        "3 or 4 with the offset; 4; 0",
        &[
            "peers::that_reset_a_source",
            "peers::that_reset_a_sink",
            "peers::that_close_a_sink_early",
            "a_peer_that_ends_its_own_direction_still_gets_ours",
            "that_reset_a_source_are_told_with_the_offset",
            "that_reset_or_leave_a_sink_are_told_with_the_offset",
            "that_end_their_direction_on_a_unix_socket_still_get_ours",
            "that_the_peer_resets_are_an_error",
        ],
    ),
    (
        "our own run fails, or is killed, while a peer is written to, or before its source has come",
        "the connection is reset; the peer does not take what it has for everything",
        &[
            "are_reset_so_that_the_peer_does_not_take_what_it_has_for_everything",
            "are_reset_by_a_signal_as_well_be_it_kill",
            "are_reset_where_the_source_never_comes",
        ],
    ),
    (
        "the peer stops reading for ever",
        "buffers at their marks; 8 with a stall timeout, target untouched",
        &[
            "of_a_stall_end_a_run_in_which_nothing_moves",
            "that_stop_reading_fill_the_buffers_to_their_marks_and_no_further",
            "that_stop_sending_leave_the_target_untouched",
        ],
    ),
    (
        "the peer is slow, late or uneven",
        "0, exact bytes, buffers within their marks; no stall while something moves",
        &[
            "sources::that_are_slow_late_or_uneven_are_read_to_the_last_byte",
            "sinks::that_are_slow_late_or_uneven_get_every_byte",
            "that_say_nothing_yet_are_the_bottleneck",
            "that_take_nothing_yet_are_the_bottleneck_behind_full_links_and_get_every_byte",
            "a_peer_has_stalled_a_chain_only_where_it_is_silent_for_longer_than_the_limit",
            "are_for_peers_that_say_nothing_and_not_for_those_that_say_little",
            "are_for_peers_that_take_nothing_and_not_for_those_that_take_little",
            "that_send_or_take_a_byte_at_a_time_change_nothing",
        ],
    ),
    (
        "the peer has everything, or has sent everything, and is slow to close",
        "not waited for; target untouched until it does",
        &[
            "that_are_slow_to_close_are_not_waited_for_once_they_have_everything",
            "that_are_slow_to_close_leave_the_target_untouched_until_they_do",
        ],
    ),
    (
        "the peer vanishes without a word",
        "4 with the offset, 3 with the offset, where a user timeout says so",
        &[
            "vanished_peers::of_a_sink_are_given_up_where_a_user_timeout_says_so",
            "vanished_peers::of_a_source_are_given_up_where_a_user_timeout_says_so",
            "are_asked_whether_they_are_there_and_are_given_up_only_where_that_is_wanted",
        ],
    ),
    (
        "the port is in use; nobody comes; somebody left before",
        "9; 8 with a timeout; the next one is waited for",
        &[
            "port_in_use",
            "end_a_wait_for_a_peer",
            "a_stall_timeout_ends_a_wait_for_a_peer",
            "that_cannot_be_listened_for_leave_the_source_unread",
            "that_nobody_makes_end_by_a_timeout_and_leave_the_source_unread",
            "a_peer_to_a_file",
            "a_file_to_a_peer_that_comes",
            "a_peer_on_this_machine_to_a_file",
        ],
    ),
];

/// A chain as a whole.
const CHAINS: &[Row] = &[
    (
        "the end of a run",
        "only when the sink has finished and everything before it is closed",
        &[
            "without_a_fault_the_sink_lands_once",
            "a_fault_at_any_position_closes_all_and_is_reported_once",
        ],
    ),
    (
        "what an encoder still holds when its input ends",
        "it is delivered",
        &[
            "many_members_and_empty_ones_are_one_stream",
            "of_the_smallest_links_pass_every_form_of_gzip",
        ],
    ),
    (
        "a transform that fails",
        "gives out nothing more",
        &[
            "in_which_a_transform_fails_give_out_nothing_that_came_behind_the_fault",
            "every_schedule_that_aborts_says_so_behind_the_bytes",
        ],
    ),
    (
        "a cancel before the first byte, midway, or at the end",
        "everything is closed",
        &[
            "end_a_wait_for_a_peer",
            "every_schedule_ends_when_it_is_cancelled_at_any_moment",
            "cancelling_reaches_both_threads_at_any_moment",
            "a_signal_does_not_wait_for_a_disk_that_does_not_answer",
        ],
    ),
    (
        "a throttle that sleeps",
        "wakes at once",
        &["while_asleep_in_a_throttle"],
    ),
    (
        "an endless source whose sink goes",
        "stops",
        &[
            "every_schedule_ends_when_the_consumer_leaves",
            "readers_that_leave::end_the_run_quietly",
        ],
    ),
    (
        "a mark of one byte",
        "works",
        &[
            "arrive_in_order_and_are_counted_exactly",
            "of_the_smallest_links_pass_every_form_of_gzip",
        ],
    ),
    (
        "a source that has ended with bytes before a full sink",
        "no deadlock",
        &["whose_source_has_ended_deliver_what_still_waits_once_the_sink_goes_on"],
    ),
    (
        "an empty chunk",
        "is not the end",
        &["an_unsent_or_empty_buffer_only_gives_its_credit_back"],
    ),
    (
        "a transform that stands in a chain twice",
        "is two of them",
        &["that_have_a_stage_twice_have_two_of_it"],
    ),
];

#[test]
fn every_row_is_shown_by_tests_that_exist() {
    let names = test_names::all();
    let mut missing = Vec::new();
    for (fault, _, tests) in [DISKS, CODECS, RUNS, PEERS, CHAINS].into_iter().flatten() {
        assert!(!tests.is_empty(), "{fault} is shown by nothing");
        let absent = tests.iter().filter(|name| !names.contains(**name));
        missing.extend(absent.map(|name| format!("{fault}: no test {name}")));
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
