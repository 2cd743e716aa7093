//! The input of the pipelines, made once.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::Command;

/// Bytes of the large inputs.
const SIZE: usize = 96 << 20;

/// Kinds of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Bytes that a compressor makes half as long.
    Bytes,
    /// A few thousand of them.
    Few,
    /// JSON Lines.
    Records,
    /// Server-sent events.
    Tokens,
    /// A table of `SQLite`.
    Database,
}

/// A folder with all of it.
pub struct Data(PathBuf);

/// The query of the export.
pub const QUERY: &str = "select * from orders";

impl Data {
    /// Makes what is missing.
    pub fn make() -> io::Result<Self> {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("articles");
        fs::create_dir_all(&folder)?;
        let data = Self(folder);
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        data.write(Input::Bytes, SIZE, || {
            let noise = next().to_le_bytes();
            [&noise[..], b"........"].concat()
        })?;
        data.write(Input::Few, 64 << 10, || b"a line of text\n".to_vec())?;
        let mut id = 0;
        data.write(Input::Records, SIZE, || {
            id += 1;
            let level = ["debug", "info", "warning", "error"][id % 4];
            format!(
                "{{\"id\":{id},\"name\":\"person {id}\",\"level\":\"{level}\",\"text\":\"{:x}\"}}\n",
                id * id
            )
            .into_bytes()
        })?;
        let mut id = 0;
        data.write(Input::Tokens, SIZE / 4, || {
            id += 1;
            let mut event = String::new();
            let _ = write!(
                event,
                "data: token {id} from someone{id}@example.org with more words behind it\n\n"
            );
            event.into_bytes()
        })?;
        let database = data.path(Input::Database);
        if !database.exists() {
            let made = Command::new("sqlite3")
                .arg(&database)
                .arg(
                    "create table orders as with recursive n(i) as (select 1 union all select i + 1 from n where i < 400000) \
                     select i id, hex(randomblob(24)) name, i % 97 amount from n",
                )
                .status()?;
            assert!(made.success(), "sqlite3 makes a table");
        }
        Ok(data)
    }

    /// Its file.
    pub fn path(&self, input: Input) -> PathBuf {
        self.0.join(format!("{input:?}").to_lowercase())
    }

    fn write(&self, input: Input, size: usize, mut piece: impl FnMut() -> Vec<u8>) -> io::Result<()> {
        let path = self.path(input);
        if path.exists() {
            return Ok(());
        }
        let unfinished = path.with_extension("new");
        let mut file = BufWriter::new(File::create(&unfinished)?);
        let mut written = 0;
        while written < size {
            let piece = piece();
            file.write_all(&piece)?;
            written += piece.len();
        }
        file.flush()?;
        fs::rename(unfinished, path)
    }
}
