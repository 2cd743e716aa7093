//! Every way that a direct path moves bytes, between descriptors that are made here: what arrives, what both ends are told
//! and what the meters say are exact, whatever the system does at once.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::runtime::Runtime;

use super::super::start::start_direct;
use super::*;
use crate::error::{Failure, Kind};
use crate::flow::{Pool, StageMeter};
use crate::graph::Id;
use crate::platform::{Interest, Woken, reactor};
use crate::stage::{BoxFuture, Cancel, Commit, Endpoint, OpenReader, Source};

/// A source of a descriptor that is there already.
struct From(OwnedFd);

impl Endpoint for From {
    fn shown(&self) -> String {
        "fake".to_owned()
    }

    fn direct(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn open_reader(self: Box<Self>) -> BoxFuture<'static, Result<OpenReader, Failure>> {
        Box::pin(async move { Ok(Incoming::new(Descriptor::own(self.0).expect("open"), None).into()) })
    }
}

/// What the sink was told.
#[derive(Debug, Default)]
struct Told {
    wrote: AtomicU64,
    committed: AtomicU64,
}

struct To {
    is_new_file: bool,
    told: Arc<Told>,
    /// The meter of the source.
    source: Arc<StageMeter>,
}

impl Commit for To {
    fn holes(&self) -> Holes {
        if self.is_new_file { Holes::Grow } else { Holes::None }
    }

    fn wrote(&self, count: u64) {
        self.told.wrote.fetch_add(count, Ordering::Relaxed);
    }

