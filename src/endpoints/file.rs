//! Files and everything else that has a path: devices and FIFOs.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::catalog::{Access, Misnamed, Scheme};
use crate::error::{Failure, Kind, Problem, shown};
use crate::grammar::human_size;
use crate::platform::{
    Descriptor, FINDS_HOLES, FilePlace, Shape, block_device_size, files, is_sparse, named_descriptor,
};
use crate::stage::{
    BoxFuture, Endpoint, Facts, FileIdentity, Holes, Incoming, OpenReader, OpenWriter, Outgoing, Resumption,
    SourceIdentity,
};

use super::stdio::Inherited;
use super::{Kept, follow};

mod appended;
mod draft;
mod in_place;
mod noter;
mod obstacle;
mod options;
mod partial;
mod replacement;
mod resumed;
mod target;
mod temporary;
mod verifier;

pub use options::{SYNC, ZERO_COPY};
pub use temporary::is_ours;

use in_place::InPlace;
use options::{Existing, Sparse, WriteOptions};
use partial::Partial;
use replacement::Replacement;
use target::Target;
use verifier::Verifier;

/// A path, plain or as `file:PATH`.
pub static SCHEME: Scheme = Scheme {
    form: "file:PATH",
    prefix: "file:",
    summary: "a file, device or FIFO; the plain path means the same",
    read: Some(Access {
        params: &[ZERO_COPY, follow::FOLLOW, follow::FROM, follow::STATE],
        place: |path, args| {
            let path = checked(path).map_err(|wrong| wrong.of(args))?;
            if let Some(followed) = follow::followed(&path, args) {
                return followed;
            }
            Ok(match open_descriptor(&path) {
                Some(descriptor) => Box::new(descriptor.read_as(args)),
                None => Box::new(File {
                    lends_pages: args.flag(ZERO_COPY.name),
                    ..File::at(path)
                }),
            })
        },
    }),
    write: Some(Access {
        params: options::WRITE,
        place: |path, args| {
            let path = checked(path).map_err(|wrong| wrong.of(args))?;
            let Some(descriptor) = open_descriptor(&path) else {
                let file = File::at(path);
                return Ok(Box::new(File {
                    options: WriteOptions::of(args, file.can_resume().err())?,
                    ..file
                }));
            };
            let mut others = options::WRITE.iter().map(|param| param.name);
            if let Some(other) = others.find(|name| *name != SYNC.name && args.is_given(name)) {
                let message = format!("an open descriptor does not support `{other}`");
                return Err(Problem::at(args.span_of(other), message).help("leave it out"));
            }
            Ok(Box::new(descriptor.written_as(args)))
        },
    }),
};

fn checked(path: &[u8]) -> Result<PathBuf, Misnamed> {
    if path.is_empty() {
        return Err(Misnamed::new(
            "the path is missing",
            "write file:PATH, or just the path",
        ));
    }
    if path.contains(&0) {
        return Err(Misnamed::new("a path cannot hold a zero byte", "remove it"));
    }
    Ok(PathBuf::from(OsStr::from_bytes(path)))
}

/// The descriptor that a path such as /dev/fd/3 names.
fn open_descriptor(path: &Path) -> Option<Inherited> {
    let number = named_descriptor(path)?;
    Some(Inherited::numbered(number, shown(path.as_os_str().as_bytes())))
}

/// The error for a standard stream in place of a file beside the stream.
pub fn carries_stream() -> Misnamed {
    Misnamed::new(
        "the standard streams carry the stream and nothing else",
        "name a file; /dev/stderr is one",
    )
}

/// The path of a regular file, existing or not.
///
/// # Errors
/// If it names something else.
pub fn regular_path(name: &[u8]) -> Result<PathBuf, Misnamed> {
    let (scheme, path) = Scheme::find(super::SCHEMES, name)?;
    let path = (scheme.prefix == SCHEME.prefix).then(|| checked(path)).transpose()?;
    path.filter(|path| open_descriptor(path).is_none())
        .ok_or_else(|| Misnamed::new("it is not a regular file", "name a file"))
}

/// The endpoint of a small file that is written beside the stream.
///
/// # Errors
/// If the path is invalid, or that of a standard stream.
pub fn beside_stream(path: &[u8]) -> Result<Box<dyn Endpoint>, Misnamed> {
    let path = checked(path)?;
    Ok(match open_descriptor(&path) {
        Some(descriptor) if descriptor.carries_stream() => return Err(carries_stream()),
        Some(descriptor) => Box::new(descriptor),
        None => Box::new(File::at(path)),
    })
}

