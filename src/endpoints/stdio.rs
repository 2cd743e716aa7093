//! Standard input and output, and other descriptors that the process was started with.

use std::os::fd::RawFd;

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use crate::catalog::{Access, Args, Scheme};
use crate::error::{Failure, Kind};
use crate::platform::{Descriptor, FileId, FilePlace, block_device_size, files, is_sparse};
use crate::stage::{BoxFuture, Endpoint, Facts, Incoming, OpenReader, OpenWriter, Outgoing};

use super::Kept;
use super::file::{SYNC, ZERO_COPY};

/// `-`
pub static SCHEME: Scheme = Scheme {
    form: "-",
    prefix: "-",
    summary: "standard input or output",
    read: Some(Access {
        params: &[ZERO_COPY],
        place: |_, args| Ok(Box::new(Inherited::standard().read_as(args))),
    }),
    write: Some(Access {
        params: &[SYNC],
        place: |_, args| Ok(Box::new(Inherited::standard().written_as(args))),
    }),
};

/// A descriptor that the process was started with.
pub struct Inherited {
    /// `None` is standard input as a source, and standard output as a sink.
    number: Option<RawFd>,
    shown: String,
    /// Whether a file's pages may be sent without a copy.
    lends_pages: bool,
    /// Whether to wait until the disk has everything.
    sync: bool,
}

impl Inherited {
    /// `-`
    pub fn standard() -> Self {
        Self {
            number: None,
            shown: "-".to_owned(),
            lends_pages: false,
            sync: true,
        }
    }

    /// The descriptor with that number, which the user called `shown`.
    pub fn numbered(number: RawFd, shown: String) -> Self {
        Self {
            number: Some(number),
            shown,
            ..Self::standard()
        }
    }

    /// Applies the parameters of `read`.
    pub fn read_as(self, args: &Args) -> Self {
        Self {
            lends_pages: args.flag(ZERO_COPY.name),
            ..self
        }
    }

    /// Applies the parameters of `write`.
    pub fn written_as(self, args: &Args) -> Self {
        Self {
            sync: args.flag(SYNC.name),
            ..self
        }
    }

    /// Whether it is standard input or output, which carry the stream.
    pub fn carries_stream(&self) -> bool {
        matches!(self.number, None | Some(0 | 1))
    }

    fn input(&self) -> Result<Descriptor, Failure> {
        match self.number {
            None => Descriptor::standard_input(),
            Some(number) => Descriptor::numbered(number, OFlags::RDONLY),
        }
        .map_err(|error| self.failed(Kind::Source, error))
    }

    fn output(&self) -> Result<Descriptor, Failure> {
        match self.number {
            None => Descriptor::standard_output(),
            Some(number) => Descriptor::numbered(number, OFlags::WRONLY),
        }
        .map_err(|error| self.failed(Kind::Sink, error))
    }

    fn failed(&self, place: Kind, error: std::io::Error) -> Failure {
        let (name, what) = match place {
            Kind::Source => ("standard input", "reading"),
            _ => ("standard output", "writing"),
        };
        match self.number {
            None => Failure::io(place, format!("cannot open {name}"), error),
            Some(number) if Errno::from_io_error(&error) == Some(Errno::BADF) => {
                let why = format!("descriptor {number} is not open for {what}");
                Failure::because(place, "cannot open", why)
            }
            Some(_) => Failure::io(place, "cannot open", error),
        }
    }

    fn facts(&self, place: Kind, descriptor: &Descriptor) -> Result<Facts, Failure> {
        let failed = |error| self.failed(place, error);
        let stat = descriptor.stat().map_err(failed)?;
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            return Err(failed(Errno::ISDIR.into()));
        }
        Ok(Facts {
            files: FilePlace::of(&stat).into_iter().collect(),
            stream: Some(FileId::of(&stat)),
            size: size_ahead(descriptor),
            is_sparse: is_sparse(&stat),
            lends_pages: self.lends_pages,
            ..Facts::of(descriptor.shape())
        })
    }
}

/// Bytes between the offset and the end of a regular file or a block device.
fn size_ahead(descriptor: &Descriptor) -> Option<u64> {
    let stat = descriptor.stat().ok()?;
    let size = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => u64::try_from(stat.st_size).ok()?,
        FileType::BlockDevice => block_device_size(&stat)?,
        _ => return None,
    };
    let offset = files::tell(descriptor).ok()?;
    size.checked_sub(offset)
}

impl Endpoint for Inherited {
    fn shown(&self) -> String {
        self.shown.clone()
    }

    fn is_standard(&self) -> bool {
        self.carries_stream()
    }

    fn direct(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn can_resume(&self) -> Result<(), &'static str> {
        Err(match self.number {
            None | Some(0 | 1) => "a standard stream",
            Some(_) => "an open descriptor",
        })
    }

    fn source_facts(&self) -> Result<Facts, Failure> {
        self.facts(Kind::Source, &self.input()?)
    }

    fn sink_facts(&self) -> Result<Facts, Failure> {
        self.facts(Kind::Sink, &self.output()?)
    }

    fn effect(&self) -> String {
        match self.number {
            None | Some(1) => "writes to standard output".to_owned(),
            Some(2) => "writes to standard error".to_owned(),
            Some(number) => format!("writes to descriptor {number}"),
        }
    }

    fn open_reader(self: Box<Self>) -> BoxFuture<'static, Result<OpenReader, Failure>> {
        Box::pin(async move {
            let descriptor = self.input()?;
            let size = size_ahead(&descriptor);
            let mut incoming = Incoming::new(descriptor, size);
            incoming.lends_pages = self.lends_pages;
            Ok(incoming.into())
        })
    }

    fn open_writer(self: Box<Self>) -> BoxFuture<'static, Result<OpenWriter, Failure>> {
        Box::pin(async move {
            let descriptor = self.output()?;
            let commit = Box::new(Kept::new(&descriptor, self.sync));
            let mut outgoing = Outgoing::new(descriptor, commit);
            if matches!(self.number, None | Some(1)) {
                // When the reader of our standard output closes it, as `head` does, the run ends with a code of its
                // own.
                outgoing.reader_left = Kind::ReaderLeft;
            }
            Ok(outgoing.into())
        })
    }
}