    fn commit(self: Box<Self>, _: &Descriptor, _: BorrowedFd<'_>) -> Outcome {
        assert!(
            self.source.times().ended_at.is_some(),
            "the source has nothing left to do"
        );
        self.told.committed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// A direct path, and what can be seen of it from outside.
struct Rig {
    told: Arc<Told>,
    meters: [Arc<StageMeter>; 2],
    cancel: Arc<Cancel>,
    pause_point: Arc<PausePoint>,
    /// Where later places are opened.
    runtime: Runtime,
}

impl Rig {
    /// Joins `from` and `to` with a buffer of `size` bytes.
    fn new(from: Vec<OwnedFd>, to: OwnedFd, is_new_file: bool, size: usize) -> (Self, Direct) {
        let rig = Self {
            told: Arc::default(),
            meters: [(); 2].map(|()| Arc::new(StageMeter::new(std::time::Instant::now()))),
            cancel: Arc::default(),
            pause_point: Arc::default(),
            runtime: reactor().expect("a runtime"),
        };
        let context = |at: usize| Context {
            cancel: rig.cancel.clone(),
            ..Context::detached(rig.meters[at].clone())
        };
        let mut places = from.into_iter().map(|fd| Box::new(From(fd)) as Box<dyn Endpoint>);
        let first = places.next().expect("a source");
        let source = Source::series(first, places.collect(), None);
        let commit = To {
            is_new_file,
            told: rig.told.clone(),
            source: rig.meters[0].clone(),
        };
        let direct = Direct {
            source: rig.runtime.block_on(source.open()).expect("open"),
            sink: Outgoing::new(Descriptor::own(to).expect("open"), Box::new(commit)).into(),
            from: context(0),
            to: context(1),
            buffer: Arc::new(Pool::new(size as u64)).lease(size),
            pause_point: rig.pause_point.clone(),
            lane: Arc::default(),
        };
        (rig, direct)
    }

    /// What the meters say: received and sent by the source, and by the sink.
    fn counts(&self) -> [u64; 4] {
        let [from, to] = &self.meters;
        [from.bytes_in(), from.bytes_out(), to.bytes_in(), to.bytes_out()]
    }

    #[track_caller]
    fn assert_moved(&self, outcomes: &[Outcome; 2], whole: u64) {
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert_eq!(self.told.wrote.load(Ordering::Relaxed), whole);
        assert_eq!(self.told.committed.load(Ordering::Relaxed), 1);
        assert_eq!(self.counts(), [whole; 4]);
        assert!(self.meters.iter().all(|meter| meter.open_wait().is_none()));
    }

    /// Lets others run until `lane` has come to where `is_there` says.
    #[track_caller]
    fn until<T>(&self, lane: &JoinHandle<T>, is_there: impl Fn(&Self) -> bool) {
        while !is_there(self) {
            assert!(!lane.is_finished(), "it went on");
            std::thread::yield_now();
        }
    }

    fn waits(&self) -> [Option<Wait>; 2] {
        [0, 1].map(|at| self.meters[at].open_wait())
    }
}

fn bytes(count: usize) -> Vec<u8> {
    (0..=250).cycle().take(count).collect()
}

fn file(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(content).expect("room");
    file.rewind().expect("a regular file");
    file
}

fn content(mut file: File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.rewind().expect("a regular file");
    file.read_to_end(&mut bytes).expect("readable");
    bytes
}

/// A pipe: what is read from, and what is written to.
fn pipe() -> (OwnedFd, OwnedFd) {
    pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).expect("a pipe")
}

/// Reads to the end, waiting for it.
fn read_all(fd: OwnedFd) -> Vec<u8> {
    let descriptor = Descriptor::own(fd).expect("open");
    let never = Cancel::default();
    let alarm = never.alarm().expect("a descriptor");
    let (mut all, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match descriptor.read(&mut piece).expect("readable") {
            Transfer::Bytes(0) => return all,
            Transfer::Bytes(count) => all.extend_from_slice(&piece[..count]),
            Transfer::NotReady => {
                descriptor.wait(Interest::Read, alarm).expect("a wait");
            }
        }
    }
}

/// Whether a pipe takes no more.
fn is_full(write: &Descriptor) -> bool {
    let never = Cancel::default();
    let alarm = never.alarm().expect("a descriptor");
    let now = Some(std::time::Duration::ZERO);
    write.wait_for(Interest::Write, alarm, now).expect("a wait") == Woken::TimedOut
}

fn spawn(direct: Direct) -> JoinHandle<[Outcome; 2]> {
    std::thread::spawn(move || direct.run())
}

#[test]
fn files_into_a_pipe_arrive_in_order_however_little_it_takes_at_once() {
    let whole = bytes(5_000_000);
    let (first, second) = whole.split_at(3_000_001);
    let (read, write) = pipe();
    let other = Descriptor::own(write.try_clone().expect("a descriptor")).expect("open");
    // What it is read into is no part of a page, so that a full pipe has taken a part of it.
    let from = vec![file(first).into(), file(b"").into(), file(second).into()];
    let (rig, direct) = Rig::new(from, write, false, 300_007);
    let lane = spawn(direct);
    rig.until(&lane, |_| is_full(&other));
    drop(other);
    assert!(read_all(read) == whole, "the bytes");
    let outcomes = lane.join().expect("no panic");
    rig.assert_moved(&outcomes, whole.len() as u64);
}

#[test]
fn a_file_goes_on_from_its_offset_behind_what_the_other_one_has() {
    let mut source = file(&bytes(100_000));
    source.seek(SeekFrom::Start(7)).expect("a regular file");
    let mut sink = file(b"before");
    sink.seek(SeekFrom::End(0)).expect("a regular file");
    let (rig, direct) = Rig::new(vec![source.into()], sink.try_clone().expect("own").into(), false, 1000);
    rig.assert_moved(&direct.run(), 99_993);
    assert!(content(sink) == [b"before", &bytes(100_000)[7..]].concat());
}

#[test]
fn holes_are_counted_and_stay_where_they_were() {
    const MIB: u64 = 1 << 20;
    for is_new_file in [true, false] {
        let mut source = file(b"begins");
        for offset in [2 * MIB, 3 * MIB] {
            source.seek(SeekFrom::Start(offset)).expect("a regular file");
            source.write_all(&bytes(5000)).expect("room");
        }
        source.set_len(5 * MIB).expect("a hole at its end");
        source.rewind().expect("a regular file");
        // Where there is something already, a hole is no place to write nothing into.
        let sink = file(&vec![255; if is_new_file { 0 } else { 5 << 20 }]);
        let copy = sink.try_clone().expect("own").into();
        let (rig, direct) = Rig::new(vec![source.try_clone().expect("own").into()], copy, is_new_file, 70_000);
        rig.assert_moved(&direct.run(), 5 << 20);
        assert!(content(sink) == content(source), "a new file: {is_new_file}");
    }
}

#[test]
fn a_pipe_that_nobody_has_opened_yet_is_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).expect("a FIFO");
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
    let source = rustix::fs::open(&path, flags, mode).expect("open");
    let (read, write) = pipe();
    let (rig, direct) = Rig::new(vec![source], write, false, 100);
    let lane = spawn(direct);
    rig.until(&lane, |rig| rig.waits() == [Some(Wait::Outside), Some(Wait::Idle)]);
    let mut writer = File::options().write(true).open(&path).expect("a reader is there");
    for _ in 0..2 {
        writer.write_all(&bytes(1000)).expect("room");
        // Not at its end yet: it waits for more.
        rig.until(&lane, |rig| rig.waits() == [Some(Wait::Outside), Some(Wait::Idle)]);
    }
    drop(writer);
    let outcomes = lane.join().expect("no panic");
    rig.assert_moved(&outcomes, 2000);
    assert_eq!(read_all(read), [bytes(1000), bytes(1000)].concat());
}

/// A source of a thousand bytes and a sink of each way, inside the kernel, page by page, and by reading and writing, and
/// what the sink's other end is.
fn ways() -> Vec<(&'static str, OwnedFd, OwnedFd, OwnedFd)> {
    let sink = || {
        let file = tempfile::tempfile().expect("a file");
        (file.try_clone().expect("own").into(), file.into())
    };
    let (kept, new) = sink();
    let (read, write) = pipe();
    rustix::io::write(&write, &bytes(1000)).expect("room");
    let (out, into) = pipe();
    let (end, copied) = pipe();
    vec![
        ("copy_file_range", file(&bytes(1000)).into(), new, kept),
        ("splice", read, into, out),
        ("copy", file(&bytes(1000)).into(), copied, end),
    ]
}

