//! `read`: the source for every kind of endpoint.

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Role, Topic};
use crate::error::Problem;
use crate::stage::Source;

use super::SCHEMES;
use super::stdio::Inherited;

/// The definition of `read`.
pub static READ: Definition = Definition {
    name: "read",
    role: Role::Source,
    topic: Topic::ReadWrite,
    summary: "read files, one after the other, standard input, or a URL: TCP, HTTP, a database, a bucket",
    details: "A chain whose first stage is no source reads standard input, as `read -` does.\n\nhttp-listen:// takes one \
              upload: the first PUT or POST of its path, or of any path if none is given. The client gets 201 only when \
              every output is complete and durable. Else it gets 413 for a limit, 422 for corrupt data or a wrong sum, \
              507 for a lack of space, 503 for a signal, and 500 for anything else. Others that come meanwhile get 503. \
              With cert= and key= it is https.\n\ns3:// asks for the object once, and after a cut for the rest of the \
              same version, which its ETag tells: exit code 10 if there is another by then. Keys come from \
              AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a web identity (AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN and \
              AWS_ENDPOINT_URL_STS), or the profile, in this order, unless profile= is given; the metadata service of a \
              machine is asked only with imds=true. A KEY is taken as it is written, without percent-encoding. What is \
              refused for its keys, its signature or its time is exit code 9.\n\nWebSocket messages are records: lines, where each text message is \
              one and has no newline inside; with as=json one JSON value each, on one line. With as=bytes messages of \
              both kinds follow each other as bytes. A stream ends with the peer's Close of code 1000, 1001 or none; \
              another code, or a connection that is cut, is an error. While the pipeline is full nothing is read, \
              and pings are not answered either: a peer may close the connection then. ws-listen:// serves the \
              first client that asks for its path, or for any path if none is given. With cert= and key= it is \
              wss. Pages in a browser may connect if they are of the host that is listened on, or if origin= names \
              theirs.\n\nWith `zero-copy=true` \
              and nothing between, a file's pages are handed to the sink's pipe or connection instead of being \
              copied. Into a pipe that takes about half of the time, into a connection less than half of the \
              processor time; a receiver on the same machine takes more of it in turn. \
              The pages are shared: if the file is changed before the other side has read them, the change arrives \
              there too. Use it only for files that are not written to meanwhile.\n\nfollow=true goes on reading a file for as long as others write to it, by its name, as tail -F does, and \
              only whole lines: a file that was renamed is read to its end, then those that had the name after it (NAME.2, \
              NAME.1, or by their times), then the one that has it now. A file that was truncated is read from its start, \
              with a warning; compressed ones are left out. A signal ends it: what was read is committed within --drain. \
              With state=, and `batch` at the end, the file of the state notes what is durable after each batch, and the next \
              run goes on there, in the file that it was about, whatever its name is by then. If batches are named by \
              {position}, each line is in one of them once, after any crash.\n\nA pipe that has the system's \
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
    if places.len() > 1
        && let Some(place) = places
            .iter()
            .find(|place| place.settles() || place.is_endless() || place.gives().has_records())
    {
        let message = format!("{} cannot be one of several", place.shown());
        let help = if place.is_endless() {
            "read it alone: it has no end"
        } else if place.settles() {
            "read it alone: its answer depends on the end of the run"
        } else {
            "read it alone, or as=bytes"
        };
        return Err(Problem::at(args.span_of("path"), message).help(help));
    }
    let first = places.remove(0);
    Ok(Source::series(first, places, args.size("size")))
}

/// The source of a pipeline without one: standard input.
#[must_use]
pub fn standard_input() -> Source {
    Source::of(Box::new(Inherited::standard()))
}
