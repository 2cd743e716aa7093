//! The checksum algorithms.

use md5::Md5;
use sha2::digest::common::hazmat::SerializableState;
use sha2::{Digest, Sha256, Sha512};

/// A checksum algorithm.
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

    /// The algorithm of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The number of hexadecimal digits of its checksums.
    pub fn digits(self) -> usize {
        match self {
            Self::Sha256 | Self::Blake3 => 64,
            Self::Sha512 => 128,
            Self::Crc32c => 8,
            Self::Md5 => 32,
        }
    }

    /// Checks a checksum and returns it in lower case, without the colons that `openssl dgst -c` puts between its
    /// bytes.
    ///
    /// # Errors
    /// Why it is not valid.
    pub fn check_hex(self, text: &str) -> Result<String, String> {
        let pairs: Vec<&str> = text.split(':').collect();
        let joined = pairs.concat();
        let text = if pairs.len() > 1 && pairs.iter().all(|pair| pair.len() == 2) {
            &joined
        } else {
            text
        };
        if let Some(wrong) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
            return Err(format!("`{}` is not a hexadecimal digit", wrong.escape_debug()));
        }
        if text.len() != self.digits() {
            return Err(format!("it has {} digits instead of {}", text.len(), self.digits()));
        }
        Ok(text.to_ascii_lowercase())
    }

    /// [`Algorithm::check_hex`] of a checksum that may have its algorithm before it: `sha256:HEX`.
    pub fn check_digest(self, text: &str) -> Result<String, String> {
        match text.split_once(':') {
            Some((name, hex)) if self.is_called(name) => self.check_hex(hex),
            Some((name, _)) if Self::ALL.iter().any(|other| other.is_called(name)) => {
                Err(format!("it says that it is one of {}", name.to_ascii_lowercase()))
            }
            _ => self.check_hex(text),
        }
    }

    /// Whether tools use this name for it: `SHA256`, `SHA-256` or, as openssl does, `SHA2-256`.
    pub fn is_called(self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let name = match name.strip_prefix("sha2-").or_else(|| name.strip_prefix("sha-")) {
            Some(size) => format!("sha{size}"),
            None => name,
        };
        name == self.name()
    }

    /// Whether the state of its hashers can be saved.
    pub fn has_state(self) -> bool {
        self.hasher().state().is_some()
    }

    /// A hasher without any bytes yet.
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

/// A checksum in progress.
pub enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
    Blake3(Box<blake3::Hasher>),
    Crc32c(u32),
    Md5(Md5),
}

impl Hasher {
    /// Adds bytes.
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

    /// Its state, from which another one can continue; `None` if the algorithm's cannot be saved.
    pub fn state(&self) -> Option<Vec<u8>> {
        Some(match self {
            Self::Sha256(hasher) => hasher.serialize().to_vec(),
            Self::Sha512(hasher) => hasher.serialize().to_vec(),
            Self::Md5(hasher) => hasher.serialize().to_vec(),
            Self::Crc32c(sum) => sum.to_le_bytes().to_vec(),
            Self::Blake3(_) => return None,
        })
    }

    /// Continues from a state that a hasher of the same algorithm saved; returns false if it cannot be one.
    pub fn restore(&mut self, state: &[u8]) -> bool {
        match self {
            Self::Sha256(hasher) => restore(hasher, state),
            Self::Sha512(hasher) => restore(hasher, state),
            Self::Md5(hasher) => restore(hasher, state),
            Self::Crc32c(sum) => state.try_into().map(|state| *sum = u32::from_le_bytes(state)).is_ok(),
            Self::Blake3(_) => false,
        }
    }

    /// The checksum, in hexadecimal.
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

fn restore<H: SerializableState>(hasher: &mut H, state: &[u8]) -> bool {
    let state = state.try_into().ok();
    let restored = state.and_then(|state| H::deserialize(state).ok());
    restored.map(|restored| *hasher = restored).is_some()
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
    fn restored_hasher_continues() {
        let bytes: Vec<u8> = (0..=250).cycle().take(1000).collect();
        for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| algorithm.has_state()) {
            let mut whole = algorithm.hasher();
            whole.update(&bytes);
            let expected = whole.hex();
            for cut in [0, 1, 63, 64, 65, 127, 128, 500, 1000] {
                let mut first = algorithm.hasher();
                first.update(&bytes[..cut]);
                let state = first.state().expect("it has one");
                assert!(state.len() <= 250, "{algorithm:?}: {}", state.len());
                let mut second = algorithm.hasher();
                assert!(second.restore(&state), "{algorithm:?}");
                second.update(&bytes[cut..]);
                assert_eq!(second.hex(), expected, "{algorithm:?} cut at {cut}");
                assert!(!algorithm.hasher().restore(&state[1..]));
            }
        }
    }

    #[test]
    fn invalid_checksum_says_why() {
        let why = |text| Algorithm::Crc32c.check_hex(text).expect_err(text);
        assert_eq!(why("e306928"), "it has 7 digits instead of 8");
        assert_eq!(why("e306928x"), "`x` is not a hexadecimal digit");
        assert_eq!(why(""), "it has 0 digits instead of 8");
        assert_eq!(why("e3:06928"), "`:` is not a hexadecimal digit");
    }

    #[test]
    fn a_digest_may_name_its_algorithm() {
        let check = |text| Algorithm::Crc32c.check_digest(text);
        for text in ["crc32c:E3069283", "CRC32C:e3069283", "e3:06:92:83", "e3069283"] {
            assert_eq!(check(text), Ok("e3069283".to_owned()));
        }
        assert_eq!(check("MD5:e3069283"), Err("it says that it is one of md5".to_owned()));
        for name in ["SHA256", "sha256", "SHA2-256", "SHA-256"] {
            assert!(Algorithm::Sha256.is_called(name), "{name}");
        }
        for name in ["SHA512/256", "SHA2-512/256", "SHA3-256", "SHA2-512", "SHA", ""] {
            assert!(!Algorithm::Sha256.is_called(name), "{name}");
        }
    }
}
