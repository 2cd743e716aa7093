//! Runs every schedule of small programs over a link: a depth-first walk over the choices of which woken task to poll
//! next. A task that was not woken is never polled, so a lost wake-up cannot stay hidden.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::flow::Position;

std::thread_local! {
    static YIELDED: Cell<bool> = const { Cell::new(false) };
}

/// Yields to the scheduler without the waker, which only the link uses.
async fn step() {
    let mut yielded = false;
    poll_fn(|_| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        YIELDED.set(true);
        Poll::Pending
    })
    .await;
}

#[derive(Default)]
struct Signal {
    woken: AtomicBool,
    wakes: AtomicUsize,
}

impl Wake for Signal {
    fn wake(self: std::sync::Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        self.wakes.fetch_add(1, Ordering::Relaxed);
    }
}

struct Task {
    name: &'static str,
    signal: Arc<Signal>,
    /// `None` when it is done.
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

/// Asserted at the end, with the number of wake-ups of each task.
type AtTheEnd = dyn Fn(&[usize]);

/// One program: its tasks, what holds after every step, and what holds at the end.
struct Program {
    tasks: Vec<Task>,
    always: Box<dyn Fn()>,
    finally: Box<AtTheEnd>,
}

fn task(name: &'static str, future: impl Future<Output = ()> + 'static) -> Task {
    Task {
        name,
        signal: Arc::default(),
        future: Some(Box::pin(future)),
    }
}

/// The schedule so far, printed if the run fails.
struct Trace(Vec<&'static str>);

impl Drop for Trace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the schedule that failed: {}", self.0.join(" "));
        }
    }
}

/// Runs the program once. Where `path` ends, the first woken task is chosen, and the choice is appended to it.
fn run(mut program: Program, path: &mut Vec<(usize, usize)>) {
    let mut trace = Trace(Vec::new());
    for task in &program.tasks {
        task.signal.woken.store(true, Ordering::Relaxed);
    }
    loop {
        let mut woken: Vec<&mut Task> = program
            .tasks
            .iter_mut()
            .filter(|task| task.future.is_some() && task.signal.woken.load(Ordering::Relaxed))
            .collect();
        if woken.is_empty() {
            break;
        }
        let depth = trace.0.len();
        if depth == path.len() {
            path.push((0, woken.len()));
        }
        let (choice, choices) = path[depth];
        assert_eq!(
            choices,
            woken.len(),
            "a program must behave the same when it is run again"
        );
        let task = &mut *woken[choice];
        trace.0.push(task.name);
        task.signal.woken.store(false, Ordering::Relaxed);
        let waker = Waker::from(task.signal.clone());
        let future = task.future.as_mut().expect("only unfinished tasks are polled");
        let done = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        if YIELDED.take() {
            task.signal.woken.store(true, Ordering::Relaxed);
        }
        if done {
            task.future = None;
        }
        (program.always)();
    }
    for task in &program.tasks {
        assert!(task.future.is_none(), "deadlock: {} is never woken", task.name);
    }
    let wakes: Vec<usize> = program
        .tasks
        .iter()
        .map(|task| task.signal.wakes.load(Ordering::Relaxed))
        .collect();
    (program.finally)(&wakes);
}

/// Runs the program in every schedule, and returns their number.
fn explore(program: impl Fn() -> Program) -> usize {
    let mut path = Vec::new();
    let mut count = 0;
    loop {
        run(program(), &mut path);
        count += 1;
        while let Some((choice, choices)) = path.pop() {
            if choice + 1 < choices {
                path.push((choice + 1, choices));
                break;
            }
        }
        if path.is_empty() {
            return count;
        }
    }
}

/// How a side of the link ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Finished,
    Closed,
    Left,
}

/// What the tasks of one run record.
#[derive(Default)]
struct Log {
    sent: Cell<u8>,
    received: RefCell<Vec<u8>>,
    producer: Cell<Option<Outcome>>,
    consumer: Cell<Option<Outcome>>,
}