/// How often a FIFO without a reader is tried: no event announces a reader.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

struct File {
    path: PathBuf,
    /// Whether its pages may be sent without a copy.
    lends_pages: bool,
    options: WriteOptions,
    /// Whether the source has holes, and its bytes arrive unchanged.
    expects_holes: bool,
    /// What it knows of the pipeline, if a later run may continue this one.
    resumption: Resumption,
}

/// Guesses what was meant by a name that is not a file but means something elsewhere.
fn meant(name: &[u8]) -> Option<&'static str> {
    /// `“ ” „ ‘ ’ « »`: typographic quotes, which word processors and web pages substitute.
    const TYPOGRAPHIC: [&str; 7] = [
        "\u{201c}", "\u{201d}", "\u{201e}", "\u{2018}", "\u{2019}", "\u{ab}", "\u{bb}",
    ];
    match name {
        b">" | b">>" | b"<" | b"&" | b"2>" => Some("nothing is redirected inside a pipeline; write `| write FILE`"),
        b"|" => Some("among the shell's own words, `::` stands between stages"),
        b"::" => Some("inside a quoted pipeline, `|` stands between stages"),
        b"->" | b"=>" | b":" => Some("between stages stands `|`, or `::` among the shell's own words"),
        _ => {
            let text = str::from_utf8(name).ok()?;
            let is_quoted = TYPOGRAPHIC
                .iter()
                .any(|quote| text.starts_with(quote) || text.ends_with(quote));
            is_quoted.then_some("typographic quotes are letters of the name; quote with ' or \"")
        }
    }
}

/// A file's length in readable form.
fn human_length(stat: &Stat) -> String {
    human_size(u64::try_from(stat.st_size).unwrap_or(0))
}

impl File {
    fn at(path: PathBuf) -> Self {
        Self {
            path,
            lends_pages: false,
            options: WriteOptions::default(),
            expects_holes: false,
            resumption: Resumption::default(),
        }
    }

    fn stat(&self) -> Result<Stat, Errno> {
        files::stat(&self.path)
    }

    /// For a missing file, also explains what was not expanded, if its name looks as if it should have been.
    fn failed(&self, place: Kind, operation: &str, error: Errno) -> Failure {
        let name = self.path.as_os_str().as_bytes();
        if error == Errno::NOENT
            && let Some(meant) = meant(name)
        {
            return Failure::because(place, operation, format!("No such file or directory ({meant})"));
        }
        if error == Errno::ISDIR && place == Kind::Sink {
            let is_there = self.stat().is_ok_and(|stat| file_type(&stat) == FileType::Directory);
            let why = if is_there {
                "Is a directory (name a file in it)"
            } else {
                "No such directory (the name of a file does not end in a slash)"
            };
            return Failure::because(place, operation, why);
        }
        let unexpanded = match name {
            [b'~', ..] => Some("~"),
            _ if name.contains(&b'*') => Some("*"),
            _ if name.contains(&b'$') => Some("$"),
            _ => None,
        };
        match unexpanded {
            Some(sign) if error == Errno::NOENT => Failure::because(
                place,
                operation,
                format!(
                    "No such file or directory (`{sign}` is not expanded here; let the shell do it, with `::` between stages)"
                ),
            ),
            _ => Failure::io(place, operation, error),
        }
    }

    fn open(&self, access: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = access | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        files::open(&self.path, flags, Mode::empty())
    }

    /// The target that the path leads to.
    fn target(&self) -> Result<Target, Failure> {
        Target::find(&self.path, &self.options).map_err(|error| self.failed(Kind::Sink, "cannot create", error))
    }

