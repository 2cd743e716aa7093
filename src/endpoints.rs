//! The places that bytes come from and go to: one file per kind of place, and the two stages that use them all.
//!
//! An endpoint is named by a path or by a URL whose scheme picks the kind. A new kind is one file with one
//! [`Scheme`], and one line in [`SCHEMES`].

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use crate::catalog::{Args, Definition};
use crate::error::{Failure, Kind, Problem};
use crate::flow::StageMeter;
use crate::platform::{Descriptor, FilePlace, Shape, files};
use crate::stage::{BoxFuture, Facts, Outcome, Phase, Reach, StreamReader, StreamWriter, Undertaking, Undo};

mod file;
mod journal;
mod patience;
pub mod read;
mod retry;
mod side_file;
mod socket;
mod stdio;
mod tcp;
mod unix;
pub mod write;

pub use patience::{Knob, Patience};
pub use side_file::{OpenSideFile, SideFile};
pub use unix::OwnSocket;

use journal::Journal;

/// Every kind of place, in the order in which they are listed.
pub static SCHEMES: &[&Scheme] = &[
    &file::SCHEME,
    &stdio::SCHEME,
    &tcp::CONNECT,
    &tcp::LISTEN,
    &unix::CONNECT,
    &unix::LISTEN,
];

/// The stages that are made of endpoints.
pub static STAGES: &[&Definition] = &[&read::READ, &write::WRITE];

/// One kind of place.
pub struct Scheme {
    /// How it is written: `tcp://HOST:PORT`.
    pub form: &'static str,
    /// What it starts with; empty for the kind that plain paths are.
    pub prefix: &'static str,
    /// What it is, in a phrase.
    pub summary: &'static str,
    /// Reads what follows the prefix.
    parse: fn(&[u8]) -> Named,
}

/// What an endpoint's name leads to.
type Named = Result<Box<dyn Endpoint>, Misnamed>;

/// An endpoint's name that cannot be: what is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misnamed {
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
}

impl Misnamed {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }
}

/// How a sink treats what it writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writing {
    /// What becomes of a file that exists.
    pub existing: Existing,
    /// Whether a file that exists may be replaced.
    pub clobber: bool,
    /// Whether to wait until the disk has everything.
    pub sync: bool,
    /// The permissions that the file gets; `None` for the old file's, or those that the system gives a new one.
    pub mode: Option<u32>,
}

/// What becomes of a file that exists when it is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// A new one takes its place.
    Replace,
    /// It is emptied, and written where it is.
    Empty,
    /// It is written behind what it has.
    Append,
}

impl Default for Writing {
    fn default() -> Self {
        Self {
            existing: Existing::Replace,
            clobber: true,
            sync: true,
            mode: None,
        }
    }
}

/// A place, named and not yet opened.
pub trait Endpoint: Send {
    /// The endpoint's name as people may see it: no credentials.
    fn shown(&self) -> String;
    /// When it is opened.
    fn reach(&self) -> Reach {
        Reach::Near
    }
    /// Whether a parameter that not every kind of place heeds means something there.
    fn heeds(&self, knob: Knob) -> bool {
        let _ = knob;
        false
    }
    /// Whether it is a regular file, or will be one.
    ///
    /// # Errors
    /// What it is instead, in a phrase.
    fn regular_file(&self) -> Result<(), &'static str> {
        Err("a connection")
    }
    /// Whether it is standard input or output, which carry the stream.
    fn carries_stream(&self) -> bool {
        false
    }
    /// What is known of it as a source, without side effects.
    ///
    /// # Errors
    /// Where it is already clear that opening must fail.
    fn source_facts(&self) -> Result<Facts, Failure> {
        Ok(Facts::of(Shape::Socket))
    }
    /// What is known of it as a sink, without side effects.
    ///
    /// # Errors
    /// Where it is already clear that opening must fail.
    fn sink_facts(&self) -> Result<Facts, Failure> {
        Ok(Facts::of(Shape::Socket))
    }
    /// Whether what is there now may be written to.
    ///
    /// # Errors
    /// If it is to be spared.
    fn permit(&self, writing: Writing) -> Result<(), Failure> {
        let _ = writing;
        Ok(())
    }
    /// The files beside it that a resumable write uses, as far as they are there.
    ///
    /// # Errors
    /// If the system does not say.
    fn companions(&self, writing: Writing) -> Result<Vec<FilePlace>, Failure> {
        let _ = writing;
        Ok(Vec::new())
    }
    /// What writing there will do.
    fn effect(&self, writing: Writing) -> String {
        let _ = writing;
        format!("writes to {}", self.shown())
    }
    /// Binds a listener and answers its address.
    ///
    /// # Errors
    /// Where the address cannot be bound.
    fn bind(&mut self) -> Result<Option<String>, Failure> {
        Ok(None)
    }
    /// Opens it for reading.
    fn open_reader(self: Box<Self>, patience: Patience) -> BoxFuture<'static, Result<OpenReader, Failure>>;
    /// Opens it for writing.
    fn open_writer(
        self: Box<Self>,
        writing: Writing,
        patience: Patience,
    ) -> BoxFuture<'static, Result<OpenWriter, Failure>>;
    /// Whether opening it gives a descriptor, so that it may take the direct path.
    fn is_descriptor(&self) -> bool {
        true
    }
    /// Opens a regular file for writing, in a way that another run can go on with. Nothing else can be opened like that.
    #[must_use]
    fn open_resumable(
        self: Box<Self>,
        writing: Writing,
        undertaking: Undertaking,
    ) -> BoxFuture<'static, Result<Outgoing, Failure>> {
        let _ = (writing, undertaking);
        let why = "resume=true needs a regular file";
        Box::pin(async move { Err(Failure::because(Kind::Usage, "cannot be resumed", why)) })
    }
}