impl Log {
    /// The received bytes are 0, 1, 2, …: in order, each once.
    fn assert_in_order(&self) {
        let received = self.received.borrow();
        assert!(received.iter().copied().eq(0..u8::try_from(received.len()).unwrap()));
        assert!(received.len() <= usize::from(self.sent.get()));
    }
}

/// Sends `count` bytes in buffers of `size`, then finishes or drops the outlet.
async fn produce(mut outlet: Outlet, count: u8, size: usize, finish: bool, log: Rc<Log>) {
    for byte in 0..count {
        let sent = match outlet.reserve(size).await {
            Ok(mut buffer) => {
                step().await;
                buffer.fill_from(&[byte]);
                log.sent.set(byte + 1);
                outlet.send(buffer)
            }
            Err(Closed) => Err(Closed),
        };
        if sent == Err(Closed) {
            log.producer.set(Some(Outcome::Closed));
            return;
        }
        step().await;
    }
    if finish {
        outlet.finish();
    }
    log.producer.set(Some(Outcome::Finished));
}

/// Receives until the end, or until it has received `leave` chunks.
async fn consume(mut inlet: Inlet, leave: usize, log: Rc<Log>) {
    for _ in 0..leave {
        match inlet.receive().await {
            Ok(Some(chunk)) => {
                log.received.borrow_mut().extend_from_slice(chunk.as_slice());
                step().await;
                drop(chunk);
                step().await;
            }
            Ok(None) => return log.consumer.set(Some(Outcome::Finished)),
            Err(Closed) => return log.consumer.set(Some(Outcome::Closed)),
        }
    }
    log.consumer.set(Some(Outcome::Left));
}

impl Rig {
    fn assert_bounded(&self) {
        let state = lock(&self.link.state);
        let (granted, level) = (state.granted, state.level);
        assert!(
            (granted + level).is_within(self.link.marks.high_load()),
            "{granted:?} and {level:?} are above the mark"
        );
        assert!(state.buffers <= Marks::MOST_CHUNKS);
        assert!(self.pool.levels().in_use + self.pool.levels().free <= self.pool.limit());
    }

    /// Asserts that every pause and every wait for bytes was ended by one wake, and that there were no other wakes.
    fn assert_one_wake_a_wait(&self, producer: usize, consumer: usize) {
        let levels = self.link.levels();
        assert_eq!(producer as u64, levels.times_full, "one wake for each pause");
        assert_eq!(consumer as u64, levels.times_empty, "one wake for each empty wait");
    }
}

/// A producer of `count` bytes and a consumer on one link.
fn pair((high, low, size): (u64, u64, usize), count: u8, finish: bool, leave: usize) -> (Rc<Rig>, Rc<Log>, Vec<Task>) {
    let (rig, outlet, inlet) = Rig::new(high, low, size);
    let log = Rc::new(Log::default());
    let tasks = vec![
        task("producer", produce(outlet, count, size, finish, log.clone())),
        task("consumer", consume(inlet, leave, log.clone())),
    ];
    (Rc::new(rig), log, tasks)
}

fn program(
    (rig, log, tasks): (Rc<Rig>, Rc<Log>, Vec<Task>),
    finally: impl Fn(&Rig, &Log, &[usize]) + 'static,
) -> Program {
    let always = {
        let (rig, log) = (rig.clone(), log.clone());
        Box::new(move || {
            rig.assert_bounded();
            log.assert_in_order();
        })
    };
    Program {
        tasks,
        always,
        finally: Box::new(move |wakes| {
            rig.assert_nothing_is_held();
            rig.assert_one_wake_a_wait(wakes[0], wakes[1]);
            finally(&rig, &log, wakes);
        }),
    }
}

/// Explores, prints the number of schedules, and asserts that it is no less than when this was written: a program
/// without choices proves nothing.
fn explores(what: &str, at_least: usize, build: impl Fn() -> Program) {
    let schedules = explore(build);
    println!("{what}: {schedules} schedules");
    assert!(schedules >= at_least, "{what}: only {schedules} schedules");
}

