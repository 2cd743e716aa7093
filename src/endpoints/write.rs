//! `write`: the sink for every kind of endpoint.

use crate::catalog::{Args, Build, Definition, Example, Kind, Param, Place, Placed, Role, Topic};
use crate::stage::Endpoint;

use super::SCHEMES;
use super::stdio::Inherited;

/// The definition of `write`.
pub static WRITE: Definition = Definition {
    name: "write",
    role: Role::Sink,
    topic: Topic::ReadWrite,
    summary: "write a file, standard output, or a URL: TCP, HTTP, a database, a bucket",
    details: "A file is replaced atomically: the bytes go to a temporary file beside it, which takes its place when \
              all of them are on the disk. Whatever happens before, the old file stays as it was. The new one gets \
              its permissions, its access control list, its extended attributes and, where the system allows it, its \
              owner, but nothing that applied only to the old contents: setuid, setgid and sticky bits, capabilities. \
              A new file gets the system's default permissions. mode= sets exactly those permissions, without a list. \
              A file with several names becomes a file of its own, and the others keep the old contents, with a \
              warning. A file that you may not write to is not replaced.\n\nin-place=true is for files that cannot be \
              replaced, such as a mount, a file in a folder that you may not write to, or one of /proc or /sys, and \
              for files with several names. It empties the file and writes to it where it is: if the run fails, the \
              old contents are gone, and the error says how much of the new ones there is. append=true cuts its own \
              bytes off again if the run fails. Where another process has written behind them, they stay, and the \
              error says how many they are.\n\nsparse=auto keeps the holes of a source that is a file, if its bytes \
              arrive unchanged. always leaves a hole wherever a block is zeros, also behind a decoder; never leaves \
              none. Standard output and other descriptors get no holes, because others may write there as \
              well.\n\nDevices and FIFOs are written in place. A path that names a descriptor, such as /dev/fd/3 or \
              /dev/stderr, means what is open there, for `read` as well. Standard output that is a file is on the \
              disk when the run ends well, unless sync=false is given; making its name durable is left to the program \
              that created it. A chain whose last stage is no sink writes standard output, as `write -` does.\n\nA \
              connection is done when the peer's system has acknowledged everything; on a Unix socket, when the peer \
              has read it. `linger=` bounds that wait, which is otherwise as long as the peer takes, as for every \
              write. A peer that vanishes is noticed by TCP's own means within about a quarter of an hour; \
              `user-timeout=` makes that sooner, and gives up a peer that only stops reading, too.\n\nhttp-listen:// \
              serves the stream as one download: to the first GET of its path, with its length if it \
              is known, else in chunks, or to an HTTP/1.0 client until the connection ends. HEAD gets the same headers; others that come meanwhile get 503. The \
              source is not read before a client has come. A client that leaves cancels the run. If the run fails \
              before its first byte, the client gets 500; later, the connection is reset, so that no client takes a \
              part for the whole. With cert= and key= it is https.\n\nTo a WebSocket each record is written as a text \
              message, and sent at once; bytes need as=binary. What the peer sends meanwhile is ignored, except for \
              pings, which are answered. At the end the peer is sent a Close and has to answer it: then it has \
              everything. `linger=` bounds that wait. If the run fails, the connection is reset without a \
              Close.\n\nverify=true \
              reads the temporary file back before it takes its place, from the disk where the system can drop what \
              it has in memory, and compares sums: what differs is exit code 10.\n\nresume=true is for large files. \
              If the run ends early, whatever ends it, what was written stays in .NAME.highwater-part beside the \
              target, and .NAME.highwater-journal says how much of it is on the disk: up to date after checkpoint= bytes, and after 5 s in which \
              fewer are written. Another run of the same pipeline \
              checks that and goes on from there. It fails if the source has changed (exit code 10). It takes one \
              regular file as the source, or a resource that http:// can continue to read, and in between gzip, zstd, \
              hash (not blake3), throttle and buffer. An encoder is continued behind a member or a frame that is \
              whole, so the file decompresses to the source; zstd makes several frames then, see frame=. A level, a \
              window or an algorithm must stay the same; throttle, buffer, marks, threads, the size of members and \
              checkpoint= may differ. `highwater explain` says how much is done again at worst.\n\nhttp:// \
              and https:// send a PUT, or what method= says. The length is stated if one file is sent unchanged; else \
              the body is sent in chunks. Its last byte, or the chunk that ends it, is withheld until every other \
              output is prepared, so a run that fails leaves the server with an incomplete request. The upload has \
              succeeded when the server then responds with 2xx. Any response before that ends it with exit code 4, or \
              9 for 401 and 407, and the first line of what the server says. If no response comes, the error says \
              that the outcome is unknown; linger= bounds that wait. retry= is for the connection only, because what \
              was sent is not kept.\n\ns3:// puts an object of up to one part with one request, and a larger one in \
              parts, each with its MD5 sum. A part is kept until the server has confirmed it, and is sent again if the \
              server throttles, fails or does not answer: in memory, where the next one is filled meanwhile, or in a \
              file without a name in $TMPDIR or /var/tmp if `--memory` has no room for it; `explain` says which. \
              threads= sends several parts at once. The object appears when every other output is \
              prepared. If the run fails before, the upload is removed with its parts, or the error names it. If the \
              answer to the last request is lost, the object is looked at: with the right size and ETag it is \
              there; else the request is sent again, and if that does not help, the error says that the outcome is \
              unknown. A run that was killed leaves its upload; the next one to the same key names it, and does not \
              remove it, because another program may be at work there. if-absent=true also keeps an object that comes \
              meanwhile, where the server knows If-None-Match. With state=FILE the parts stay when the run ends early, \
              and FILE notes them; another run of the same pipeline compares FILE with the server's list of parts and \
              goes on behind them, under the same conditions as with resume=true. Parts then end where a run can start, \
              so they may be larger than part=. FILE is removed once the object is there; to give an upload up, abort \
              it and remove FILE. presign= prints the URL on standard error.",
    params: &[Param {
        name: "path",
        kind: Kind::Endpoint(SCHEMES),
        place: Place::Positional,
        required: true,
        default: None,
        help: "where to write: a path, - or a URL",
    }],
    examples: &[
        Example {
            text: "read big.iso | throttle 500MB/s | write copy.iso clobber=false",
            about: "copy at a gentle rate, never over a file that is there",
        },
        Example {
            text: "read big.iso | write copy.iso resume=true verify=true",
            about: "copy a large file, go on after a power cut, and check the copy on the disk",
        },
        Example {
            text: "read disk.img | zstd | write disk.img.zst resume=true",
            about: "compress a large file; run it again to go on where it ended early",
        },
    ],
    build: Build::Sink(plan),
};

fn plan(args: &Args) -> Placed {
    args.required_place("path")
}

/// The sink of a pipeline without one: standard output.
#[must_use]
pub fn standard_output() -> Box<dyn Endpoint> {
    Box::new(Inherited::standard())
}