/// The endpoint that a call's parameter `path` names.
fn named(name: &[u8], args: &Args) -> Result<Box<dyn Endpoint>, Problem> {
    parse(name).map_err(|misnamed| Problem::at(args.span_of("path"), misnamed.message).help(misnamed.help))
}

/// An open place to read from.
pub enum OpenReader {
    /// A descriptor, which is read on a thread.
    Descriptor(Incoming),
    /// Anything else, which the reactor waits for.
    Stream(Box<dyn StreamReader>),
}

impl From<Incoming> for OpenReader {
    fn from(incoming: Incoming) -> Self {
        Self::Descriptor(incoming)
    }
}

/// An open place to write to.
pub enum OpenWriter {
    /// A descriptor, which is written on a thread.
    Descriptor(Outgoing),
    /// Anything else, which the reactor waits for.
    Stream(Box<dyn StreamWriter>),
}

impl From<Outgoing> for OpenWriter {
    fn from(outgoing: Outgoing) -> Self {
        Self::Descriptor(outgoing)
    }
}

/// An open descriptor to read from.
#[derive(Debug)]
pub struct Incoming {
    /// Where the bytes are.
    pub descriptor: Arc<Descriptor>,
    /// How many it has, where that is known: a regular file's size at its opening.
    pub size: Option<u64>,
    /// The length of the whole file at its opening, where it has one.
    pub length: Option<u64>,
    /// How many bytes were skipped without being read.
    pub skipped: u64,
}

impl Incoming {
    fn new(descriptor: Descriptor, size: Option<u64>) -> Self {
        Self {
            length: length(&descriptor),
            descriptor: Arc::new(descriptor),
            size,
            skipped: 0,
        }
    }
}

/// The length of a file as the system has it now.
fn length(descriptor: &Descriptor) -> Option<u64> {
    descriptor.stat().ok().and_then(|stat| u64::try_from(stat.st_size).ok())
}

/// An open descriptor to write to.
pub struct Outgoing {
    /// Where the bytes go.
    pub descriptor: Descriptor,
    /// What makes them complete and durable there.
    pub landing: Box<dyn Landing>,
    /// Which error a peer that left is.
    pub reader_left: Kind,
}

/// How a place can have holes, which read as zeros and take no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holes {
    /// Not at all.
    None,
    /// By making the file longer: nobody else writes to it.
    Grow,
    /// By giving back the room of zeros that were written: others may write to the same file, but not at its offset.
    Punch,
}

