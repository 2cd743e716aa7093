//! Many clients: nothing is left of those that are gone, and memory stays flat.

use std::io::Read;
use std::net::TcpStream;

use super::{Service, first_byte};
use crate::harness::{Folder, highwater, noise, reset, xorshift};

/// Descriptors, threads, and resident KiB of the service; `None` where the system does not tell.
fn used(service: &Service) -> Option<[u64; 3]> {
    let process = format!("/proc/{}", service.id());
    let descriptors = std::fs::read_dir(format!("{process}/fd")).ok()?.count();
    let status = std::fs::read_to_string(format!("{process}/status")).ok()?;
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    };
    Some([descriptors as u64, number("Threads:")?, number("VmRSS:")?])
}

#[test]
fn nothing_is_left_of_killed_clients() {
    let folder = Folder::new();
    folder.write("big", noise(24 << 20, 5));
    let mut service = Service::start(&folder, &["read big | gzip | gunzip | throttle 1GB/s"]);
    // The first ones make what stays.
    let settle = |service: &mut Service| {
        let mut client = service.get("/");
        first_byte(&mut client);
        drop(client);
        service.logged();
    };
    settle(&mut service);
    let before = used(&service);
    let mut chances = xorshift(11);
    for _ in 0..60 {
        let mut clients: Vec<TcpStream> = (0..5).map(|_| service.get("/")).collect();
        for mut client in clients.drain(..) {
            let chance = chances.next().expect("endless");
            // A reset is no request if it comes before the head is read, so others end as usual.
            if chance.is_multiple_of(4) {
                continue;
            }
            first_byte(&mut client);
            let most = (chance >> 8) % (256 << 10);
            let _ = std::io::copy(&mut (&client).take(most), &mut std::io::sink());
            if chance.is_multiple_of(3) {
                reset(client);
            }
        }
        for _ in 0..5 {
            let logged = service.logged();
            assert_eq!(logged["outcome"], "left", "{logged}");
        }
    }
    // Threads of the last ones may still be on their way out, for a few requests.
    let are_gone = (0..20).any(|_| {
        settle(&mut service);
        running(&service) <= 8
    });
    assert!(are_gone, "of 1500 threads");
    if let (Some(before), Some(after)) = (before, used(&service)) {
        // A thread may still be on its way out.
        assert!(
            after[0] <= before[0] + 2 && after[1] <= before[1] + 6,
            "{before:?} {after:?}"
        );
    }
}

/// The threads of stages.
fn running(service: &Service) -> usize {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{}/task", service.id())) else {
        return 0;
    };
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names
        .filter(|name| name.starts_with(|c: char| c.is_ascii_digit()))
        .count()
}

#[test]
fn short_requests_leave_memory_flat() {
    let folder = Folder::new();
    folder.write("a.csv", "k,v\n1,2\n");
    let mut service = Service::start(&folder, &["read a.csv | lines | gzip"]);
    let mut ask = |count: usize| {
        for _ in 0..count {
            let response = service.fetch("/");
            assert!(response.is_whole && response.status == 200, "{}", response.head);
            assert_eq!(service.logged()["outcome"], "complete");
        }
        used(&service)
    };
    let before = ask(300);
    let after = ask(2000);
    if let (Some(before), Some(after)) = (before, after) {
        assert!(
            after[0] <= before[0] + 2 && after[1] <= before[1] + 6,
            "{before:?} {after:?}"
        );
        // A kibibyte for each request would be more.
        assert!(after[2] <= before[2] + (1 << 11) * 3 / 4, "{before:?} {after:?}");
    }
}

#[test]
fn stuck_clients_hold_no_more_than_their_shares() {
    let folder = Folder::new();
    folder.write("big", noise(24 << 20, 5));
    let mut service = Service::start(&folder, &["read big | gzip threads=1", "--memory", "16MiB"]);
    let before = used(&service);
    let mut stuck: Vec<TcpStream> = Vec::new();
    while stuck.len() < 6 {
        let mut client = service.get("/");
        first_byte(&mut client);
        stuck.push(client);
    }
    // A fast one is served meanwhile.
    let fast = service.fetch("/");
    assert!(fast.is_whole);
    assert_eq!(service.logged()["outcome"], "complete");
    if let (Some(before), Some(after)) = (before, used(&service)) {
        assert!(after[2] <= before[2] + (16 << 10), "{before:?} {after:?}");
    }
}

#[test]
fn idle_connections_keep_no_client_out() {
    let folder = Folder::new();
    folder.write("a", "small\n");
    let service = Service::start(&folder, &["read a", "--memory", "4MiB"]);
    let idle: Vec<TcpStream> = (0..400)
        .map(|_| TcpStream::connect(service.address).expect("it listens"))
        .collect();
    assert_eq!(service.fetch("/").text(), "small\n");
    assert_eq!(service.fetch("/-/health").text(), "ok\n");
    drop(idle);
}

#[test]
#[cfg_attr(feature = "portable-platform", ignore = "the memory of others cannot be read there")]
fn service_honours_backpressure_by_check() {
    let folder = Folder::new();
    folder.write("big", noise(24 << 20, 5));
    let service = Service::start(&folder, &["read big | gzip threads=1"]);
    let (url, id) = (format!("http://{}/", service.address), service.id().to_string());
    let run = highwater(["check", "--clients=4", "--seconds=2s", &url, "--pid", &id]).run();
    assert_eq!(run.code, Some(0), "{}", String::from_utf8_lossy(&run.stdout));
}