    /// Opens a device or a FIFO in place; a FIFO waits for its reader.
    async fn open_special(&self) -> Result<Outgoing, Failure> {
        let fd = loop {
            match self.open(OFlags::WRONLY) {
                Ok(fd) => break fd,
                Err(Errno::NXIO) if self.stat().is_ok_and(|stat| file_type(&stat) == FileType::Fifo) => {
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
                Err(error) => return Err(self.failed(Kind::Sink, "cannot open", error)),
            }
        };
        let descriptor = Descriptor::own(fd).map_err(|error| Failure::io(Kind::Sink, "cannot open", error))?;
        let commit = Box::new(Kept::new(&descriptor, self.options.sync));
        Ok(Outgoing::new(descriptor, commit))
    }

    /// Opens it for writing, according to the options.
    async fn open_any(&mut self) -> Result<Outgoing, Failure> {
        if let Some(key) = self.resumption.key() {
            let run = std::mem::take(&mut self.resumption);
            return Partial::open(self.target()?, &key, run, self.options.checks);
        }
        match self.stat() {
            Ok(stat) if file_type(&stat) != FileType::RegularFile => return self.open_special().await,
            Ok(_) | Err(Errno::NOENT) => {}
            // It may be a device, which must not be replaced.
            Err(error) => return Err(self.failed(Kind::Sink, "cannot open", error)),
        }
        match self.options.existing {
            Existing::Replace => Replacement::create(self.target()?, self.options.sync),
            Existing::Empty | Existing::Append => {
                InPlace::open(&self.path, &self.options).map_err(|error| match error {
                    Errno::EXIST if !self.options.clobber => target::spared(),
                    error => self.failed(Kind::Sink, "cannot create", error),
                })
            }
        }
    }
}

/// Checks that the file is still regular, as it was (or absent) when the pipeline was planned.
fn can_be_read_back(descriptor: &Descriptor) -> Result<(), Failure> {
    let operation = "cannot be read back";
    match descriptor.file_id() {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(Failure::because(
            Kind::Usage,
            operation,
            "it is not a regular file any more",
        )),
        Err(error) => Err(Failure::io(Kind::Sink, operation, error)),
    }
}

fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn size(stat: &Stat) -> Option<u64> {
    // Files of /proc state a size of 0 whatever they hold.
    u64::try_from(stat.st_size).ok().filter(|size| *size > 0)
}

fn facts(stat: &Stat) -> Facts {
    let is_file = file_type(stat) == FileType::RegularFile;
    Facts {
        files: FilePlace::of(stat).into_iter().collect(),
        size: size(stat).filter(|_| is_file),
        is_sparse: is_sparse(stat),
        ..match file_type(stat) {
            FileType::Fifo => Facts::of(Shape::Pipe),
            FileType::CharacterDevice => Facts::of(Shape::Device),
            FileType::RegularFile | FileType::BlockDevice => Facts::of(Shape::File),
            _ => Facts::default(),
        }
    }
}

impl Endpoint for File {
    fn shown(&self) -> String {
        shown(self.path.as_os_str().as_bytes())
    }

    fn direct(&self) -> Result<(), &'static str> {
        let sees_zeros = self.options.sparse != Sparse::Auto && self.can_resume().is_ok();
        if sees_zeros || !self.options.checks.is_none() {
            return Err("the sink looks at what it writes");
        }
        Ok(())
    }

    fn keeps_parts(&self) -> bool {
        let is_plain = !self.stat().is_ok_and(|stat| file_type(&stat) != FileType::RegularFile);
        self.options.existing == Existing::Append && self.options.sync && self.options.checks.is_none() && is_plain
    }

    fn state_bytes(&self) -> u64 {
        if self.options.checks.is_none() {
            0
        } else {
            Verifier::STATE
        }
    }

