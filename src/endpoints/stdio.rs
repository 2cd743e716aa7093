//! Standard input and output.

use crate::error::{Failure, Kind};
use crate::platform::{Descriptor, FilePlace, Shape, files};
use crate::stage::{BoxFuture, Facts};

use super::{Endpoint, Incoming, Landed, Outgoing, Patience, Scheme, Writing};

/// `-`
pub static SCHEME: Scheme = Scheme {
    form: "-",
    prefix: "-",
    summary: "standard input or output",
    parse: |_| Ok(Box::new(Standard)),
};

/// Standard input as a source, standard output as a sink.
pub struct Standard;

impl Standard {
    fn input() -> Result<Descriptor, Failure> {
        Descriptor::standard_input().map_err(no_input)
    }

    fn output() -> Result<Descriptor, Failure> {
        Descriptor::standard_output().map_err(no_output)
    }
}

fn no_input(error: std::io::Error) -> Failure {
    Failure::io(Kind::Source, "cannot open standard input", error)
}

fn no_output(error: std::io::Error) -> Failure {
    Failure::io(Kind::Sink, "cannot open standard output", error)
}

/// Bytes between a regular file's offset and its end.
fn size_ahead(descriptor: &Descriptor) -> Option<u64> {
    descriptor.file_id().ok()??;
    let size = u64::try_from(descriptor.stat().ok()?.st_size).ok()?;
    let offset = files::tell(descriptor).ok()?;
    size.checked_sub(offset)
}

fn facts(descriptor: &Descriptor) -> std::io::Result<Facts> {
    Ok(Facts {
        files: descriptor.file_id()?.map(FilePlace::File).into_iter().collect(),
        size: size_ahead(descriptor),
        is_terminal: descriptor.shape() == Shape::Terminal,
        shape: Some(descriptor.shape()),
        lends_pages: false,
    })
}

impl Endpoint for Standard {
    fn shown(&self) -> String {
        "-".to_owned()
    }

    fn regular_file(&self) -> Result<(), &'static str> {
        Err("a standard stream")
    }

    fn source_facts(&self) -> Result<Facts, Failure> {
        facts(&Self::input()?).map_err(no_input)
    }

    fn sink_facts(&self) -> Result<Facts, Failure> {
        facts(&Self::output()?).map_err(no_output)
    }

    fn effect(&self, _: Writing) -> String {
        "writes to standard output".to_owned()
    }

    fn open_source(self: Box<Self>, _: Patience) -> BoxFuture<'static, Result<Incoming, Failure>> {
        Box::pin(async {
            let descriptor = Self::input()?;
            let size = size_ahead(&descriptor);
            Ok(Incoming::new(descriptor, size))
        })
    }

    fn open_sink(self: Box<Self>, _: Writing, _: Patience) -> BoxFuture<'static, Result<Outgoing, Failure>> {
        Box::pin(async {
            Ok(Outgoing {
                descriptor: Self::output()?,
                landing: Box::new(Landed),
                reader_left: Kind::ReaderLeft,
            })
        })
    }
}