#[test]
fn scheduler_explores_every_order() {
    let orders = Rc::new(RefCell::new(std::collections::BTreeSet::new()));
    let count = explore(|| {
        let order = Rc::new(RefCell::new(String::new()));
        let say = |name: &'static str, order: Rc<RefCell<String>>| {
            task(name, async move {
                for _ in 0..2 {
                    order.borrow_mut().push_str(name);
                    step().await;
                }
            })
        };
        let tasks = vec![say("a", order.clone()), say("b", order.clone())];
        let orders = orders.clone();
        Program {
            tasks,
            always: Box::new(|| ()),
            finally: Box::new(move |_| {
                orders.borrow_mut().insert(order.borrow().clone());
            }),
        }
    });
    assert_eq!(count, 20, "two tasks of three polls each: 6 over 3");
    assert_eq!(orders.borrow().len(), 6, "aabb, abab, abba and their mirrors");
}

#[test]
#[should_panic(expected = "deadlock: stuck is never woken")]
fn unwoken_task_is_a_deadlock() {
    explore(|| Program {
        tasks: vec![task("stuck", std::future::pending())],
        always: Box::new(|| ()),
        finally: Box::new(|_| ()),
    });
}

#[test]
fn every_schedule_that_finishes_delivers_everything() {
    for (marks, sent, expected) in [
        ((1, 0, 1), 4, 8_748),
        ((2, 0, 1), 3, 1_464),
        ((2, 1, 1), 4, 25_872),
        ((2, 2, 1), 3, 1_848),
    ] {
        explores(&format!("finish {marks:?}"), expected, || {
            program(pair(marks, sent, true, usize::MAX), move |rig, log, _| {
                assert!(log.received.borrow().iter().copied().eq(0..sent));
                assert_eq!(log.producer.get(), Some(Outcome::Finished));
                assert_eq!(log.consumer.get(), Some(Outcome::Finished));
                let levels = rig.link.levels();
                assert_eq!(levels.drains, levels.times_full, "every pause ended in a drain");
            })
        });
    }
}

#[test]
fn every_schedule_that_appends_delivers_everything() {
    explores("append", 15_444, || {
        program(pair((32 << 10, 8 << 10, 8 << 10), 4, true, usize::MAX), |_, log, _| {
            assert_eq!(*log.received.borrow(), [0, 1, 2, 3]);
            assert_eq!(log.consumer.get(), Some(Outcome::Finished));
        })
    });
}

#[test]
fn aborted_stream_says_so_in_every_schedule() {
    explores("abort", 1_848, || {
        program(pair((2, 1, 1), 3, false, usize::MAX), |_, log, _| {
            assert_eq!(*log.received.borrow(), [0, 1, 2], "what was sent is delivered first");
            assert_eq!(log.consumer.get(), Some(Outcome::Closed));
        })
    });
}

#[test]
fn every_schedule_ends_when_the_consumer_leaves() {
    for (leave, expected) in [(0, 6), (1, 132), (2, 1_848), (3, 11_760)] {
        explores(&format!("leave after {leave}"), expected, || {
            program(pair((2, 1, 1), 4, true, leave), move |_, log, _| {
                assert_eq!(log.received.borrow().len(), leave);
                assert_eq!(log.consumer.get(), Some(Outcome::Left));
                assert!(log.producer.get().is_some());
            })
        });
    }
}

#[test]
fn cancel_ends_every_schedule() {
    for (marks, expected) in [((1, 0, 1), 6_160), ((2, 1, 1), 11_224)] {
        explores(&format!("cancel {marks:?}"), expected, || {
            let (rig, log, mut tasks) = pair(marks, 3, true, usize::MAX);
            let link = rig.link.clone();
            tasks.push(task("canceller", async move { link.cancel() }));
            program((rig, log, tasks), |_, log, _| {
                if log.consumer.get() == Some(Outcome::Finished) {
                    assert_eq!(*log.received.borrow(), [0, 1, 2], "cancelled too late");
                }
                assert!(log.producer.get().is_some() && log.consumer.get().is_some());
            })
        });
    }
}

