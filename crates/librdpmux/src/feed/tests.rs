//! The decisions of one picture, with a clock of the tests' own.

use super::*;

fn shape(width: i64, height: i64) -> Shape {
    Shape::new(format::X8R8G8B8, width, height).expect("a shape")
}

/// Copies what is due and tells it to a daemon.
fn hand_over(feed: &mut Feed, now: Instant) -> Option<Announcement> {
    let due = feed.due(now)?;
    feed.start(due);
    feed.done(due, true, now)
}

/// A feed that has handed its first picture over at `now`.
fn shown(now: Instant) -> Feed {
    let mut feed = Feed::default();
    feed.switch(shape(640, 480));
    hand_over(&mut feed, now).expect("the first picture");
    feed
}

fn area(announcement: Option<Announcement>) -> Option<(bool, Rect<Guest>)> {
    announcement.map(|told| (told.is_new, told.area))
}

const WHOLE: Option<(bool, Rect<Guest>)> = Some((true, Rect::new(0, 0, 640, 480)));

#[test]
fn the_first_picture_is_told_whole() {
    let now = Instant::now();
    let mut feed = Feed::default();
    feed.damage(0, 0, 10, 10);
    assert_eq!(feed.due(now), None);
    feed.switch(shape(640, 480));
    assert_eq!(area(hand_over(&mut feed, now)), WHOLE);
}

#[test]
fn nothing_is_copied_while_the_daemon_still_copies() {
    let now = Instant::now();
    let mut feed = shown(now);
    feed.damage(10, 10, 5, 5);
    feed.damage(30, 5, 5, 5);
    assert_eq!(feed.due(now), None);
    feed.answered(Answer::Copied, 25, now);
    assert_eq!(feed.rate(), 25);
    let told = hand_over(&mut feed, now);
    assert_eq!(area(told), Some((false, Rect::new(10, 5, 25, 10))));
    feed.switch(shape(640, 480));
    assert_eq!(feed.due(now), None, "another picture waits, too");
    feed.answered(Answer::Copied, 25, now);
    assert_eq!(area(hand_over(&mut feed, now)), WHOLE);
}

#[test]
fn a_lost_answer_costs_a_second_and_a_daemon_that_never_answers_no_more_than_that() {
    let now = Instant::now();
    let mut feed = shown(now);
    feed.damage(0, 0, 1, 1);
    let later = now + LONGEST_WAIT;
    assert!(hand_over(&mut feed, later).is_some(), "waited long enough");
    feed.damage(0, 0, 1, 1);
    assert!(hand_over(&mut feed, later).is_some(), "this daemon does not answer");
    feed.answered(Answer::Copied, 30, now);
    feed.damage(0, 0, 1, 1);
    assert!(hand_over(&mut feed, later).is_some());
    feed.damage(0, 0, 1, 1);
    assert_eq!(feed.due(later), None, "this one does after all");
    let latest = later + LONGEST_WAIT;
    assert!(hand_over(&mut feed, latest).is_some(), "a lost answer");
    feed.damage(0, 0, 1, 1);
    assert_eq!(feed.due(latest), None, "and it is still waited for");
}

#[test]
fn a_daemon_that_comes_later_or_anew_is_told_what_the_memory_holds() {
    let now = Instant::now();
    let mut feed = Feed::default();
    feed.switch(shape(640, 480));
    let due = feed.due(now).expect("the first picture");
    feed.start(due);
    assert_eq!(feed.introduce(now), None, "not while it is written");
    assert_eq!(feed.done(due, false, now), None);
    assert_eq!(area(feed.introduce(now)), WHOLE);
    assert_eq!(feed.introduce(now), None);
    feed.answered(Answer::Copied, 60, now);
    feed.lost();
    assert_eq!(feed.rate(), IDLE_RATE);
    feed.damage(0, 0, 1, 1);
    let due = feed.due(now).expect("copied while nobody reads");
    feed.start(due);
    assert_eq!(area(feed.done(due, true, now)), WHOLE, "one that came meanwhile");
}

#[test]
fn a_daemon_that_could_not_copy_is_told_everything_again() {
    let now = Instant::now();
    let mut feed = shown(now);
    feed.answered(Answer::Failed, 30, now);
    assert_eq!(feed.due(now), None, "not at once");
    assert_eq!(area(hand_over(&mut feed, now + LONGEST_WAIT)), WHOLE);
}

#[test]
fn a_new_rate_that_crosses_an_update_is_not_taken_for_its_answer() {
    let now = Instant::now();
    let mut feed = shown(now);
    feed.damage(0, 0, 1, 1);
    feed.answered(Answer::CopiedOrRate, 12, now);
    assert_eq!(feed.rate(), 12);
    assert_eq!(feed.due(now), None, "the daemon may still copy");
    feed.answered(Answer::CopiedOrRate, 12, now);
    assert!(hand_over(&mut feed, now).is_some(), "that was the answer");
    feed.damage(0, 0, 1, 1);
    feed.answered(Answer::CopiedOrRate, 13, now);
    assert_eq!(feed.due(now), None);
    assert!(hand_over(&mut feed, now + DOUBT).is_some(), "the first was the answer");
    feed.answered(Answer::CopiedOrRate, 13, now);
    feed.damage(0, 0, 1, 1);
    assert!(feed.due(now).is_some(), "no new rate, no doubt");
}

#[test]
fn what_could_not_be_copied_remains() {
    let now = Instant::now();
    let mut feed = shown(now);
    feed.answered(Answer::Copied, 30, now);
    feed.damage(0, 0, 8, 8);
    let due = feed.due(now).expect("dirty");
    feed.start(due);
    assert_eq!(feed.due(now), None, "one copy at a time");
    feed.damage(100, 100, 8, 8);
    feed.failed(due);
    assert_eq!(feed.due(now).map(|due| due.area), Some(Rect::new(0, 0, 108, 108)));
}

#[test]
fn a_shape_that_was_set_during_a_copy_is_told_instead() {
    let now = Instant::now();
    let mut feed = Feed::default();
    feed.switch(shape(320, 200));
    let due = feed.due(now).expect("the first picture");
    feed.start(due);
    feed.switch(shape(640, 480));
    assert_eq!(feed.done(due, true, now), None);
    assert_eq!(area(hand_over(&mut feed, now)), WHOLE);
}

#[test]
fn changes_outside_of_the_picture_are_left_out() {
    let now = Instant::now();
    let mut feed = shown(now);
    feed.answered(Answer::Copied, 30, now);
    for [x, y, width, height] in [
        [640, 0, 5, 5],
        [-5, 0, 5, 5],
        [0, 0, -1, 5],
        [0, 0, 5, 0],
        [i32::MAX, i32::MAX, i32::MAX, i32::MAX],
        [i32::MIN, i32::MIN, i32::MAX, i32::MAX],
    ] {
        feed.damage(x, y, width, height);
        assert_eq!(feed.due(now), None, "{x} {y} {width} {height}");
    }
    feed.damage(-5, 470, 10, i32::MAX);
    assert_eq!(feed.due(now).map(|due| due.area), Some(Rect::new(0, 470, 5, 10)));
}

#[test]
fn pictures_that_no_daemon_shows_are_refused() {
    assert_eq!(Shape::new(7, 10, 10), Err(ShapeError::Format(7)));
    for (width, height) in [(0, 1), (1, 0), (-1, 5), (8193, 1), (1 << 40, 1)] {
        let refused = Shape::new(format::X8R8G8B8, width, height);
        assert_eq!(refused, Err(ShapeError::Size { width, height }));
    }
}
