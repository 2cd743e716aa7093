//! `read`: the source for every kind of endpoint.

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role};
use crate::error::Problem;
use crate::stage::Source;

use super::SCHEMES;
use super::stdio::Inherited;

/// The definition of `read`.
pub static READ: Definition = Definition {
    name: "read",
    role: Role::Source,
    summary: "read files, standard input or a connection, one after the other",
    details: "A chain whose first stage is no source reads standard input, as `read -` does.\n\nWith `zero-copy=true` \
              and nothing between, a file's pages are handed to the sink's pipe or connection instead of being \
              copied. Into a pipe that takes about half of the time, into a connection less than half of the \
              processor time; a receiver on the same machine takes more of it in turn. \
              The pages are shared: if the file is changed before the other side has read them, the change arrives \
              there too. Use it only for files that are not written to meanwhile.\n\nA pipe that has the system's \
              default size, here or at the sink, is enlarged while it is open, as far as 1 MiB, an eighth of the \
              memory ceiling and the user's quota of pipes allow. One whose size was set, and those of a chain with a \
              throttle, stay as they are.\n\nA TLS server has to prove that it is the named host: by an authority \
              that the system trusts, or one of ca=. A stream that ends without TLS's own end was cut, and is an \
              error.",
    params: &[
        Param {
            name: "path",
            kind: Kind::Endpoint(SCHEMES),
            place: Place::PositionalMany,
            required: true,
            default: None,
            help: "what to read: a path, - or a URL; several are read in turn",
        },
        Param {
            name: "size",
            kind: Kind::Size,
            place: Place::Named,
            required: false,
            default: None,
            help: "how much a stream is expected to give; for the time left, not a limit",
        },
    ],
    examples: &[
        Example {
            text: "read big.iso | write copy.iso",
            about: "copy a file; the copy is complete and durable, or not there",
        },
        Example {
            text: "read part1 part2 | write whole",
            about: "join files",
        },
    ],
    build: Build::Source(plan),
};

fn plan(args: &Args) -> Result<Source, Problem> {
    let mut places = args.places("path")?;
    let first = places.remove(0);
    Ok(Source::series(first, places, args.size("size")))
}

/// The source of a pipeline without one: standard input.
#[must_use]
pub fn standard_input() -> Source {
    Source::of(Box::new(Inherited::standard()))
}