/// Like [`produce`], but drops every wait once before it waits again, for another size.
async fn produce_impatiently(mut outlet: Outlet, count: u8, log: Rc<Log>) {
    for byte in 0..count {
        let early = {
            let mut reserve = pin!(outlet.reserve(2));
            poll_fn(|context| Poll::Ready(reserve.as_mut().poll(context))).await
        };
        let buffer = match early {
            Poll::Ready(buffer) => buffer,
            Poll::Pending => {
                step().await;
                outlet.reserve(1).await
            }
        };
        let mut buffer = buffer.expect("the consumer stays");
        buffer.fill_from(&[byte]);
        log.sent.set(byte + 1);
        outlet.send(buffer).expect("the consumer stays");
        step().await;
    }
    outlet.finish();
}

/// Like [`consume`], but tries first without waiting, and drops its wait once.
async fn consume_impatiently(mut inlet: Inlet, log: Rc<Log>) {
    loop {
        let early = {
            let mut receive = pin!(inlet.receive());
            poll_fn(|context| Poll::Ready(receive.as_mut().poll(context))).await
        };
        let chunk = match early {
            Poll::Ready(chunk) => chunk.expect("the producer finishes"),
            Poll::Pending => {
                step().await;
                match inlet.try_receive() {
                    Some(chunk) => Some(chunk),
                    None => inlet.receive().await.expect("the producer finishes"),
                }
            }
        };
        let Some(chunk) = chunk else {
            return log.consumer.set(Some(Outcome::Finished));
        };
        log.received.borrow_mut().extend_from_slice(chunk.as_slice());
        step().await;
    }
}

#[test]
fn dropped_waits_end_in_every_schedule() {
    explores("impatient", 13_131, || {
        let (rig, outlet, inlet) = Rig::new(8, 4, 2);
        let (rig, log) = (Rc::new(rig), Rc::new(Log::default()));
        let tasks = vec![
            task("producer", produce_impatiently(outlet, 6, log.clone())),
            task("consumer", consume_impatiently(inlet, log.clone())),
        ];
        let always = {
            let (rig, log) = (rig.clone(), log.clone());
            Box::new(move || {
                rig.assert_bounded();
                log.assert_in_order();
            })
        };
        Program {
            tasks,
            always,
            finally: Box::new(move |_| {
                rig.assert_nothing_is_held();
                assert_eq!(*log.received.borrow(), [0, 1, 2, 3, 4, 5]);
                assert_eq!(log.consumer.get(), Some(Outcome::Finished));
            }),
        }
    });
}

/// Passes on the chunks and the kind of end. It holds a chunk while it waits for room.
async fn pass_on(mut inlet: Inlet, mut outlet: Outlet) {
    loop {
        match inlet.receive().await {
            Ok(Some(chunk)) => {
                step().await;
                if outlet.forward(chunk).await.is_err() {
                    return;
                }
            }
            Ok(None) => return outlet.finish(),
            Err(Closed) => return,
        }
    }
}

/// Two links of one pool with a stage between them that forwards.
fn chain(marks: [(u64, u64); 2], count: u8, leave: usize, cancel: bool) -> Program {
    let pool = Arc::new(Pool::new(marks.iter().map(|(high, _)| high).sum()));
    let [(first, outlet, middle), (second, onwards, inlet)] =
        marks.map(|(high, low)| Rig::in_pool(Marks::new(high, low, 1), pool.clone()));
    let log = Rc::new(Log::default());
    let mut tasks = vec![
        task("producer", produce(outlet, count, 1, true, log.clone())),
        task("middle", pass_on(middle, onwards)),
        task("consumer", consume(inlet, leave, log.clone())),
    ];
    if cancel {
        let links = [first.link.clone(), second.link.clone()];
        tasks.push(task("canceller", async move {
            for link in &links {
                link.cancel();
            }
        }));
    }
    let rigs = Rc::new([first, second]);
    let always = {
        let (rigs, log) = (rigs.clone(), log.clone());
        Box::new(move || {
            rigs.iter().for_each(Rig::assert_bounded);
            log.assert_in_order();
        })
    };
    Program {
        tasks,
        always,
        finally: Box::new(move |wakes| {
            let [first, second] = rigs.each_ref().map(|rig| {
                rig.assert_nothing_is_held();
                rig.link.levels()
            });
            assert_eq!(wakes[0] as u64, first.times_full);
            assert_eq!(wakes[1] as u64, first.times_empty + second.times_full);
            assert_eq!(wakes[2] as u64, second.times_empty);
            let received = log.received.borrow().len();
            match log.consumer.get().expect("the consumer came to its end") {
                Outcome::Finished => assert_eq!(received, usize::from(count)),
                Outcome::Left => assert_eq!(received, leave),
                Outcome::Closed => assert!(cancel),
            }
        }),
    }
}

