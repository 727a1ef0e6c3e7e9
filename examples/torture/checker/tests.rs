use super::*;
use crate::{
    history::Stand,
    word::{Message, Word},
};

const VALIDITY: Duration = Duration::from_millis(988);

fn at(ms: u64) -> BootInstant {
    BootInstant::from_nanos(ms * 1_000_000)
}

fn span(from: u64, to: u64) -> Span {
    Span { from: at(from), to: at(to) }
}

/// A history as workers tell it.
#[derive(Default)]
struct Tale(History);

impl Tale {
    fn say(&mut self, ms: u64, number: u32, token: u64, word: Word) -> &mut Self {
        self.0.hear(&Message { at: at(ms), number, token, word });
        self
    }

    /// Asked for at `sent`, and answered 5 ms later.
    fn granted(&mut self, sent: u64, number: u32, token: u64) -> &mut Self {
        let until = at(sent).saturating_add(VALIDITY);
        self.say(sent + 5, number, token, Word::Granted { sent: at(sent), until })
    }

    fn about(&mut self, ms: u64, number: u32, token: u64, id: u64, bases: [u64; 3]) -> &mut Self {
        let until = at(ms + 100);
        self.say(ms, number, token, Word::About { is_first: false, until, id, bases })
    }

    fn wrote(&mut self, ms: u64, number: u32, token: u64, id: u64, how: [Outcome; 3]) -> &mut Self {
        self.say(ms, number, token, Word::Wrote { is_valid: false, id, outcomes: how })
    }

    fn ended(&mut self, ms: u64, number: u32, token: u64) -> &mut Self {
        self.say(ms, number, token, Word::Ended { why: "resigns".to_owned() })
    }

    fn finals(&mut self, finals: [u64; 3]) -> &mut Self {
        self.0.finals = finals;
        self
    }

    fn verdict(&self) -> Verdict {
        check(&self.0, VALIDITY)
    }

    fn violations(&self) -> Vec<Violation> {
        self.verdict().violations
    }
}

use Outcome::{Acknowledged as Ack, Refused, Unknown};

#[test]
fn a_good_history_has_nothing_against_it() {
    let mut tale = Tale::default();
    tale.granted(0, 1, 10).about(20, 1, 10, 1, [0; 3]).wrote(20, 1, 10, 1, [Ack; 3]);
    tale.ended(300, 1, 10);
    // Right behind the end of the former, and until right before the beginning of the next.
    tale.granted(301, 2, 11).about(320, 2, 11, 2, [1; 3]).wrote(320, 2, 11, 2, [Ack; 3]);
    tale.granted(301 + 988, 3, 12).finals([2; 3]);
    let verdict = tale.verdict();
    assert_eq!((verdict.violations, verdict.lost), (vec![], [0; 3]));
}

#[test]
fn two_grants_of_one_token_are_found() {
    let mut tale = Tale::default();
    tale.granted(0, 1, 10).ended(100, 1, 10).granted(200, 2, 10);
    assert_eq!(tale.violations(), [Violation::TokenTwice { token: 10 }]);
}

#[test]
fn a_token_that_goes_back_is_found() {
    let mut tale = Tale::default();
    tale.granted(0, 1, 10).ended(100, 1, 10).granted(200, 2, 9).ended(300, 2, 9);
    tale.granted(400, 1, 11);
    assert_eq!(tale.violations(), [Violation::TokenBackwards { token: 9, after: 10 }]);
}

#[test]
fn grants_that_were_under_way_together_may_be_answered_in_either_order() {
    let mut tale = Tale::default();
    let granted = |sent| Word::Granted { sent: at(sent), until: at(0) };
    // The second was over before its worker, which was stopped, came to see it.
    tale.say(20, 1, 10, granted(15)).ended(21, 1, 10).say(1_500, 2, 9, granted(10));
    assert_eq!(tale.violations(), []);
}