#[test]
fn a_lane_that_was_told_to_stop_moves_nothing() {
    for (way, source, sink, _other) in ways() {
        let (rig, direct) = Rig::new(vec![source], sink, true, 100);
        rig.cancel.trip();
        let outcomes = direct.run();
        let is_stopped = |outcome: &Outcome| matches!(outcome, Err(Stop::PeerClosed));
        assert!(outcomes.iter().all(is_stopped), "{way}: {outcomes:?}");
        assert_eq!(
            (rig.counts(), rig.told.committed.load(Ordering::Relaxed)),
            ([0; 4], 0),
            "{way}"
        );
    }
}

#[test]
fn a_closed_gate_stops_every_way_before_the_sink_until_it_is_opened_or_the_run_ends() {
    for opens in [true, false] {
        for (way, source, sink, other) in ways() {
            let (rig, direct) = Rig::new(vec![source], sink, true, 100);
            rig.pause_point.set_closed(true);
            let lane = spawn(direct);
            rig.until(&lane, |rig| {
                rig.waits() == [Some(Wait::Backpressured), Some(Wait::Outside)]
            });
            assert_eq!(rig.counts()[1..], [0; 3], "{way}");
            if opens {
                rig.pause_point.set_closed(false);
            } else {
                rig.cancel.trip();
            }
            let outcomes = lane.join().expect("no panic");
            assert!(outcomes.iter().all(|end| end.is_ok() == opens), "{way}: {outcomes:?}");
            assert_eq!(rig.counts()[1..], [if opens { 1000 } else { 0 }; 3], "{way}");
            drop(other);
        }
    }
}

#[test]
fn a_sink_that_takes_no_more_does_not_keep_a_lane_that_is_told_to_stop() {
    let (_read, write) = pipe();
    let other = Descriptor::own(write.try_clone().expect("a descriptor")).expect("open");
    let (rig, direct) = Rig::new(vec![file(&bytes(3_000_000)).into()], write, false, 300_007);
    let lane = spawn(direct);
    rig.until(&lane, |_| is_full(&other));
    rig.cancel.trip();
    let outcomes = lane.join().expect("no panic");
    assert!(matches!(outcomes, [Err(Stop::PeerClosed), Err(Stop::PeerClosed)]));
    assert_eq!(rig.told.wrote.load(Ordering::Relaxed), rig.counts()[3]);
    assert_eq!(rig.told.committed.load(Ordering::Relaxed), 0);
}

#[test]
fn an_error_is_of_the_end_where_it_happened() {
    let folder = File::open(std::env::temp_dir()).expect("a folder");
    let (_read, write) = pipe();
    let (_, unreadable) = Rig::new(vec![file(&bytes(50)).into(), folder.into()], write, false, 100);
    let [source, sink] = unreadable.run();
    assert!(matches!(sink, Err(Stop::PeerClosed)));
    let Err(Stop::Failed(failure)) = source else {
        panic!("{source:?}")
    };
    assert_eq!(failure.kind(), Kind::Source);

    let (read, write) = pipe();
    let other = Descriptor::own(write.try_clone().expect("a descriptor")).expect("open");
    let (rig, direct) = Rig::new(vec![file(&bytes(3_000_000)).into()], write, false, 300_007);
    let lane = spawn(direct);
    rig.until(&lane, |_| is_full(&other));
    drop(read);
    let [_, sink] = lane.join().expect("no panic");
    let Err(Stop::Failed(failure)) = sink else {
        panic!("{sink:?}")
    };
    let after = format!("after: Some({})", rig.counts()[3]);
    assert!(format!("{failure:?}").contains(&after), "{failure:?}");
    assert!(rig.counts()[3] > 0);

    for (way, source, sink, other) in ways() {
        if way == "copy_file_range" {
            continue;
        }
        // Whoever read from the sink has left.
        drop(other);
        let (rig, direct) = Rig::new(vec![source], sink, false, 100);
        let [source, sink] = direct.run();
        assert!(matches!(source, Err(Stop::PeerClosed)), "{way}");
        let Err(Stop::Failed(failure)) = sink else {
            panic!("{way}: {sink:?}")
        };
        assert_eq!((failure.kind(), rig.counts()[3]), (Kind::Sink, 0), "{way}");
    }
}

#[test]
fn a_lane_reports_both_ends_when_they_have_ended() {
    let (read, write) = pipe();
    drop(read);
    for (sink, is_whole) in [(file(b"").into(), true), (write, false)] {
        let (rig, direct) = Rig::new(vec![file(&bytes(1000)).into()], sink, true, 100);
        let (sender, mut reports) = tokio::sync::mpsc::unbounded_channel();
        let ends = [0, 1].map(Id::numbered);
        start_direct(ends, direct, &sender);
        drop(sender);
        for at in ends {
            let (end, outcome) = reports.blocking_recv().expect("a report");
            assert_eq!((end, outcome.is_ok()), (at, is_whole));
            assert!(rig.meters.iter().all(|meter| meter.times().ended_at.is_some()));
        }
        assert!(reports.blocking_recv().is_none());
    }
}
