//! The input: lines of text that no compressor makes much smaller, the same in every run.

/// Characters of a line, its newline included.
const LINE: usize = 100;
/// The alphabet of base64: six bits a character, so the best that a compressor can do is three quarters.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// An endless text.
#[derive(Debug)]
pub struct NoiseLines {
    state: u64,
    column: usize,
    /// Random bits that are left, and for how many characters.
    bits: (u64, u32),
}

impl NoiseLines {
    /// The text of a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            state: seed,
            column: 0,
            bits: (0, 0),
        }
    }

    /// Fills `text` with what comes next.
    pub fn fill(&mut self, text: &mut [u8]) {
        for byte in text {
            self.column += 1;
            if self.column == LINE {
                self.column = 0;
                *byte = b'\n';
                continue;
            }
            if self.bits.1 == 0 {
                self.bits = (self.next(), 10);
            }
            let (bits, left) = self.bits;
            *byte = ALPHABET[usize::from(bits.to_le_bytes()[0] & 63)];
            self.bits = (bits >> 6, left - 1);
        }
    }

    /// `SplitMix64`: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn text(count: usize) -> Vec<u8> {
        let mut text = vec![0; count];
        NoiseLines::new(1).fill(&mut text);
        text
    }

    #[test]
    fn lines_are_even_and_always_the_same() {
        let text = text(1000);
        assert_eq!(text, self::text(1000));
        let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 11);
        assert!(lines[..10].iter().all(|line| line.len() == LINE - 1));
        assert_ne!(lines[0], lines[1]);
    }

    #[test]
    fn a_compressor_gains_no_more_than_a_quarter() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&text(1 << 20)).expect("memory");
        let size = gzip.finish().expect("memory").len();
        assert!(size > (1 << 20) * 74 / 100, "{size} bytes");
    }
}
