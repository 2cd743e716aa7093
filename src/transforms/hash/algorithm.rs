//! The sums that there are.

use md5::Md5;
use sha2::{Digest, Sha256, Sha512};

/// Which sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Sha256,
    Sha512,
    Blake3,
    Crc32c,
    Md5,
}

impl Algorithm {
    const ALL: [Self; 5] = [Self::Sha256, Self::Sha512, Self::Blake3, Self::Crc32c, Self::Md5];

    /// Their names.
    pub const NAMES: &[&str] = &["sha256", "sha512", "blake3", "crc32c", "md5"];

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// How many hexadecimal digits it has.
    pub fn digits(self) -> usize {
        match self {
            Self::Sha256 | Self::Blake3 => 64,
            Self::Sha512 => 128,
            Self::Crc32c => 8,
            Self::Md5 => 32,
        }
    }

    /// A sum in lower case.
    ///
    /// # Errors
    /// Why it is none.
    pub fn check_hex(self, text: &str) -> Result<String, String> {
        if let Some(wrong) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
            return Err(format!("`{}` is no hexadecimal digit", wrong.escape_debug()));
        }
        if text.len() != self.digits() {
            return Err(format!("it has {} digits instead of {}", text.len(), self.digits()));
        }
        Ok(text.to_ascii_lowercase())
    }

    /// The sum of nothing, so far.
    pub fn hasher(self) -> Hasher {
        match self {
            Self::Sha256 => Hasher::Sha256(Sha256::new()),
            Self::Sha512 => Hasher::Sha512(Sha512::new()),
            Self::Blake3 => Hasher::Blake3(Box::new(blake3::Hasher::new())),
            Self::Crc32c => Hasher::Crc32c(0),
            Self::Md5 => Hasher::Md5(Md5::new()),
        }
    }
}

/// A sum in the making.
pub enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
    Blake3(Box<blake3::Hasher>),
    Crc32c(u32),
    Md5(Md5),
}

impl Hasher {
    /// Takes more bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
            Self::Blake3(hasher) => {
                hasher.update(bytes);
            }
            Self::Crc32c(sum) => *sum = crc32c::crc32c_append(*sum, bytes),
            Self::Md5(hasher) => hasher.update(bytes),
        }
    }

    /// The sum, in hexadecimal.
    pub fn hex(self) -> String {
        match self {
            Self::Sha256(hasher) => hex(&hasher.finalize()),
            Self::Sha512(hasher) => hex(&hasher.finalize()),
            Self::Blake3(hasher) => hex(hasher.finalize().as_bytes()),
            Self::Crc32c(sum) => format!("{sum:08x}"),
            Self::Md5(hasher) => hex(&hasher.finalize()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| DIGITS[usize::from(digit)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vectors() {
        for (algorithm, text, sum) in [
            (
                Algorithm::Sha256,
                "abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                Algorithm::Sha512,
                "abc",
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
            (
                Algorithm::Blake3,
                "abc",
                "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
            ),
            (Algorithm::Crc32c, "123456789", "e3069283"),
            (Algorithm::Md5, "abc", "900150983cd24fb0d6963f7d28e17f72"),
        ] {
            let mut hasher = algorithm.hasher();
            for byte in text.bytes() {
                hasher.update(&[byte]);
            }
            assert_eq!(hasher.hex(), sum, "{algorithm:?}");
            assert_eq!(algorithm.check_hex(&sum.to_uppercase()), Ok(sum.to_owned()));
            assert_eq!(Algorithm::named(algorithm.name()), Some(algorithm));
        }
    }

    #[test]
    fn what_is_no_sum_says_why() {
        let why = |text| Algorithm::Crc32c.check_hex(text).expect_err(text);
        assert_eq!(why("e306928"), "it has 7 digits instead of 8");
        assert_eq!(why("e306928x"), "`x` is no hexadecimal digit");
        assert_eq!(why(""), "it has 0 digits instead of 8");
    }
}