#[test]
fn every_schedule_of_a_forwarding_chain_ends() {
    explores("chain", 31_407, || chain([(1, 0), (1, 0)], 2, usize::MAX, false));
    explores("chain, left", 12_597, || chain([(1, 1), (1, 0)], 2, 1, false));
    explores("chain, cancelled", 1_848, || {
        chain([(1, 0), (1, 0)], 1, usize::MAX, true)
    });
}

/// Sends single bytes, each a record in a buffer that has room for two, and marks the last one. A record of `whole` bytes is
/// sent in the middle where that is not 0.
async fn produce_records(mut outlet: Outlet, count: u8, whole: usize, log: Rc<Log>) {
    for byte in 0..count {
        let buffer = if byte == count / 2 && whole > 0 {
            outlet.reserve_whole(whole).await
        } else {
            outlet.reserve_records(1, 2).await
        };
        let mut buffer = buffer.expect("the consumer stays");
        step().await;
        buffer.fill_from(&[byte]);
        buffer.count_records(1);
        log.sent.set(byte + 1);
        outlet.send(buffer).expect("the consumer stays");
    }
    step().await;
    outlet.mark(Position(7)).expect("the consumer stays");
    outlet.finish();
    log.producer.set(Some(Outcome::Finished));
}

/// Receives until the end; asserts that no record is lost and that the position comes after its bytes.
async fn consume_records(mut inlet: Inlet, log: Rc<Log>) {
    let (mut records, mut position) = (0, None);
    while let Some(chunk) = inlet.receive().await.expect("the producer finishes") {
        assert!(position.is_none(), "nothing comes behind the position");
        log.received.borrow_mut().extend_from_slice(chunk.as_slice());
        records += chunk.records();
        position = chunk.position();
        step().await;
        drop(chunk);
    }
    assert_eq!((records, position), (u64::from(log.sent.get()), Some(Position(7))));
    log.consumer.set(Some(Outcome::Finished));
}

#[test]
fn every_schedule_of_records_delivers_them() {
    for (bytes, records, whole, at_least) in [
        ((100, 100, 1), (1, 0), 0, 9),
        ((100, 100, 1), (8, 2), 0, 1_386),
        ((2, 1, 1), (100, 0), 0, 204),
        ((4, 2, 1), (4, 4), 4, 90),
    ] {
        explores(&format!("records {bytes:?} {records:?} {whole}"), at_least, || {
            let (high, low, chunk) = bytes;
            let marks = Marks::new(high, low, chunk).with_records(records.0, records.1);
            let (rig, outlet, inlet) = Rig::in_pool(marks, Arc::new(Pool::new(high)));
            let log = Rc::new(Log::default());
            let tasks = vec![
                task("producer", produce_records(outlet, 5, whole, log.clone())),
                task("consumer", consume_records(inlet, log.clone())),
            ];
            program((Rc::new(rig), log, tasks), |rig, log, _| {
                assert!(log.received.borrow().iter().copied().eq(0..5));
                assert_eq!(log.consumer.get(), Some(Outcome::Finished));
                let levels = rig.link.levels();
                assert_eq!(levels.drains, levels.times_full, "every pause ended in a drain");
            })
        });
    }
}

