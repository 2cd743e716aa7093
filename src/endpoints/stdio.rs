//! Standard input and output, and other descriptors that the process was started with.

use std::os::fd::RawFd;

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use crate::error::{Failure, Kind};
use crate::platform::{Descriptor, FileId, FilePlace, Shape, block_device_size, files, is_sparse};
use crate::stage::{BoxFuture, Facts};

use super::{Endpoint, Incoming, Landed, OpenReader, OpenWriter, Outgoing, Patience, Scheme, Writing};

/// `-`
pub static SCHEME: Scheme = Scheme {
    form: "-",
    prefix: "-",
    summary: "standard input or output",
    parse: |_| Ok(Box::new(Inherited::standard())),
};

/// A descriptor that the process was started with.
pub struct Inherited {
    /// `None` is standard input as a source, and standard output as a sink.
    number: Option<RawFd>,
    shown: String,
}

impl Inherited {
    /// `-`
    pub fn standard() -> Self {
        Self {
            number: None,
            shown: "-".to_owned(),
        }
    }

    /// The descriptor of that number, which the user called `shown`.
    pub fn numbered(number: RawFd, shown: String) -> Self {
        Self {
            number: Some(number),
            shown,
        }
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
            is_terminal: descriptor.shape() == Shape::Terminal,
            shape: Some(descriptor.shape()),
            is_sparse: is_sparse(&stat),
            lends_pages: false,
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

    fn regular_file(&self) -> Result<(), &'static str> {
        Err(match self.number {
            None | Some(0 | 1) => "a standard stream",
            Some(_) => "an open descriptor",
        })
    }

    fn carries_stream(&self) -> bool {
        matches!(self.number, None | Some(0 | 1))
    }

    fn source_facts(&self) -> Result<Facts, Failure> {
        self.facts(Kind::Source, &self.input()?)
    }

    fn sink_facts(&self) -> Result<Facts, Failure> {
        self.facts(Kind::Sink, &self.output()?)
    }

    fn effect(&self, _: Writing) -> String {
        match self.number {
            None | Some(1) => "writes to standard output".to_owned(),
            Some(2) => "writes to standard error".to_owned(),
            Some(number) => format!("writes to descriptor {number}"),
        }
    }

    fn open_reader(self: Box<Self>, _: Patience) -> BoxFuture<'static, Result<OpenReader, Failure>> {
        Box::pin(async move {
            let descriptor = self.input()?;
            let size = size_ahead(&descriptor);
            Ok(Incoming::new(descriptor, size).into())
        })
    }

    fn open_writer(self: Box<Self>, writing: Writing, _: Patience) -> BoxFuture<'static, Result<OpenWriter, Failure>> {
        Box::pin(async move {
            let descriptor = self.output()?;
            let outgoing = Outgoing {
                landing: Box::new(Landed::new(&descriptor, writing)),
                descriptor,
                // The reader of our standard output leaves as `head` does.
                reader_left: match self.number {
                    None | Some(1) => Kind::ReaderLeft,
                    Some(_) => Kind::Sink,
                },
            };
            Ok(outgoing.into())
        })
    }
}
