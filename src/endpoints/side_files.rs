//! Small files that stages write beside the stream, as atomically as the stream's own.

use tokio::runtime::Handle;

use crate::error::{Failure, Kind, Stop};
use crate::platform::{Interest, Transfer, Woken};
use crate::stage::{Cancel, Outcome, SideFiles};

use super::{Outgoing, Patience, Writing, file};

/// Files by their paths, whatever they are: one that is no regular file is written in place.
#[derive(Debug)]
pub struct FilesByPath {
    runtime: Handle,
}

impl FilesByPath {
    /// Files that are opened on this runtime, by threads that are not its own.
    #[must_use]
    pub fn new(runtime: Handle) -> Self {
        Self { runtime }
    }
}

impl SideFiles for FilesByPath {
    fn write(&self, path: &[u8], bytes: &[u8], cancel: &Cancel) -> Outcome {
        let refused = |misnamed: super::Misnamed| Failure::because(Kind::Sink, "cannot write", misnamed.message);
        let path = path.strip_prefix(file::SCHEME.prefix.as_bytes()).unwrap_or(path);
        let endpoint = (file::SCHEME.parse)(path).map_err(refused)?;
        let writing = Writing {
            append: false,
            clobber: true,
            sync: true,
            mode: None,
        };
        let opening = endpoint.open_sink(writing, Patience::default());
        let out = self.runtime.block_on(async {
            tokio::select! {
                opened = opening => opened.map_err(Stop::from),
                () = cancel.tripped() => Err(Stop::Neighbour),
            }
        })?;
        let undo = out.landing.undo();
        let written = write_and_land(out, bytes, cancel);
        if written.is_err()
            && let Some(undo) = undo
        {
            undo.undo()?;
        }
        written
    }
}

fn write_and_land(out: Outgoing, mut bytes: &[u8], cancel: &Cancel) -> Outcome {
    let failed = |error: std::io::Error| Failure::io(Kind::Sink, "cannot write", error);
    let alarm = cancel.alarm()?;
    while !bytes.is_empty() {
        match out.descriptor.write(bytes).map_err(failed)? {
            Transfer::Bytes(count) => bytes = &bytes[count..],
            Transfer::NotReady => {
                if out.descriptor.wait(Interest::Write, alarm).map_err(failed)? == Woken::Alarm {
                    return Err(Stop::Neighbour);
                }
            }
        }
    }
    out.landing.land(&out.descriptor, alarm)
}
