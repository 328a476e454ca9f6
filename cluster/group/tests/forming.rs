//! What a master does before its history begins, rule by rule.

use std::time::Duration;

use group::waiting::{Awaited, Reason};
use group::{Event, Forming, GroupId, Membership, Position, Record, Stand, Start, Step, Testimony, Waiting};
use protocol::{BrokerId, PhysicalOffset};
use store::{EpochEntry, LogHistory};

const LATE: Duration = Duration::from_secs(6);

fn log(epochs: &[(u64, i64)], max: i64) -> LogHistory {
    let epochs = epochs.iter().map(|(id, start)| EpochEntry { id: *id, start: PhysicalOffset(*start) }).collect();
    LogHistory { epochs, min: PhysicalOffset(0), max: PhysicalOffset(max) }
}

fn membership(generation: u64, members: &[i64]) -> Membership {
    let group = (generation > 0).then(|| GroupId("g".to_owned()));
    let mut membership = Membership { group, generation, ..Membership::default() };
    for id in members {
        membership.join(BrokerId(*id), &format!("s{id}:1"));
    }
    membership
}

fn start(history: LogHistory, membership: Membership) -> Start {
    Start {
        former_id: None,
        history,
        membership,
        copying_until: None,
        needs_slave: true,
        patience: Some(Duration::from_secs(5)),
        name_servers: vec!["ns:1".to_owned()],
    }
}

fn forming(start: Start) -> Forming {
    Forming::new(start, Duration::ZERO)
}

fn heard(id: i64, history: LogHistory, membership: Membership) -> Event {
    Event::Heard { broker_id: BrokerId(id), addr: format!("s{id}:1"), history, membership }
}

fn says(testimony: Testimony) -> Event {
    Event::Testified("ns:1".to_owned(), testimony)
}

fn knows(membership: Membership) -> Event {
    says(Testimony::Knows(Record { membership, stands: Vec::new() }))
}

fn apply(forming: &mut Forming, events: impl IntoIterator<Item = Event>) {
    events.into_iter().for_each(|event| forming.apply(event, Duration::ZERO));
}

fn waits(forming: &Forming, now: Duration) -> Waiting {
    match forming.step(now) {
        Step::Wait(waiting, _) => waiting,
        other => panic!("{other:?}"),
    }
}

fn awaited(forming: &Forming, now: Duration) -> Vec<(i64, Reason)> {
    match waits(forming, now) {
        Waiting::Members(members) => {
            members.into_iter().map(|Awaited { broker_id, reason, .. }| (broker_id.0, reason)).collect()
        }
        other => panic!("{other}"),
    }
}

