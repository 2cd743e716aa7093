//! Finds the processes of a server by its port.

use crate::error::{Failure, Kind, shown};
use crate::platform::{Listeners, Tree, listens, process_name};

/// The trees to measure: those that were named, or the one that listens on `port`.
///
/// # Errors
/// [`Kind::Usage`] where a named process is not there or cannot be the server's, and where none is found.
pub fn trees(named: &[i32], port: u16) -> Result<Vec<Tree>, Failure> {
    let cannot = |error| Failure::io(Kind::Usage, "cannot find the server's processes", error);
    let found = Listeners::on(port);
    let roots = found.roots().map_err(cannot)?;
    if named.is_empty() {
        return match (roots.is_empty(), found.is_bound) {
            (false, _) => Ok(roots.into_iter().map(Tree::Of).collect()),
            (true, true) => Err(refused(
                format!("cannot see which process listens on port {port}"),
                "it belongs to another user; check as that user or as root",
            )),
            (true, false) => Err(refused(
                format!("no process of this machine listens on port {port}"),
                "check on the server's own machine; for a server in a container, name its process with --pid",
            )),
        };
    }
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let mut is_listening = false;
    for pid in named {
        let tree = Tree::Of(*pid);
        if !tree.contains(*pid).map_err(cannot)? {
            return Err(refused(
                format!("cannot measure process {pid}"),
                "there is none; --pid is the server's",
            ));
        }
        if tree.contains(own).map_err(cannot)? {
            return Err(refused(
                format!("cannot measure {}", described(*pid)),
                &format!("this check was started from it; {}", hint(&roots)),
            ));
        }
        is_listening = is_listening || listens(tree, port).map_err(cannot)?;
    }
    if is_listening {
        return Ok(named.iter().copied().map(Tree::Of).collect());
    }
    let named: Vec<String> = named.iter().map(|pid| described(*pid)).collect();
    Err(refused(
        format!("{} does not listen on port {port}", named.join(", ")),
        &hint(&roots),
    ))
}

fn refused(what: String, why: &str) -> Failure {
    Failure::because(Kind::Usage, what, why.to_owned())
}

/// `process 4711 (node)`
fn described(pid: i32) -> String {
    match u32::try_from(pid).ok().and_then(process_name) {
        Some(name) => format!("process {pid} ({})", shown(name.as_bytes())),
        None => format!("process {pid}"),
    }
}

fn hint(roots: &[i32]) -> String {
    match roots {
        [] => "--pid is the server's own process".to_owned(),
        roots => {
            let roots: Vec<String> = roots.iter().map(|pid| described(*pid)).collect();
            format!("the server is {}; leave --pid out to have it found", roots.join(", "))
        }
    }
}
