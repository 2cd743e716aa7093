//! The input of a program: random text that does not compress well, or a file again and again.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::error::{Failure, Kind, shown};

/// Fixed, so that every check feeds the same text.
const SEED: u64 = 0x6869_6768;
/// The alphabet of base64: six bits a character, so the best that a compressor can do is three quarters.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Bytes of a record that are random text.
const TEXT: usize = 99;

/// The format of the random text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum InputKind {
    /// Lines of 99 characters.
    #[default]
    Lines,
    /// JSON Lines: objects with a number, a name and a text.
    Json,
    /// CSV with a header and the same three columns.
    Csv,
}

/// An endless input.
#[derive(Debug)]
pub enum Input {
    /// Made here.
    Random(Records),
    /// Read from its beginning again whenever it has ended.
    Repeated(PathBuf, File),
}

impl Input {
    /// Random text, the same in every check.
    #[must_use]
    pub fn random(kind: InputKind) -> Self {
        Self::Random(Records::new(kind, SEED))
    }

    /// A file's bytes.
    ///
    /// # Errors
    /// Where it cannot be read, or holds nothing.
    pub fn repeated(path: &Path) -> Result<Self, Failure> {
        let cannot = |error| {
            Failure::io(
                Kind::Source,
                format!("--input {}: cannot read", shown(path.as_os_str().as_bytes())),
                error,
            )
        };
        let file = File::open(path).map_err(cannot)?;
        let metadata = file.metadata().map_err(cannot)?;
        if !metadata.is_file() || metadata.len() == 0 {
            return Err(Failure::because(
                Kind::Usage,
                format!("--input {}: cannot repeat it", shown(path.as_os_str().as_bytes())),
                "it must be a regular file that is not empty",
            ));
        }
        Ok(Self::Repeated(path.to_owned(), file))
    }

    /// Fills `block` with what comes next.
    ///
    /// # Errors
    /// Where a file cannot be read any more.
    pub fn fill(&mut self, block: &mut [u8]) -> Result<(), Failure> {
        match self {
            Self::Random(records) => records.fill(block),
            Self::Repeated(path, file) => {
                read_around(file, block).map_err(|error| {
                    Failure::io(
                        Kind::Source,
                        format!("--input {}: cannot read", shown(path.as_os_str().as_bytes())),
                        error,
                    )
                })?;
            }
        }
        Ok(())
    }
}

fn read_around(file: &mut File, block: &mut [u8]) -> std::io::Result<()> {
    let mut at = 0;
    let mut is_rewound = false;
    while at < block.len() {
        match file.read(&mut block[at..])? {
            0 if is_rewound => return Err(std::io::Error::other("it has been emptied")),
            0 => {
                file.seek(SeekFrom::Start(0))?;
                is_rewound = true;
            }
            count => {
                at += count;
                is_rewound = false;
            }
        }
    }
    Ok(())
}

/// An endless text of records.
#[derive(Debug)]
pub struct Records {
    kind: InputKind,
    state: u64,
    number: u64,
    /// The current record, and how much of it has been given.
    record: Vec<u8>,
    at: usize,
}

impl Records {
    fn new(kind: InputKind, seed: u64) -> Self {
        let header: &[u8] = match kind {
            InputKind::Csv => b"id,name,text\n",
            InputKind::Lines | InputKind::Json => b"",
        };
        Self {
            kind,
            state: seed,
            number: 0,
            record: header.to_vec(),
            at: 0,
        }
    }

    fn fill(&mut self, block: &mut [u8]) {
        let mut filled = 0;
        while filled < block.len() {
            if self.at == self.record.len() {
                self.next_record();
            }
            let count = (self.record.len() - self.at).min(block.len() - filled);
            block[filled..filled + count].copy_from_slice(&self.record[self.at..self.at + count]);
            self.at += count;
            filled += count;
        }
    }

    fn next_record(&mut self) {
        self.record.clear();
        self.at = 0;
        let number = self.number;
        self.number += 1;
        // Writing to memory does not fail.
        let _ = match self.kind {
            InputKind::Lines => Ok(()),
            InputKind::Json => write!(
                self.record,
                "{{\"id\":{number},\"name\":\"name {}\",\"text\":\"",
                number % 1000
            ),
            InputKind::Csv => write!(self.record, "{number},name {},", number % 1000),
        };
        self.random_text();
        self.record.extend_from_slice(match self.kind {
            InputKind::Json => b"\"}\n",
            InputKind::Lines | InputKind::Csv => b"\n",
        });
    }

    fn random_text(&mut self) {
        for _ in 0..TEXT / 9 {
            let mut bits = self.random();
            for _ in 0..9 {
                self.record.push(ALPHABET[usize::from(bits.to_le_bytes()[0] & 63)]);
                bits >>= 6;
            }
        }
    }

    /// `SplitMix64`: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
    fn random(&mut self) -> u64 {
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

    fn text(kind: InputKind, count: usize) -> String {
        let mut text = vec![0; count];
        Records::new(kind, 1).fill(&mut text);
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn lines_are_even_and_always_the_same() {
        let text = text(InputKind::Lines, 1000);
        assert_eq!(text, self::text(InputKind::Lines, 1000));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 10);
        assert!(lines.iter().all(|line| line.len() == TEXT));
        assert_ne!(lines[0], lines[1]);
    }

    #[test]
    fn json_and_csv_are_what_they_are_called() {
        let json = text(InputKind::Json, 10_000);
        let (whole, _) = json.rsplit_once('\n').expect("lines");
        for (number, line) in whole.lines().enumerate() {
            let object: serde_json::Value = serde_json::from_str(line).expect("an object");
            assert_eq!(object["id"], number);
        }
        let csv = text(InputKind::Csv, 10_000);
        let mut lines = csv.lines();
        assert_eq!(lines.next(), Some("id,name,text"));
        assert!(
            lines
                .next()
                .is_some_and(|line| line.starts_with("0,name 0,") && line.matches(',').count() == 2)
        );
    }

    #[test]
    fn a_compressor_gains_no_more_than_a_quarter() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(text(InputKind::Lines, 1 << 20).as_bytes())
            .expect("memory");
        let size = gzip.finish().expect("memory").len();
        assert!(size > (1 << 20) * 74 / 100, "{size} bytes");
    }

    #[test]
    fn a_file_is_repeated_without_a_seam() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(b"abc").expect("room");
        let mut input = Input::repeated(file.path()).expect("it is there");
        let mut block = [0; 8];
        input.fill(&mut block).expect("read");
        assert_eq!(&block, b"abcabcab");
        input.fill(&mut block).expect("read");
        assert_eq!(&block, b"cabcabca");
    }

    #[test]
    fn what_cannot_be_repeated_is_refused() {
        let empty = tempfile::NamedTempFile::new().expect("a file");
        assert_eq!(Input::repeated(empty.path()).expect_err("empty").kind(), Kind::Usage);
        assert_eq!(
            Input::repeated(Path::new("/dev/zero")).expect_err("a device").kind(),
            Kind::Usage
        );
        assert_eq!(
            Input::repeated(Path::new("/nowhere")).expect_err("nothing").kind(),
            Kind::Source
        );
    }
}