/// The end of a successful write.
pub trait Landing: Send {
    /// Whether something is left to commit once all is prepared.
    fn phase(&self) -> Phase {
        Phase::Drained
    }
    /// Makes what was written safe where it is, short of what can still be taken back.
    ///
    /// # Errors
    /// If that fails.
    fn prepare(&mut self, descriptor: &Descriptor, alarm: BorrowedFd<'_>) -> Outcome {
        let _ = (descriptor, alarm);
        Ok(())
    }
    /// Makes what was written and prepared complete and durable.
    ///
    /// # Errors
    /// If that cannot be promised.
    fn land(self: Box<Self>, descriptor: &Descriptor, alarm: BorrowedFd<'_>) -> Outcome;
    /// Where to count what a peer takes meanwhile, so that it is seen to move.
    fn count_with(&mut self, meter: Arc<StageMeter>) {
        let _ = meter;
    }
    /// How holes can be left in it.
    fn holes(&self) -> Holes {
        Holes::None
    }
    /// So many more bytes were written.
    fn wrote(&self, count: u64) {
        let _ = count;
    }
    /// Whether landing waits until the disk has everything.
    fn is_durable(&self) -> bool {
        false
    }
    /// How to take back what was done.
    fn undo(&self) -> Option<Arc<dyn Undo>> {
        None
    }
    /// Where it is noted how far the write has come, if another run may go on with it. Given out once.
    fn journal(&mut self) -> Option<Journal> {
        None
    }
    /// What was written is not what was meant: removes all that another run would go on with.
    ///
    /// # Errors
    /// If that fails; the message names what is left behind.
    fn reject(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// The bytes are where they belong; a disk may not have them yet.
struct Landed {
    sync: bool,
}

impl Landed {
    /// What is written to `descriptor` as it is; only files have a disk behind them.
    fn new(descriptor: &Descriptor, writing: Writing) -> Self {
        Self {
            sync: writing.sync && descriptor.shape() == Shape::File,
        }
    }
}

impl Landing for Landed {
    fn land(self: Box<Self>, descriptor: &Descriptor, _: BorrowedFd<'_>) -> Outcome {
        Ok(make_durable(descriptor, self.sync)?)
    }

    fn is_durable(&self) -> bool {
        self.sync
    }
}

/// Waits until the disk has everything.
fn sync_file(descriptor: &Descriptor) -> Result<(), Failure> {
    files::sync_if_possible(descriptor).map_err(|error| Failure::io(Kind::Sink, "cannot make it durable", error))
}

/// Waits until the disk has everything, where that is wanted, and asks for an error that is told only
/// when a file is closed.
fn make_durable(descriptor: &Descriptor, sync: bool) -> Result<(), Failure> {
    if sync {
        sync_file(descriptor)?;
    }
    (descriptor.close_error()).map_err(|error| Failure::io(Kind::Sink, "cannot finish the file", error))
}

/// Reads an endpoint's name.
///
/// # Errors
/// If the scheme is unknown, or the kind of place finds fault with the rest.
pub fn parse(name: &[u8]) -> Named {
    if name.is_empty() {
        return Err(Misnamed::new(
            "an endpoint needs a name",
            "name a file, or use - for standard input or output",
        ));
    }
    if let Some(scheme) = SCHEMES
        .iter()
        .find(|scheme| !scheme.prefix.is_empty() && is_named_by(name, scheme))
    {
        return (scheme.parse)(&name[scheme.prefix.len()..]);
    }
    if let Some(unknown) = unknown_scheme(name) {
        let known: Vec<&str> = SCHEMES.iter().map(|scheme| scheme.form).collect();
        let near = SCHEMES
            .iter()
            .map(|scheme| scheme.prefix)
            .filter(|prefix| strsim::damerau_levenshtein(prefix.trim_end_matches(['/', ':']), unknown) <= 1)
            .find(|prefix| prefix.len() > 1)
            .map(|prefix| format!("did you mean `{prefix}`? "))
            .unwrap_or_default();
        return Err(Misnamed::new(
            format!("unknown scheme `{unknown}`"),
            format!("{near}known endpoints: {}", known.join(", ")),
        ));
    }
    (file::SCHEME.parse)(name)
}

/// `-` stands alone; every other prefix is followed by the name.
fn is_named_by(name: &[u8], scheme: &Scheme) -> bool {
    match scheme.prefix {
        "-" => name == b"-",
        prefix => name.starts_with(prefix.as_bytes()),
    }
}

/// The scheme of something that looks like a URL and is none of ours; a path with a colon in it is a path.
fn unknown_scheme(name: &[u8]) -> Option<&str> {
    let at = name.windows(3).position(|three| three == b"://")?;
    let scheme = std::str::from_utf8(&name[..at]).ok()?;
    let plausible = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    plausible.then_some(scheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_picks_the_place() {
        for (name, shown) in [
            ("a.iso", "a.iso"),
            ("file:a.iso", "a.iso"),
            ("-", "-"),
            ("a:b", "a:b"),
            ("tcp://[::1]:9000", "tcp://[::1]:9000"),
            ("tcp-listen://:0", "tcp-listen://127.0.0.1:0"),
            ("unix:a.sock", "unix:a.sock"),
            ("unix-listen:/tmp/a", "unix-listen:/tmp/a"),
        ] {
            let endpoint = parse(name.as_bytes()).unwrap_or_else(|problem| panic!("{name}: {problem:?}"));
            assert_eq!(endpoint.shown(), shown);
        }
    }

    #[test]
    fn a_scheme_that_means_something_else_is_not_taken_for_a_slip() {
        for other in ["http", "https", "ftp", "udp"] {
            let problem = parse(format!("{other}://host/x").as_bytes()).err().expect("unknown");
            assert!(problem.help.starts_with("known endpoints: "), "{}", problem.help);
        }
    }

    #[test]
    fn an_unknown_scheme_lists_the_known_ones() {
        let problem = parse(b"tpc://host:1").err().expect("unknown");
        assert_eq!(problem.message, "unknown scheme `tpc`");
        assert!(
            problem.help.starts_with("did you mean `tcp://`? known endpoints: "),
            "{}",
            problem.help
        );
    }
}
