//! What a snapshot is relative to, on a paused clock.

use tokio::time::{advance, sleep};

use super::*;
use crate::engine::Watch;
use crate::flow::{Inlet, Link, Marks, Outlet, Pool, StageMeter, Wait, block_on};
use crate::graph::Id;
use crate::platform::{Descriptor, Transfer};

const TENTH: Duration = Duration::from_millis(100);

/// Observes ten times a second, as a view does; returns the bottleneck of each time.
async fn observe(sampler: &mut Sampler, tenths: u32) -> Vec<Option<usize>> {
    let mut named = Vec::new();
    for _ in 0..tenths {
        sleep(TENTH).await;
        sampler.observe();
        named.push(sampler.named.map(Id::number));
    }
    named
}

fn watch(stages: usize) -> (Arc<Watch>, Vec<Arc<StageMeter>>) {
    let watch = Arc::new(Watch::detached(stages));
    let meters = watch.stages.values().iter().map(|stage| stage.meter.clone()).collect();
    (watch, meters)
}

/// The clock is exact, so parts are whole numbers of thousandths.
#[allow(clippy::cast_possible_truncation, reason = "small numbers")]
fn thousandths(part: f64) -> i64 {
    (part * 1000.0).round() as i64
}

#[tokio::test(start_paused = true)]
async fn rate_covers_the_last_five_seconds() {
    let (watch, meters) = watch(2);
    let mut sampler = Sampler::new(watch);
    observe(&mut sampler, 100).await;
    meters[0].add_out(1000);
    for _ in 0..5 {
        observe(&mut sampler, 9).await;
        sleep(TENTH).await;
        assert_eq!(thousandths(sampler.sample().stages.values()[0].rate), 200_000);
    }
    sleep(TENTH).await;
    assert_eq!(thousandths(sampler.sample().stages.values()[0].rate), 0);
    assert_eq!(
        thousandths(sampler.end().stages.values()[0].rate),
        66_225,
        "in 15.1 seconds"
    );
}

#[tokio::test(start_paused = true)]
async fn shares_are_since_the_last_sample() {
    let (watch, meters) = watch(2);
    let mut sampler = Sampler::new(watch);
    let wait = meters[0].wait(Wait::Backpressured);
    advance(TENTH * 10).await;
    let first = sampler.sample().stages.values()[0].share.expect("known");
    drop(wait);
    advance(TENTH * 30).await;
    let second = sampler.sample().stages.values()[0].share.expect("known");
    let whole = sampler.end().stages.values()[0].share.expect("known");
    let backpressured = [first, second, whole].map(|share| thousandths(share.backpressured));
    assert_eq!(backpressured, [1000, 0, 250]);
    assert_eq!(
        thousandths(sampler.look().stages.values()[0].share.expect("known").backpressured),
        250,
        "recently"
    );
}

#[tokio::test(start_paused = true)]
async fn bottleneck_at_the_end_is_of_all_time() {
    let (watch, meters) = watch(2);
    let mut sampler = Sampler::new(watch);
    let idle = meters[1].wait(Wait::Idle);
    let before = observe(&mut sampler, 25).await;
    drop(idle);
    let _full = meters[0].wait(Wait::Backpressured);
    let after = observe(&mut sampler, 35).await;
    assert_eq!((before[24], after[20], after[34]), (Some(0), Some(0), Some(1)));
    assert_eq!(sampler.end().bottleneck.map(Id::number), Some(1));
}

#[tokio::test(start_paused = true)]
async fn ended_stages_are_not_named() {
    let (watch, meters) = watch(3);
    let mut sampler = Sampler::new(watch.clone());
    assert_eq!(observe(&mut sampler, 10).await[9], Some(2));
    assert!(!sampler.look().run.paused);
    watch.controls().pause();
    assert!(sampler.look().run.paused);
    meters[2].end();
    assert!(!sampler.look().run.paused);
    sampler.observe();
    assert_eq!(sampler.named.map(Id::number), Some(1));
}

#[test]
fn advisory_marks_name_the_overwhelmed_stage() {
    let pool = Arc::new(Pool::advisory(100, u64::MAX));
    let link = Link::new(Marks::new(100, 50, 25).advisory(), pool);
    let watch = Arc::new(Watch {
        links: [link.clone()].into_iter().collect(),
        is_unbounded: true,
        ..Watch::detached(3)
    });
    let mut outlet = Outlet::new(link.clone(), watch.stages.values()[0].meter.clone());
    let mut inlet = Inlet::new(link, watch.stages.values()[1].meter.clone());
    for _ in 0..5 {
        block_on(outlet.copy(&[7; 25])).expect("the consumer is there");
    }
    while inlet.try_receive().is_some() {}
    let mut sampler = Sampler::new(watch);
    assert_eq!(
        sampler.end().bottleneck.map(Id::number),
        Some(1),
        "not the last of those that are busy"
    );
}

#[test]
fn kernel_queue_never_exceeds_its_peak() {
    let (read, write) = rustix::pipe::pipe().expect("a pipe");
    let read = Arc::new(Descriptor::own(read).expect("own"));
    let (watch, _) = watch(2);
    watch.stages.values()[0].external_fd.reads(&read);
    let mut sampler = Sampler::new(watch);
    let mut seen = |what: fn(&mut Sampler) -> Snapshot| {
        let snapshot = what(&mut sampler);
        let stage = &snapshot.stages.values()[0];
        (stage.kernel_queue, stage.kernel_queue_peak)
    };
    assert_eq!(seen(Sampler::recent), (Some(0), 0));
    assert_eq!(rustix::io::write(&write, &[7; 1000]), Ok(1000));
    assert_eq!(seen(Sampler::look), (Some(1000), 1000));
    assert_eq!(read.read(&mut [0; 600]).expect("there are bytes"), Transfer::Bytes(600));
    assert_eq!(seen(Sampler::end), (Some(400), 1000));
}
