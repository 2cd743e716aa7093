//! The memory that zstd uses: 1.5.7, the version that is built in.

/// Bytes that a decoder holds besides its window: context, input block, two output blocks. Measured: 481 KiB.
pub const DECODER: u64 = 512 << 10;

/// KiB that an encoder holds at each level from 1 on, one thread, size unknown: window, tables, input and output blocks.
/// Measured over 40 MiB of programs; it is allocated at the start and never grows.
const SINGLE: [u64; 22] = [
    1338, 2046, 3582, 4862, 5374, 5370, 7934, 7930, 15_102, 25_342, 25_338, 45_822, 37_630, 54_014, 70_398, 37_774,
    58_254, 58_882, 91_650, 198_146, 394_754, 853_586,
];

/// The window of each level from 1 on, as a power of two: `ZSTD_defaultCParameters` of `clevels.h`, size unknown.
const WINDOW_LOG: [u32; 22] = [
    19, 20, 21, 21, 21, 21, 21, 21, 22, 22, 22, 22, 22, 22, 22, 22, 23, 23, 23, 25, 26, 27,
];

/// One position in 2^N is indexed for long-distance matches: the library's value for its fast levels
/// (`ZSTD_ldm_adjustParameters`). It indexes more for others, up to half the window.
pub const LONG_RATE_LOG: u32 = 7;

/// The row of a level in the tables.
fn row(level: i32) -> usize {
    match level {
        0 => 2,
        level => usize::try_from(level).unwrap_or(1).clamp(1, SINGLE.len()) - 1,
    }
}

/// Bytes of the level's own window.
pub fn window(level: i32) -> u64 {
    1 << WINDOW_LOG[row(level)]
}

/// Whether a window of this power of two is larger than the level's own, so that long-distance matching is used.
pub fn is_long(level: i32, window_log: u32) -> bool {
    window_log > WINDOW_LOG[row(level)]
}

/// Bytes that an encoder holds, with the level's own window, or with the given power of two.
pub fn encoder(level: i32, threads: u32, window_log: Option<u32>) -> u64 {
    let row = row(level);
    let own = (SINGLE[row] + 16) << 10;
    let single = match window_log.filter(|log| *log > WINDOW_LOG[row]) {
        // An entry has eight bytes; buckets of sixteen have a byte each.
        Some(log) => {
            let remembered = (1_u64 << log) >> LONG_RATE_LOG;
            own - (1 << WINDOW_LOG[row]) + (1 << log) + remembered * 8 + remembered / 8
        }
        None => own,
    };
    if threads < 2 {
        return single;
    }
    // `zstdmt_compress.c`: the input is cut into jobs of four windows, at least a mebibyte; it waits in a ring of one
    // job for each worker and three more. Each worker has a context, and each entry of the table of jobs at most one
    // output, as large as a job that cannot be compressed. Measured over 40 MiB: two thirds of this.
    let job = 1_u64 << (WINDOW_LOG[row] + 2).max(20);
    let workers = u64::from(threads);
    let jobs = 2 << (workers + 2).ilog2();
    let output = job + job / 256 + (64 << 10);
    (workers + 3) * job + jobs * output + workers * single
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stated_memory_covers_the_measured() {
        // KiB over 40 MiB of programs, by a build with zstd 1.5.7.
        let measured = [
            (-7, 1, 1306),
            (3, 1, 3582),
            (19, 1, 91_650),
            (1, 2, 17_563),
            (3, 2, 68_197),
            (9, 2, 152_773),
            (19, 2, 396_053),
            (1, 4, 26_248),
            (3, 4, 103_576),
            (16, 4, 264_315),
        ];
        for (level, threads, kib) in measured {
            let stated = encoder(level, threads, None) >> 10;
            assert!(
                stated >= kib && stated < kib * 2,
                "level {level}, {threads} threads: {stated} KiB"
            );
        }
    }
}
