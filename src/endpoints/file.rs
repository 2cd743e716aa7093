//! Files, and whatever else has a path: devices and FIFOs.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::error::{Failure, Kind, shown};
use crate::grammar::human_size;
use crate::platform::{Descriptor, FilePlace, Shape, block_device_size, files, is_sparse, named_descriptor};
use crate::stage::{BoxFuture, Facts, Undertaking};

use super::stdio::Inherited;
use super::{
    Endpoint, Existing, Incoming, Landed, Misnamed, OpenReader, OpenWriter, Outgoing, Patience, Scheme, Writing,
};

mod in_place;
mod obstacle;
mod partial;
mod replacement;
mod target;
mod temporary;

use in_place::InPlace;
use partial::Partial;
use replacement::Replacement;
use target::Target;

/// A path, plain or as `file:PATH`.
pub static SCHEME: Scheme = Scheme {
    form: "file:PATH",
    prefix: "file:",
    summary: "a file, device or FIFO; the plain path means the same",
    parse: |path| {
        if path.is_empty() {
            return Err(Misnamed::new(
                "the path is missing",
                "write file:PATH, or just the path",
            ));
        }
        if path.contains(&0) {
            return Err(Misnamed::new("a path cannot hold a zero byte", "remove it"));
        }
        let path = PathBuf::from(OsStr::from_bytes(path));
        Ok(match named_descriptor(&path) {
            Some(number) => Box::new(Inherited::numbered(number, shown(path.as_os_str().as_bytes()))),
            None => Box::new(File { path }),
        })
    },
};

/// How often a FIFO without a reader is looked at: nothing announces that one came.
const GLANCE: Duration = Duration::from_millis(10);

struct File {
    path: PathBuf,
}

/// What somebody meant who wrote what is no name of a file, but might be something else elsewhere.
fn meant(name: &[u8]) -> Option<&'static str> {
    /// `“ ” „ ‘ ’ « »`: what word processors and web pages put in the place of quotes.
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

/// A file's length for people.
fn human_length(stat: &Stat) -> String {
    human_size(u64::try_from(stat.st_size).unwrap_or(0))
}

impl File {
    fn stat(&self) -> Result<Stat, Errno> {
        files::stat(&self.path)
    }

    /// Says of a missing file what was not expanded, if its name looks as if it should have been.
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

    /// The place of the file that it leads to.
    fn target(&self, writing: Writing) -> Result<Target, Failure> {
        Target::find(&self.path, writing).map_err(|error| self.failed(Kind::Sink, "cannot create", error))
    }

    /// Opens a device or a FIFO where it is; a FIFO waits for its reader.
    async fn open_special(&self, writing: Writing) -> Result<Outgoing, Failure> {
        let fd = loop {
            match self.open(OFlags::WRONLY) {
                Ok(fd) => break fd,
                Err(Errno::NXIO) if self.stat().is_ok_and(|stat| file_type(&stat) == FileType::Fifo) => {
                    tokio::time::sleep(GLANCE).await;
                }
                Err(error) => return Err(self.failed(Kind::Sink, "cannot open", error)),
            }
        };
        let descriptor = Descriptor::own(fd).map_err(|error| Failure::io(Kind::Sink, "cannot open", error))?;
        Ok(Outgoing {
            landing: Box::new(Landed::new(&descriptor, writing)),
            descriptor,
            reader_left: Kind::Sink,
        })
    }
}

fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn size(stat: &Stat) -> Option<u64> {
    // Files of /proc say 0 whatever they hold.
    u64::try_from(stat.st_size).ok().filter(|size| *size > 0)
}

fn facts(stat: &Stat) -> Facts {
    let is_file = file_type(stat) == FileType::RegularFile;
    Facts {
        files: FilePlace::of(stat).into_iter().collect(),
        size: size(stat).filter(|_| is_file),
        is_sparse: is_sparse(stat),
        shape: match file_type(stat) {
            FileType::Fifo => Some(Shape::Pipe),
            FileType::CharacterDevice => Some(Shape::Device),
            FileType::RegularFile | FileType::BlockDevice => Some(Shape::File),
            _ => None,
        },
        ..Facts::default()
    }
}