    fn can_resume(&self) -> Result<(), &'static str> {
        match self.stat().map(|stat| file_type(&stat)) {
            // A missing file is created, or reported when it is opened.
            Ok(FileType::RegularFile | FileType::Directory) | Err(_) => Ok(()),
            Ok(FileType::Fifo) => Err("a FIFO"),
            Ok(FileType::Socket) => Err("a socket"),
            Ok(_) => Err("a device"),
        }
    }

    fn identity(&self) -> Option<SourceIdentity> {
        let stat = self.stat().ok()?;
        FileIdentity::of(self.shown(), &stat).map(SourceIdentity::File)
    }

    fn source_facts(&self) -> Result<Facts, Failure> {
        let failed = |error| self.failed(Kind::Source, "cannot open", error);
        let stat = self.stat().map_err(failed)?;
        match file_type(&stat) {
            FileType::Directory => Err(failed(Errno::ISDIR)),
            FileType::Socket => Err(failed(Errno::NXIO)),
            FileType::BlockDevice => Ok(Facts {
                size: block_device_size(&stat),
                ..facts(&stat)
            }),
            _ => Ok(Facts {
                lends_pages: self.lends_pages,
                ..facts(&stat)
            }),
        }
    }

    fn sink_facts(&self) -> Result<Facts, Failure> {
        let failed = |error| self.failed(Kind::Sink, "cannot create", error);
        let mut facts = match self.stat() {
            Ok(stat) if file_type(&stat) == FileType::Directory => return Err(failed(Errno::ISDIR)),
            Ok(stat) => facts(&stat),
            Err(Errno::NOENT) => Facts {
                files: FilePlace::find(&self.path).map_err(failed)?.into_iter().collect(),
                ..Facts::of(Shape::File)
            },
            Err(error) => return Err(failed(error)),
        };
        if self.options.checks.resume.is_some() {
            facts
                .files
                .extend(partial::companions(&self.target()?).map_err(failed)?);
        }
        Ok(facts)
    }

    fn permit(&self) -> Result<(), Failure> {
        let old = match self.stat() {
            Err(error) if error != Errno::NOENT => return Err(self.failed(Kind::Sink, "cannot open", error)),
            old => old,
        };
        if !self.options.clobber && old.is_ok() {
            return Err(target::spared());
        }
        let is_special = old.is_ok_and(|stat| file_type(&stat) != FileType::RegularFile);
        if is_special || self.options.existing != Existing::Replace {
            return Ok(());
        }
        obstacle::check(&self.target()?, old.ok().as_ref())
    }

    fn effect(&self) -> String {
        let shown = self.shown();
        let mut effect = match self.stat() {
            Err(_) => format!("creates {shown}"),
            Ok(stat) if file_type(&stat) != FileType::RegularFile => format!("writes to {shown} in place"),
            Ok(stat) => {
                let length = human_length(&stat);
                match self.options.existing {
                    Existing::Replace => format!("replaces {shown} ({length})"),
                    Existing::Empty => format!("empties {shown} ({length}) and writes to it"),
                    Existing::Append => format!("appends to {shown} ({length})"),
                }
            }
        };
        if self.options.checks.resume.is_some() {
            let target = self.target();
            match target.and_then(|target| partial::goes_on_at(target, &self.resumption)) {
                Ok(None) => effect += ", and keeps what it has if the run ends early",
                Ok(Some(read)) => {
                    let read = human_size(read);
                    effect = format!("{effect}, going on at {read} of the source if that is unchanged");
                }
                Err(failure) => effect = format!("{effect}, but {failure}"),
            }
        }
        if self.options.checks.verify {
            effect += ", once it was read back and compared";
        }
        effect
    }

    fn expect_holes(&mut self) {
        self.expects_holes = true;
    }

    fn resumption(&mut self) -> Option<&mut Resumption> {
        self.options.checks.resume.is_some().then_some(&mut self.resumption)
    }

    fn checkpoints(&self) -> Option<(&'static str, u64)> {
        Some(("resume=true", self.options.checks.resume?))
    }

    fn open_reader(self: Box<Self>) -> BoxFuture<'static, Result<OpenReader, Failure>> {
        Box::pin(async move {
            let fd = self
                .open(OFlags::RDONLY)
                .map_err(|error| self.failed(Kind::Source, "cannot open", error))?;
            let failed = |error| Failure::io(Kind::Source, "cannot open", error);
            let descriptor = Descriptor::own(fd).map_err(failed)?;
            let stat = descriptor.stat().map_err(failed)?;
            if file_type(&stat) == FileType::Directory {
                return Err(self.failed(Kind::Source, "cannot open", Errno::ISDIR));
            }
            let facts = facts(&stat);
            if !facts.files.is_empty() {
                // Only a hint: without it speed is lost, not bytes.
                let _ = files::advise_sequential(&descriptor);
            }
            let mut incoming = Incoming::new(descriptor, facts.size);
            incoming.lends_pages = self.lends_pages;
            Ok(incoming.into())
        })
    }

    fn open_writer(mut self: Box<Self>) -> BoxFuture<'static, Result<OpenWriter, Failure>> {
        Box::pin(async move {
            let mut outgoing = self.open_any().await?;
            let WriteOptions { sparse, checks, .. } = self.options;
            if !checks.is_none()
                && let Err(failure) = can_be_read_back(outgoing.descriptor())
            {
                if let Some(rollback) = outgoing.rollback() {
                    rollback.roll_back().await?;
                }
                return Err(failure);
            }
            if checks.verify && outgoing.verify.is_none() {
                outgoing.verify = Some(Box::new(Verifier::new(true, None)));
            }
            let possible = outgoing.possible_holes();
            outgoing.holes = self.options.holes(possible, self.expects_holes);
            // The kernel keeps a source's holes, but finds no others.
            let sees_bytes = match sparse {
                Sparse::Always => outgoing.holes != Holes::None,
                Sparse::Never => possible != Holes::None,
                Sparse::Auto => match outgoing.holes {
                    Holes::None => false,
                    Holes::Grow => !FINDS_HOLES,
                    Holes::Punch => true,
                },
            };
            outgoing.is_direct = outgoing.verify.is_none() && !sees_bytes;
            Ok(outgoing.into())
        })
    }
}