#[test]
fn claims_that_overlap_are_found_by_how_much() {
    let mut tale = Tale::default();
    tale.granted(0, 1, 10).granted(900, 2, 11);
    let by = Duration::from_millis(988 - 905);
    assert_eq!(tale.violations(), [Violation::Overlap { former: 10, latter: 11, by }]);
    // Not only of neighbours.
    let mut tale = Tale::default();
    tale.granted(0, 1, 10).granted(700, 2, 11).ended(710, 2, 11).granted(800, 3, 12);
    assert_eq!(tale.violations().len(), 2);
}

#[test]
fn claims_may_overlap_across_a_breach_and_not_on_one_side_of_it() {
    let mut tale = Tale::default();
    tale.granted(0, 1, 10).granted(500, 2, 11).0.breaches.push(span(300, 310));
    assert_eq!((tale.verdict().violations, tale.verdict().excused), (vec![], 1));
    tale.granted(900, 3, 12);
    let found = tale.violations();
    assert!(matches!(found[..], [Violation::Overlap { former: 11, latter: 12, .. }]), "{found:?}");
}

/// Its answer was on its way when the server was killed.
#[test]
fn a_grant_that_is_answered_within_a_breach_counts_as_one_of_before() {
    let mut tale = Tale::default();
    tale.granted(297, 1, 10).granted(900, 2, 11).0.breaches.push(span(300, 400));
    assert_eq!((tale.verdict().violations, tale.verdict().excused), (vec![], 1));
    // One that was asked for behind it does not.
    tale.0 = History::default();
    tale.granted(401, 1, 10).granted(900, 2, 11).0.breaches.push(span(300, 400));
    assert_eq!((tale.violations().len(), tale.verdict().excused), (1, 0));
}

#[test]
fn a_breach_is_no_excuse_for_a_lease_that_was_renewed_behind_it() {
    let mut tale = Tale::default();
    tale.granted(0, 1, 10).0.breaches.push(span(300, 310));
    // It was renewed at 362 or later, and is granted to another all the same.
    tale.about(1_350, 1, 10, 1, [0; 3]).granted(1_355, 2, 11);
    let by = Duration::from_millis(1_450 - 1_360);
    let found = tale.verdict();
    assert_eq!(found.violations, [Violation::Overlap { former: 10, latter: 11, by }]);
    assert_eq!(found.excused, 0);
}

#[test]
fn a_lease_that_outlives_a_stop_of_its_process_is_found() {
    let mut tale = Tale::default();
    tale.granted(0, 1, 10);
    tale.0.stands.push(Stand { number: 1, span: span(100, 100 + 989) });
    let still = || Word::Wrote { is_valid: true, id: 7, outcomes: [Unknown; 3] };
    tale.say(1_090, 1, 10, still());
    assert_eq!(tale.violations(), [Violation::ValidAfterStop { token: 10, at: at(1_090) }]);
    // One that was granted behind the stop is another.
    let mut tale = Tale::default();
    tale.0.stands.push(Stand { number: 1, span: span(100, 100 + 989) });
    tale.granted(1_100, 1, 11).say(1_200, 1, 11, still());
    assert_eq!(tale.violations(), []);
    // As long as a lease may be renewed right before the stop it may be valid behind it.
    let mut tale = Tale::default();
    tale.0.stands.push(Stand { number: 1, span: span(100, 100 + 987) });
    tale.granted(0, 1, 10).say(1_090, 1, 10, still());
    assert_eq!(tale.violations(), []);
}

#[test]
fn a_lease_that_outlives_an_outage_of_its_store_is_found() {
    let mut tale = Tale::default();
    tale.0.outages.push(span(100, 3_000));
    tale.granted(0, 1, 10).about(1_080, 1, 10, 1, [0; 3]);
    assert_eq!(tale.violations(), []);
    tale.about(1_100, 1, 10, 2, [0; 3]);
    assert_eq!(tale.violations(), [Violation::ValidInOutage { token: 10, at: at(1_100) }]);
}

#[test]
fn a_claim_for_longer_than_a_lease_lasts_is_found() {
    let mut tale = Tale::default();
    tale.say(5, 1, 10, Word::Granted { sent: at(0), until: at(2_000) });
    let by = Duration::from_millis(1_995 - 988);
    assert_eq!(tale.violations(), [Violation::ClaimTooLong { token: 10, by }]);
}