impl Endpoint for File {
    fn shown(&self) -> String {
        shown(self.path.as_os_str().as_bytes())
    }

    fn regular_file(&self) -> Result<(), &'static str> {
        match self.stat().map(|stat| file_type(&stat)) {
            // One that is missing is created, or missed when it is opened.
            Ok(FileType::RegularFile | FileType::Directory) | Err(_) => Ok(()),
            Ok(FileType::Fifo) => Err("a FIFO"),
            Ok(FileType::Socket) => Err("a socket"),
            Ok(_) => Err("a device"),
        }
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
            _ => Ok(facts(&stat)),
        }
    }

    fn sink_facts(&self) -> Result<Facts, Failure> {
        match self.stat() {
            Ok(stat) if file_type(&stat) == FileType::Directory => {
                Err(self.failed(Kind::Sink, "cannot create", Errno::ISDIR))
            }
            Ok(stat) => Ok(facts(&stat)),
            Err(Errno::NOENT) => {
                let place = FilePlace::find(&self.path);
                let place = place.map_err(|error| self.failed(Kind::Sink, "cannot create", error))?;
                Ok(Facts {
                    files: place.into_iter().collect(),
                    ..Facts::of(Shape::File)
                })
            }
            Err(error) => Err(self.failed(Kind::Sink, "cannot create", error)),
        }
    }

    fn permit(&self, writing: Writing) -> Result<(), Failure> {
        let old = self.stat();
        if !writing.clobber && old.is_ok() {
            return Err(target::spared());
        }
        let is_special = old.is_ok_and(|stat| file_type(&stat) != FileType::RegularFile);
        if is_special || writing.existing != Existing::Replace {
            return Ok(());
        }
        obstacle::check(&self.target(writing)?, old.ok().as_ref())
    }

    fn companions(&self, writing: Writing) -> Result<Vec<FilePlace>, Failure> {
        let target = self.target(writing)?;
        partial::companions(&target).map_err(|error| self.failed(Kind::Sink, "cannot create", error))
    }

    fn effect(&self, writing: Writing) -> String {
        let shown = self.shown();
        match self.stat() {
            Err(_) => format!("creates {shown}"),
            Ok(stat) if file_type(&stat) != FileType::RegularFile => format!("writes to {shown} in place"),
            Ok(stat) => {
                let length = human_length(&stat);
                match writing.existing {
                    Existing::Replace => format!("replaces {shown} ({length})"),
                    Existing::Empty => format!("empties {shown} ({length}) and writes to it"),
                    Existing::Append => format!("appends to {shown} ({length})"),
                }
            }
        }
    }

    fn open_reader(self: Box<Self>, _: Patience) -> BoxFuture<'static, Result<OpenReader, Failure>> {
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
                // Only a hint: whoever refuses it loses speed, not bytes.
                let _ = files::advise_sequential(&descriptor);
            }
            Ok(Incoming::new(descriptor, facts.size).into())
        })
    }

    fn open_writer(self: Box<Self>, writing: Writing, _: Patience) -> BoxFuture<'static, Result<OpenWriter, Failure>> {
        Box::pin(async move {
            let old = self.stat();
            if old.is_ok_and(|stat| file_type(&stat) != FileType::RegularFile) {
                return self.open_special(writing).await.map(OpenWriter::Descriptor);
            }
            let outgoing = match writing.existing {
                Existing::Replace => Replacement::create(self.target(writing)?, writing.sync),
                Existing::Empty | Existing::Append => InPlace::open(&self.path, writing).map_err(|error| match error {
                    Errno::EXIST if !writing.clobber => target::spared(),
                    error => self.failed(Kind::Sink, "cannot create", error),
                }),
            };
            outgoing.map(OpenWriter::Descriptor)
        })
    }

    fn open_resumable(
        self: Box<Self>,
        writing: Writing,
        undertaking: Undertaking,
    ) -> BoxFuture<'static, Result<Outgoing, Failure>> {
        Box::pin(async move { Partial::open(self.target(writing)?, &undertaking) })
    }
}
