//! A consumer that is held on purpose.

use super::*;

#[test]
fn held_consumer_fills_the_link() {
    let (rig, mut outlet, mut inlet) = Rig::new(100, 50, 25);
    assert!(send_in(&mut outlet, 25, &[1; 25]));
    drop(receive(&mut inlet));
    rig.link.hold();
    assert_eq!(fill_up(&mut outlet, 25), 100, "the producer runs on to the high mark");
    assert!(now(inlet.receive()).is_none());
    assert!(inlet.try_receive().is_none() && !inlet.is_ready());
    assert_eq!(
        (rig.level(), rig.consumer.bytes_in()),
        (100, 25),
        "not a byte more was taken"
    );
    let levels = rig.link.levels();
    assert_eq!((levels.times_full, levels.times_empty, levels.drains), (1, 0, 0));
    rig.link.let_go();
    let mut taken = 0;
    while let Some(chunk) = inlet.try_receive() {
        taken += chunk.len();
    }
    assert_eq!((taken, rig.level(), rig.link.levels().drains), (100, 0, 1));
    drop((outlet, inlet));
    rig.assert_nothing_is_held();
}

#[test]
fn held_consumer_does_not_see_the_end() {
    let (rig, outlet, mut inlet) = Rig::new(100, 50, 25);
    rig.link.hold();
    outlet.finish();
    assert!(now(inlet.receive()).is_none());
    rig.link.let_go();
    assert!(matches!(now(inlet.receive()), Some(Ok(None))));
}

#[test]
fn holding_and_releasing_wake_the_consumer() {
    let (rig, _outlet, mut inlet) = Rig::new(100, 50, 25);
    let (woken, waker) = counted();
    assert!(poll_with(inlet.receive(), &waker).is_pending());
    rig.link.hold();
    assert_eq!(woken.get(), 1, "it now waits for something else");
    assert!(poll_with(inlet.receive(), &waker).is_pending());
    rig.link.let_go();
    assert_eq!(woken.get(), 2);
}

#[test]
fn cancel_wakes_a_held_consumer() {
    let (rig, mut outlet, mut inlet) = Rig::new(100, 50, 25);
    assert_eq!(fill_up(&mut outlet, 25), 100);
    rig.link.hold();
    let (woken, waker) = counted();
    assert!(poll_with(inlet.receive(), &waker).is_pending());
    rig.link.cancel();
    assert_eq!(woken.get(), 1);
    assert!(matches!(now(inlet.receive()), Some(Err(Closed))));
    drop((outlet, inlet));
    rig.assert_nothing_is_held();
}

#[test]
fn held_time_counts_as_outside_wait() {
    let (rig, _outlet, mut inlet) = Rig::new(100, 50, 25);
    let mut receiving = pin!(inlet.receive());
    let mut context = Context::from_waker(Waker::noop());
    let kind = |rig: &Rig| rig.consumer.open_wait();
    assert!(receiving.as_mut().poll(&mut context).is_pending());
    assert_eq!(kind(&rig), Some(Wait::Idle));
    rig.link.hold();
    assert!(receiving.as_mut().poll(&mut context).is_pending());
    assert_eq!(kind(&rig), Some(Wait::Outside));
    rig.link.let_go();
    assert!(receiving.as_mut().poll(&mut context).is_pending());
    assert_eq!(kind(&rig), Some(Wait::Idle));
}