/// The first stands between check and write, the second writes, the first wakes.
#[test]
fn an_update_that_a_late_write_undoes_is_lost_where_nothing_is_fenced() {
    let mut tale = Tale::default();
    tale.granted(0, 1, 10).about(20, 1, 10, 1, [0; 3]);
    tale.granted(1_000, 2, 11).about(1_020, 2, 11, 2, [0; 3]).wrote(1_020, 2, 11, 2, [Ack; 3]);
    tale.wrote(1_100, 1, 10, 1, [Ack, Refused, Refused]).finals([1, 2, 2]);
    assert_eq!((tale.verdict().lost, tale.violations()), ([1, 0, 0], vec![]));
    assert_eq!((tale.0.forks, tale.0.refused), ([1, 0, 0], [0, 1, 1]));
}

/// The second stands between its first read and its first write while the first wakes.
#[test]
fn an_update_that_is_read_too_early_is_lost_where_reads_are_not_fenced() {
    let mut tale = Tale::default();
    tale.granted(0, 1, 10).about(20, 1, 10, 1, [0; 3]);
    tale.granted(1_000, 2, 11).about(1_020, 2, 11, 2, [0; 3]);
    tale.wrote(1_100, 1, 10, 1, [Ack, Ack, Refused]).wrote(1_020, 2, 11, 2, [Ack; 3]);
    tale.finals([2; 3]);
    assert_eq!((tale.verdict().lost, tale.violations()), ([1, 1, 0], vec![]));
    assert!(tale.0.bites());
}

#[test]
fn an_update_that_the_fenced_register_loses_is_found() {
    let mut tale = Tale::default();
    tale.granted(0, 1, 10).about(20, 1, 10, 1, [0; 3]).wrote(20, 1, 10, 1, [Ack; 3]);
    tale.about(40, 1, 10, 2, [0; 3]).wrote(40, 1, 10, 2, [Ack; 3]).finals([2; 3]);
    assert_eq!(tale.violations(), [Violation::Lost { id: 1, token: 10 }]);
    // One whose last update has gone, and all with it.
    tale.finals([2, 2, 0]);
    let lost = [1, 2].map(|id| Violation::Lost { id, token: 10 });
    assert_eq!(tale.violations(), lost);
}

#[test]
fn an_update_without_an_answer_may_be_lost_or_kept() {
    for kept in [[2; 3], [1; 3]] {
        let mut tale = Tale::default();
        tale.granted(0, 1, 10).about(20, 1, 10, 1, [0; 3]).wrote(20, 1, 10, 1, [Ack; 3]);
        tale.about(40, 1, 10, 2, [1; 3]).wrote(40, 1, 10, 2, [Unknown; 3]).finals(kept);
        assert_eq!(tale.violations(), []);
    }
}

#[test]
fn a_late_write_in_the_fenced_register_is_found_also_where_nothing_is_lost_by_it() {
    let mut tale = Tale::default();
    tale.granted(0, 1, 10).ended(1, 1, 10).granted(1_000, 2, 11);
    tale.about(1_020, 2, 11, 2, [0; 3]).wrote(1_020, 2, 11, 2, [Ack; 3]);
    tale.about(1_040, 1, 10, 1, [2; 3]).wrote(1_040, 1, 10, 1, [Ack; 3]).finals([1; 3]);
    assert_eq!(tale.violations(), [Violation::Stale { id: 1, token: 10 }]);
}

#[test]
fn what_was_refused_and_what_no_one_wrote_is_not_in_a_register() {
    let mut tale = Tale::default();
    tale.granted(0, 1, 10).about(20, 1, 10, 1, [0; 3]).wrote(20, 1, 10, 1, [Refused; 3]);
    tale.finals([0, 1, 9]);
    let found = [
        Violation::RefusedAndWritten { way: Way::WritesOnly, id: 1 },
        Violation::Invented { way: Way::Fenced, id: 9 },
    ];
    assert_eq!(tale.violations(), found);
}