fn begins(forming: &Forming, now: Duration) -> u64 {
    match forming.step(now) {
        Step::Begin { generation, .. } => generation,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_first_start_is_told_by_evidence_and_not_by_silence() {
    let mut first = forming(start(log(&[], 0), membership(0, &[])));
    assert!(matches!(waits(&first, LATE * 100), Waiting::NameServers(_)), "nobody has said anything");
    apply(&mut first, [says(Testimony::KnowsNothing)]);
    assert_eq!(waits(&first, LATE), Waiting::AnySlave, "a SYNC_MASTER loses nothing by waiting");
    apply(&mut first, [heard(1, log(&[], 0), membership(0, &[]))]);
    assert_eq!(begins(&first, Duration::ZERO), 1);

    let alone = Start { needs_slave: false, ..start(log(&[], 0), membership(0, &[])) };
    let mut single = forming(alone.clone());
    apply(&mut single, [says(Testimony::KnowsNothing)]);
    assert_eq!(begins(&single, Duration::ZERO), 1);
    let nobody_to_ask = forming(Start { name_servers: Vec::new(), ..alone.clone() });
    assert_eq!(begins(&nobody_to_ask, Duration::ZERO), 1);
    let mut with_apaches = forming(alone);
    apply(&mut with_apaches, [says(Testimony::CannotTell)]);
    assert_eq!(begins(&with_apaches, Duration::ZERO), 1);
}

#[test]
fn an_empty_store_of_a_group_with_a_history_waits_for_its_members() {
    let mut lost = forming(start(log(&[], 0), membership(0, &[])));
    apply(&mut lost, [knows(membership(3, &[1, 2]))]);
    let both = vec![(1, Reason::OwnIsEmpty), (2, Reason::OwnIsEmpty)];
    assert_eq!(awaited(&lost, LATE * 100), both);
    apply(&mut lost, [heard(1, log(&[(7, 0)], 500), membership(3, &[1, 2]))]);
    assert_eq!(awaited(&lost, LATE * 100), both[1..], "the other may have more");
    apply(&mut lost, [heard(2, log(&[(7, 0)], 400), membership(3, &[1, 2]))]);
    assert!(matches!(lost.step(Duration::ZERO), Step::Take(BrokerId(1), _)));
    apply(&mut lost, [Event::Took(BrokerId(1), log(&[(7, 0)], 500))]);
    assert_eq!(begins(&lost, Duration::ZERO), 4);
}

#[test]
fn when_all_members_have_lost_everything_nobody_can_have_anything() {
    let mut lost = forming(start(log(&[], 0), membership(0, &[])));
    apply(&mut lost, [knows(membership(3, &[1])), heard(1, log(&[], 0), membership(0, &[]))]);
    assert_eq!(begins(&lost, Duration::ZERO), 4);
}

#[test]
fn patience_counts_from_the_last_progress() {
    let mut master = forming(start(log(&[(7, 0)], 500), membership(1, &[1])));
    assert_eq!(awaited(&master, Duration::from_secs(4)), [(1, Reason::MayHaveMore)]);
    master.apply(Event::Progress, Duration::from_secs(4));
    assert_eq!(awaited(&master, Duration::from_secs(8)), [(1, Reason::MayHaveMore)]);
    assert_eq!(begins(&master, Duration::from_secs(9)), 2);
}

#[test]
fn what_a_slave_is_known_to_have_more_is_waited_for_without_end() {
    let position = Position { epoch: EpochEntry { id: 7, start: PhysicalOffset(0) }, end: PhysicalOffset(600) };
    let stand = Stand { broker_id: BrokerId(1), addr: "s1:1".to_owned(), position: Some(position), is_stopped: true };
    let testimony = Testimony::Knows(Record { membership: membership(1, &[1]), stands: vec![stand] });
    let mut older_image = forming(start(log(&[(7, 0)], 500), membership(1, &[1])));
    apply(&mut older_image, [says(testimony.clone())]);
    assert_eq!(awaited(&older_image, LATE * 100), [(1, Reason::HasMore { end: PhysicalOffset(600) })]);
    let mut whole = forming(start(log(&[(7, 0)], 600), membership(1, &[1])));
    apply(&mut whole, [says(testimony)]);
    assert_eq!(begins(&whole, LATE), 2, "it has all of what the slave had when it stopped");
}

#[test]
fn a_member_that_goes_while_it_has_more_is_waited_for() {
    let mut master = forming(start(log(&[(7, 0)], 500), membership(1, &[1])));
    apply(&mut master, [heard(1, log(&[(7, 0)], 600), membership(1, &[1])), Event::Gone(BrokerId(1))]);
    assert_eq!(awaited(&master, LATE * 100), [(1, Reason::HasMore { end: PhysicalOffset(600) })]);
    apply(&mut master, [Event::Removed(BrokerId(1))]);
    assert_eq!(begins(&master, Duration::ZERO), 2);
}

#[test]
fn a_later_master_goes_before_and_two_histories_are_the_operators() {
    let mut demoted = forming(start(log(&[(7, 0)], 620), membership(1, &[1])));
    apply(&mut demoted, [heard(1, log(&[(7, 0), (8, 500)], 900), membership(2, &[]))]);
    assert_eq!(demoted.step(Duration::ZERO), Step::Cut(PhysicalOffset(500), BrokerId(1)));
    let mut split = forming(start(log(&[(7, 0), (9, 500)], 620), membership(2, &[1])));
    apply(&mut split, [heard(1, log(&[(7, 0), (8, 500)], 900), membership(2, &[]))]);
    assert!(waits(&split, LATE).to_string().contains("Only this store has 500..620, and only broker 1 has 500..900"));
    apply(&mut split, [Event::LossAccepted]);
    assert_eq!(begins(&split, Duration::ZERO), 3);
}

#[test]
fn the_disk_of_another_group_does_not_lead() {
    let mut other = forming(start(log(&[(7, 0)], 500), membership(1, &[])));
    let known = Membership { group: Some(GroupId("h".to_owned())), ..membership(5, &[]) };
    apply(&mut other, [knows(known)]);
    assert!(waits(&other, LATE).to_string().contains("the store belongs to group g, and name servers know group h"));
    apply(&mut other, [Event::LossAccepted]);
    assert_eq!(begins(&other, Duration::ZERO), 6);
}

#[test]
fn a_slave_of_apaches_that_has_nothing_more_is_no_reason_to_wait() {
    let mut first = forming(start(log(&[], 0), membership(0, &[])));
    apply(&mut first, [says(Testimony::CannotTell), Event::Listed(vec![(BrokerId(1), "10.0.0.2:10911".to_owned())])]);
    assert_eq!(awaited(&first, LATE), [(1, Reason::OwnIsEmpty)]);
    apply(&mut first, [Event::HeardApaches { host: "10.0.0.2".to_owned(), end: PhysicalOffset(0) }]);
    assert_eq!(begins(&first, Duration::ZERO), 1);
}

#[test]
fn what_a_removal_would_give_up_is_known_before() {
    let more = Position { epoch: EpochEntry { id: 7, start: PhysicalOffset(0) }, end: PhysicalOffset(600) };
    let stand = |end| Stand {
        broker_id: BrokerId(2),
        addr: "s2:1".to_owned(),
        position: Some(Position { end: PhysicalOffset(end), ..more }),
        is_stopped: true,
    };
    let mut master = forming(start(log(&[(7, 0)], 500), membership(1, &[1, 2])));
    assert_eq!(master.needs(BrokerId(1)), Some(Reason::MayHaveMore));
    assert_eq!(master.needs(BrokerId(9)), None, "it is no member");
    let testimony =
        |end| says(Testimony::Knows(Record { membership: membership(1, &[1, 2]), stands: vec![stand(end)] }));
    apply(&mut master, [testimony(500)]);
    assert_eq!(master.needs(BrokerId(2)), None, "it has stopped with what this store has");
    apply(&mut master, [testimony(600)]);
    assert_eq!(master.needs(BrokerId(2)), Some(Reason::HasMore { end: PhysicalOffset(600) }));
    apply(&mut master, [heard(1, log(&[(7, 0)], 550), membership(1, &[1, 2]))]);
    assert_eq!(master.needs(BrokerId(1)), Some(Reason::HasMore { end: PhysicalOffset(550) }));
    apply(&mut master, [Event::Took(BrokerId(1), log(&[(7, 0)], 550))]);
    assert_eq!(master.needs(BrokerId(1)), None, "it has given what it has");
    apply(&mut master, [Event::LossAccepted]);
    assert_eq!(master.needs(BrokerId(2)), None, "an operator has given it up");
    let empty = forming(start(log(&[], 0), membership(0, &[])));
    assert_eq!(empty.needs(BrokerId(3)), Some(Reason::OwnIsEmpty), "nobody has said yet who belongs to the group");
    let mut older = forming(start(log(&[(7, 0)], 500), membership(1, &[])));
    apply(&mut older, [knows(membership(4, &[1]))]);
    assert_eq!(older.needs(BrokerId(3)), Some(Reason::OwnIsOlder));
}

#[test]
fn the_disk_of_another_group_does_not_speak_for_a_member() {
    let other = Membership { group: Some(GroupId("h".to_owned())), ..membership(9, &[1]) };
    let stranger = heard(1, log(&[(5, 0)], 900), other);
    // Whether it comes before or after the evidence.
    for events in [[stranger.clone(), knows(membership(3, &[1]))], [knows(membership(3, &[1])), stranger]] {
        let mut lost = forming(start(log(&[], 0), membership(0, &[])));
        apply(&mut lost, events);
        assert_eq!(awaited(&lost, LATE * 100), [(1, Reason::IsStranger)]);
        apply(&mut lost, [Event::Gone(BrokerId(1)), heard(1, log(&[(7, 0)], 500), membership(3, &[1]))]);
        assert!(matches!(lost.step(Duration::ZERO), Step::Take(BrokerId(1), _)));
    }
    // One that nobody knows is no reason to wait.
    let mut master = forming(start(log(&[(7, 0)], 500), membership(1, &[])));
    let other = Membership { group: Some(GroupId("h".to_owned())), ..membership(9, &[]) };
    apply(&mut master, [heard(2, log(&[(5, 0)], 900), other)]);
    assert_eq!(begins(&master, Duration::ZERO), 2);
    assert!(master.membership().members.is_empty(), "nor a member");
}

#[test]
fn an_empty_store_takes_the_identity_of_the_group_with_its_log() {
    let mut lost = forming(start(log(&[], 0), membership(0, &[])));
    apply(&mut lost, [says(Testimony::KnowsNothing), heard(1, log(&[(7, 0)], 500), membership(3, &[1]))]);
    apply(&mut lost, [Event::Took(BrokerId(1), log(&[(7, 0)], 500))]);
    let Step::Begin { group, generation, .. } = lost.step(LATE) else { panic!("it begins") };
    assert_eq!((group, generation), (Some(GroupId("g".to_owned())), 4));
}

#[test]
fn who_has_led_as_often_under_another_life_is_older_than_the_one_that_is_known() {
    let of = |life| Membership { life, ..membership(2, &[1]) };
    let mut twin = forming(start(log(&[(7, 0)], 500), of(5)));
    apply(&mut twin, [knows(of(5))]);
    assert_eq!(begins(&twin, LATE), 3, "it is the one that is known");
    let mut twin = forming(start(log(&[(7, 0)], 500), of(5)));
    apply(&mut twin, [knows(of(6))]);
    assert_eq!(awaited(&twin, LATE * 100), [(1, Reason::OwnIsOlder)]);
}

#[test]
fn a_slave_that_was_made_async_master_gives_the_last_master_time() {
    let promoted =
        Start { former_id: Some(BrokerId(1)), needs_slave: false, ..start(log(&[(7, 0)], 500), membership(2, &[1])) };
    let mut master = forming(promoted);
    assert_eq!(waits(&master, Duration::ZERO), Waiting::LastMaster);
    assert_eq!(begins(&master, LATE), 3, "it is dead, as a rule");
    apply(&mut master, [heard(1, log(&[(7, 0)], 550), membership(2, &[1]))]);
    assert!(matches!(master.step(Duration::ZERO), Step::Take(BrokerId(1), _)));
    apply(&mut master, [Event::Took(BrokerId(1), log(&[(7, 0)], 550))]);
    assert_eq!(begins(&master, Duration::ZERO), 3);
}
