//! A query as compressed CSV, for three clients at once and at most two sessions, of which one client reads nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::program;
use crate::export::{filled, unpacked};
use crate::harness::{Folder, highwater, peer};
use crate::http::{read_head, script};
use crate::postgres_server::Server;

/// What each service is asked for: more than its sockets hold. The name tells its sessions from others.
fn query(name: &str) -> String {
    format!("select *, '{name}' service from exported where id <= 45000 order by id")
}

/// Asks for the export, by HTTP/1.0: its body has no chunks. Little waits in the socket of this client.
fn get(address: SocketAddr, path: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).expect("it listens");
    rustix::net::sockopt::set_socket_recv_buffer_size(&client, 64 << 10).expect("set");
    write!(client, "GET {path} HTTP/1.0\r\n\r\n").expect("sent");
    client
}

/// Reads one byte of the body.
fn first_byte(client: &mut TcpStream) -> u8 {
    let head = read_head(client);
    assert!(head.contains(" 200 "), "{head}");
    let mut byte = [0];
    client.read_exact(&mut byte).expect("a byte");
    byte[0]
}

/// How many sessions are at work for a service.
fn sessions(server: &Server, name: &str) -> String {
    let mark = format!("'{name}' service from exported");
    server.run(&format!(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND \
         position($m${mark}$m$ in query) > 0"
    ))
}

/// Two clients are being served, and a third waits for its turn until the first one has all.
fn two_at_a_time(server: &Server, name: &str, address: SocketAddr, path: &str) {
    let [mut first, mut second] = [(); 2].map(|()| {
        let mut client = get(address, path);
        (first_byte(&mut client), client)
    });
    let mut third = get(address, path);
    // Neither reads on, so both queries stand still.
    assert_eq!(sessions(server, name), "2");
    let expected = server.run(&format!("COPY ({}) TO STDOUT (FORMAT csv, HEADER)", query(name)));
    for (byte, client) in [&mut first, &mut second] {
        let mut packed = vec![*byte];
        client.read_to_end(&mut packed).expect("an end");
        assert!(unpacked(&packed).trim_end() == expected);
    }
    let mut packed = vec![first_byte(&mut third)];
    third.read_to_end(&mut packed).expect("an end");
    assert!(unpacked(&packed).trim_end() == expected);
}

#[test]
fn a_slow_client_stops_the_query() {
    let Some(server) = filled() else { return };
    let pipeline = format!(r#"read '{}' query="{}" | gzip threads=1"#, server.url(), query("ours"));
    let mut ours = highwater(["serve", ":0", "--route-clients", "2", &pipeline]).start();
    let address = ours.address();
    two_at_a_time(&server, "ours", address, "/");
    ours.signal(rustix::process::Signal::TERM);
    ours.wait();
}

#[test]
fn a_slow_client_stops_the_query_of_node() {
    let Some(server) = filled() else { return };
    if peer("psql").is_none() {
        return;
    }
    let folder = Folder::new();
    let path = program("export_pool");
    let start = |name: &str| {
        let arguments = [path.to_str().expect("text"), &server.url(), &query(name)];
        script("node", &arguments, &folder)
    };
    let Some(node) = start("waits") else { return };
    two_at_a_time(&server, "waits", node.address, "/waits");
    // All rows are in memory before the client gets the first byte, and the query is over.
    let node = start("array").expect("node is there");
    let mut client = get(node.address, "/array");
    first_byte(&mut client);
    assert_eq!(sessions(&server, "array"), "0");
}