/// Passes every chunk to all open branches, and the kind of end.
async fn share_out(mut inlet: Inlet, mut outlets: Vec<Outlet>) {
    loop {
        match inlet.receive().await {
            Ok(Some(mut chunk)) => {
                let mut wanting = Vec::new();
                for mut outlet in outlets {
                    if outlet.share(&mut chunk).await.is_ok() {
                        wanting.push(outlet);
                    }
                }
                outlets = wanting;
            }
            Ok(None) => return outlets.into_iter().for_each(Outlet::finish),
            Err(Closed) => return,
        }
    }
}

/// Two branches of these marks behind chunks of two bytes, which wait from the start. Each branch's consumer leaves after so
/// many chunks; the first link or branch is cancelled where `cancelled` says so.
fn fan(marks: [(u64, u64, usize); 2], chunks: u8, leave: [usize; 2], cancelled: Option<usize>) -> Program {
    let source = 2 * u64::from(chunks);
    let pool = Arc::new(Pool::new(source + marks.iter().map(|(high, ..)| high).sum::<u64>()));
    let (first, mut outlet, middle) = Rig::in_pool(
        Marks {
            chunk: 2,
            ..Marks::new(source, 0, 2)
        },
        pool.clone(),
    );
    for chunk in 0..chunks {
        assert!(send_in(&mut outlet, 2, &[2 * chunk, 2 * chunk + 1]));
    }
    outlet.finish();
    let [(a, to_a, from_a), (b, to_b, from_b)] = marks.map(|(high, low, chunk)| {
        let marks = Marks {
            chunk,
            ..Marks::new(high, low, chunk)
        };
        Rig::in_pool(marks, pool.clone())
    });
    let logs = [(); 2].map(|()| Rc::new(Log::default()));
    for log in &logs {
        log.sent.set(2 * chunks);
    }
    let mut tasks = vec![
        task("fan", share_out(middle, vec![to_a, to_b])),
        task("a", consume(from_a, leave[0], logs[0].clone())),
        task("b", consume(from_b, leave[1], logs[1].clone())),
    ];
    let rigs = Rc::new([first, a, b]);
    if let Some(which) = cancelled {
        let link = rigs[which].link.clone();
        tasks.push(task("canceller", async move { link.cancel() }));
    }
    let always = {
        let (rigs, logs) = (rigs.clone(), logs.clone());
        Box::new(move || {
            rigs.iter().for_each(Rig::assert_bounded);
            for log in &logs {
                log.assert_in_order();
            }
        })
    };
    Program {
        tasks,
        always,
        finally: Box::new(move |_| {
            rigs.iter().for_each(Rig::assert_nothing_is_held);
            for (which, (log, leave)) in logs.iter().zip(leave).enumerate() {
                match log.consumer.get().expect("every branch came to its end") {
                    Outcome::Finished => assert_eq!(log.received.borrow().len(), 2 * usize::from(chunks)),
                    Outcome::Left => assert_ne!(leave, usize::MAX),
                    Outcome::Closed => assert!(cancelled == Some(0) || cancelled == Some(which + 1)),
                }
            }
        }),
    }
}

#[test]
fn every_schedule_of_a_fan_ends() {
    const ALL: usize = usize::MAX;
    for (what, marks, chunks, leave, cancelled, at_least) in [
        ("shared", [(2, 0, 2), (2, 2, 2)], 2, [ALL, ALL], None, 13_910),
        ("one byte", [(1, 0, 1), (2, 0, 2)], 1, [ALL, ALL], None, 480),
        ("left", [(2, 0, 2), (2, 0, 2)], 2, [1, ALL], None, 790),
        ("left at once", [(2, 0, 2), (2, 0, 2)], 2, [ALL, 0], None, 60),
        ("all left", [(2, 0, 2), (2, 0, 2)], 2, [1, 1], None, 480),
        ("source cancelled", [(2, 0, 2), (2, 0, 2)], 1, [ALL, ALL], Some(0), 722),
        ("branch cancelled", [(2, 0, 2), (2, 0, 2)], 1, [ALL, ALL], Some(1), 612),
    ] {
        explores(&format!("fan, {what}"), at_least, || {
            fan(marks, chunks, leave, cancelled)
        });
    }
}
