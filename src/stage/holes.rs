//! Zeros that take no room on the disk.

use std::io;

use crate::platform::{Descriptor, Transfer};

use super::Holes;

/// The smallest hole of common file systems; shorter runs of zeros are written.
const BLOCK: usize = 4 << 10;

/// Writes a part of `bytes`, which come `at` bytes after the first that were written, and leaves a hole where it is zeros.
pub fn write(descriptor: &Descriptor, bytes: &[u8], at: u64, holes: Holes) -> io::Result<Transfer> {
    let (length, is_zero) = run(bytes, at);
    if is_zero && holes == Holes::Grow {
        descriptor.leave_hole(length as u64)?;
        return Ok(Transfer::Bytes(length));
    }
    let transfer = descriptor.write(&bytes[..length])?;
    match transfer {
        Transfer::Bytes(count) if is_zero && count >= BLOCK && holes == Holes::Punch => {
            descriptor.punch_hole(count as u64);
        }
        _ => {}
    }
    Ok(transfer)
}

/// How many of the first bytes are all zeros, or are in blocks that are not, and which of the two it is.
fn run(bytes: &[u8], at: u64) -> (usize, bool) {
    let first = BLOCK - usize::try_from(at % BLOCK as u64).unwrap_or(0);
    let (first, rest) = bytes.split_at(first.min(bytes.len()));
    let is_zero = is_zeros(first);
    let alike = rest.chunks(BLOCK).take_while(|block| is_zeros(block) == is_zero);
    (first.len() + alike.map(<[u8]>::len).sum::<usize>(), is_zero)
}

/// Whether a block, or a part of one, is zeros.
fn is_zeros(bytes: &[u8]) -> bool {
    static ZEROS: [u8; BLOCK] = [0; BLOCK];
    bytes == &ZEROS[..bytes.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_at_the_borders_of_blocks() {
        let mut bytes = vec![0; 4 * BLOCK];
        assert_eq!(run(&bytes, 0), (4 * BLOCK, true));
        bytes[2 * BLOCK + 1] = 1;
        assert_eq!(run(&bytes, 0), (2 * BLOCK, true));
        assert_eq!(run(&bytes[2 * BLOCK..], 2 * BLOCK as u64), (BLOCK, false));
        assert_eq!(run(&bytes, 100), (2 * BLOCK - 100, true));
        assert_eq!(run(&bytes[..10], BLOCK as u64 - 3), (10, true));
        assert_eq!(run(&[], 7), (0, true));
    }

    #[test]
    fn bytes_are_the_same_however_they_come() {
        let mut bytes = vec![0; 5 * BLOCK + 7];
        bytes[BLOCK..BLOCK + 10].fill(1);
        bytes[3 * BLOCK - 1] = 1;
        for size in [1000, BLOCK, BLOCK + 1, 3 * BLOCK, bytes.len()] {
            for holes in [Holes::Grow, Holes::Punch] {
                let file = tempfile::NamedTempFile::new().expect("a file");
                let descriptor = Descriptor::own(file.reopen().expect("opened")).expect("own");
                let mut at = 0;
                while at < bytes.len() {
                    let piece = &bytes[at..bytes.len().min(at + size)];
                    match write(&descriptor, piece, at as u64, holes).expect("written") {
                        Transfer::Bytes(count) => at += count,
                        Transfer::NotReady => panic!("a file is always ready"),
                    }
                }
                assert!(std::fs::read(&file).expect("read") == bytes, "{size} {holes:?}");
            }
        }
    }
}
