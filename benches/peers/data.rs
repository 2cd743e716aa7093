//! The data that everything is measured on: made once, under the target directory.

use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::contender::{OURS, found};

const MIB: u64 = 1 << 20;

/// The folder of the data and of what is written.
#[derive(Debug)]
pub struct Data {
    folder: PathBuf,
    /// Bytes that are copied in a row without a codec.
    pub lane_size: u64,
    /// Bytes that pass through a codec.
    pub codec_size: u64,
    /// Bytes of records.
    pub record_size: u64,
}

impl Data {
    /// Where it lies; `is_quick` takes a quarter of it.
    pub fn open(is_quick: bool) -> io::Result<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers");
        std::fs::create_dir_all(&folder)?;
        let shrink = if is_quick { 4 } else { 1 };
        Ok(Self {
            folder,
            lane_size: 1024 * MIB / shrink,
            codec_size: 256 * MIB / shrink,
            record_size: 300_000_000 / shrink,
        })
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The first bytes of a real tar: half of them can be saved by a compressor.
    pub fn tar(&self, size: u64) -> io::Result<PathBuf> {
        self.once(&format!("tar-{size}"), |mut file| {
            let mut tar = Command::new("tar")
                .args(["-cf", "-", "-C", "/", "usr/lib", "usr/bin"])
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()?;
            let stdout = tar.stdout.take().expect("stdout is a pipe");
            let copied = io::copy(&mut stdout.take(size), &mut file)?;
            tar.wait()?;
            if copied < size {
                return Err(io::Error::other(
                    "/usr/lib and /usr/bin hold too little to measure with",
                ));
            }
            Ok(())
        })
    }

    /// Bytes that no compressor makes smaller: Marsaglia's xorshift64.
    pub fn noise(&self, size: u64) -> io::Result<PathBuf> {
        self.once(&format!("noise-{size}"), |file| {
            let mut file = BufWriter::with_capacity(1 << 20, file);
            let mut state = 88_172_645_463_325_252_u64;
            for _ in 0..size / 8 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                file.write_all(&state.to_le_bytes())?;
            }
            file.flush()
        })
    }

    /// What `program` with `arguments` makes of `input`, which is its standard input; `None` where it is missing.
    pub fn packed(&self, program: &str, arguments: &[&str], input: &Path, suffix: &str) -> io::Result<Option<PathBuf>> {
        let Some(executable) = found(program) else {
            return Ok(None);
        };
        let stem = input.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{stem}.{suffix}");
        if program == OURS {
            // Another build may pack in another way.
            let _ = std::fs::remove_file(self.path(&name));
        }
        self.once(&name, |file| {
            let status = Command::new(executable)
                .args(arguments)
                .stdin(File::open(input)?)
                .stdout(file)
                .status()?;
            if status.success() {
                Ok(())
            } else {
                Err(io::Error::other(format!("{program} {arguments:?}: {status}")))
            }
        })
        .map(Some)
    }

    /// A file that is made unless it is there already.
    pub fn once(&self, name: &str, make: impl FnOnce(File) -> io::Result<()>) -> io::Result<PathBuf> {
        let path = self.path(name);
        if !path.exists() {
            eprintln!("making {}", path.display());
            let unfinished = self.path(&format!("{name}.unfinished"));
            make(File::create(&unfinished)?)?;
            File::open(&unfinished)?.sync_all()?;
            std::fs::rename(unfinished, &path)?;
        }
        Ok(path)
    }
}

/// What tells one output from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    pub length: u64,
    hash: u64,
}

/// Leaves out spaces behind colons and commas.
#[derive(Debug)]
pub struct Unspaced<R> {
    reader: R,
    last: u8,
}

impl<R: Read> Unspaced<R> {
    pub fn new(reader: R) -> Self {
        Self { reader, last: 0 }
    }
}

impl<R: Read> Read for Unspaced<R> {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.reader.read(block)?;
            let mut kept = 0;
            for at in 0..count {
                let byte = block[at];
                if byte != b' ' || !matches!(self.last, b':' | b',') {
                    block[kept] = byte;
                    kept += 1;
                }
                self.last = byte;
            }
            if kept > 0 || count == 0 {
                return Ok(kept);
            }
        }
    }
}

/// Reads to the end.
pub fn fingerprint(mut reader: impl Read) -> io::Result<Fingerprint> {
    let mut block = Vec::with_capacity(1 << 20);
    let mut hasher = DefaultHasher::new();
    let mut length = 0;
    loop {
        block.clear();
        // Full blocks, however the bytes arrive.
        let count = reader.by_ref().take(1 << 20).read_to_end(&mut block)?;
        if count == 0 {
            let hash = hasher.finish();
            return Ok(Fingerprint { length, hash });
        }
        length += count as u64;
        hasher.write(&block);
    }
}
