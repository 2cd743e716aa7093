//! Which Unix sockets are connected to each other: see `sock_diag(7)`.

use rustix::net::netlink::SOCK_DIAG;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

/// Pairs of connected Unix sockets by their inodes, each pair twice; none if the system does not tell.
#[must_use]
pub fn unix_peers() -> Vec<(u64, u64)> {
    dump().unwrap_or_default()
}

/// `SOCK_DIAG_BY_FAMILY`, the type of a request and of what it returns.
const BY_FAMILY: u16 = 20;
/// `NLMSG_ERROR` and `NLMSG_DONE`, which end a dump.
const LAST: [u16; 2] = [2, 3];
/// The length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// The length of `struct unix_diag_msg`, which the attributes follow.
const MESSAGE: usize = 16;
/// `UNIX_DIAG_PEER`, the attribute with the other socket's inode.
const PEER: u16 = 2;

fn dump() -> rustix::io::Result<Vec<(u64, u64)>> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(SOCK_DIAG),
    )?;
    send(&socket, &request(), SendFlags::empty())?;
    let mut found = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let (length, _) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        let mut rest = buffer.get(..length).unwrap_or_default();
        if rest.is_empty() {
            return Ok(found);
        }
        while let Some((kind, message, behind)) = next(rest, HEADER, 0, 4) {
            if LAST.contains(&kind) {
                return Ok(found);
            }
            found.extend((kind == BY_FAMILY).then(|| pair(message)).flatten());
            rest = behind;
        }
    }
}

/// A header, and a `struct unix_diag_req` for the peers of all connected sockets.
fn request() -> Vec<u8> {
    const LENGTH: u32 = 40;
    /// `NLM_F_REQUEST | NLM_F_DUMP`.
    const FLAGS: u16 = 0x301;
    const UNIX: u16 = 1;
    /// `1 << TCP_ESTABLISHED`, which stands for connected here, too.
    const STATES: u32 = 1 << 1;
    /// `UDIAG_SHOW_PEER`.
    const SHOW: u32 = 4;
    let mut request = Vec::new();
    request.extend(LENGTH.to_ne_bytes());
    request.extend(BY_FAMILY.to_ne_bytes());
    request.extend(FLAGS.to_ne_bytes());
    request.extend([0; 8]);
    request.extend(UNIX.to_le_bytes());
    request.extend([0; 2]);
    request.extend(STATES.to_ne_bytes());
    request.extend([0; 4]);
    request.extend(SHOW.to_ne_bytes());
    request.extend([0; 8]);
    request
}

/// The type and the content of the first of several records, and those behind it. Each begins with its length, whose
/// width is that of the header's first field, and is padded to four bytes.
fn next(records: &[u8], header: usize, length_at: usize, kind_at: usize) -> Option<(u16, &[u8], &[u8])> {
    let wide = kind_at - length_at == 4;
    let length = if wide {
        usize::try_from(u32_at(records, length_at)?).ok()?
    } else {
        usize::from(u16_at(records, length_at)?)
    };
    let kind = u16_at(records, kind_at)?;
    let content = records.get(header..length)?;
    let behind = records.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, content, behind))
}

/// The inodes of a socket and of its peer.
fn pair(message: &[u8]) -> Option<(u64, u64)> {
    let own = u32_at(message, 4)?;
    let mut rest = message.get(MESSAGE..)?;
    while let Some((kind, content, behind)) = next(rest, 4, 0, 2) {
        if kind == PEER {
            return Some((own.into(), u32_at(content, 0)?.into()));
        }
        rest = behind;
    }
    None
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(four.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at + 2)?;
    Some(u16::from_ne_bytes(two.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_of_sockets_is_found() {
        let (one, other) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let inode = |socket: &std::os::unix::net::UnixStream| rustix::fs::fstat(socket).expect("open").st_ino;
        let peers = unix_peers();
        assert!(peers.contains(&(inode(&one), inode(&other))), "{peers:?}");
        assert!(peers.contains(&(inode(&other), inode(&one))));
    }

    #[test]
    fn torn_records_end_the_list() {
        assert_eq!(next(&[], HEADER, 0, 4), None);
        assert_eq!(next(&[8, 0, 2, 0, 1], 4, 0, 2), None);
        assert_eq!(
            next(&[0, 0, 2, 0, 1, 0, 0, 0], 4, 0, 2),
            None,
            "no length goes on for ever"
        );
    }
}
